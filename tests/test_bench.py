"""The bench writes what it measured into its document."""

import datetime
from pathlib import Path

import pytest

from scripts.bench.figures import DOCUMENT, Figure, figure, section, write


@pytest.mark.parametrize(
    ("item", "row"),
    [
        (figure("start", [0.9, 0.8, 1.0], "×", "≤ 0.90"), "| start | 0.90 × | ± 11 % | ≤ 0.90 |  |"),
        (Figure("start", 0.91, "×", "≤ 0.90"), "| start | 0.91 × |  | ≤ 0.90 | **missed** |"),
        (Figure("updates", 0.89, "×", "≥ 0.9"), "| updates | 0.89 × |  | ≥ 0.9 | **missed** |"),
        (Figure("memory", -1.04, "MiB", "≤ 12"), "| memory | −1.04 MiB |  | ≤ 12 |  |"),
        (Figure("list", 10_001, "bytes", "≤ 10,000"), "| list | 10,001 bytes |  | ≤ 10,000 | **missed** |"),
        (Figure("seconds", 0.5, "s"), "| seconds | 0.50 s |  |  |  |"),
    ],
)
def test_a_row_has_the_median_its_noise_and_whether_the_target_was_missed(item: Figure, row: str) -> None:
    assert item.row == row


def test_what_was_measured_takes_the_place_of_what_was_measured_before(tmp_path: Path) -> None:
    document = tmp_path / DOCUMENT.name
    document.write_text(DOCUMENT.read_text("utf-8"), "utf-8")
    for value in (0.5, 0.25):
        write([Figure("start", value, "×")], document)
    today = datetime.datetime.now(datetime.UTC).date()
    before, _, rest = DOCUMENT.read_text("utf-8").partition("<!-- figures -->\n")
    after = rest.partition("<!-- /figures -->")[2]
    written = section([Figure("start", 0.25, "×")], today)
    assert document.read_text("utf-8") == f"{before}<!-- figures -->\n{written}<!-- /figures -->{after}"
    assert written.startswith(f"## {today}\n")
