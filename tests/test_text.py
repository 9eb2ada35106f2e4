"""A code of the CRM is bare in a sentence only when it cannot be read as one."""

import pytest

from amo_mcp.text import quote_unless_code


@pytest.mark.parametrize("text", ["", "10599d", "#ff8f92", "segments", "date_time", "x" * 30])
def test_a_code_is_told_as_it_is(text: str) -> None:
    assert quote_unless_code(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10599d.\nNothing is lost.", "«10599d. Nothing is lost.»"),
        ("segments`", "«segments`»"),
        ("x" * 31, f"«{'x' * 31}»"),
        ("none»", "«none›»"),
        ("none\n", "«none»"),
        ("\u200b", "(no visible name)"),
    ],
)
def test_what_is_no_code_is_quoted(text: str, told: str) -> None:
    assert quote_unless_code(text) == told
