"""The figures of the bench, and where they are written."""

import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from scripts.generate import ROOT, between_markers

DOCUMENT = ROOT / "BENCHMARKS.md"


@dataclass(frozen=True)
class Figure:
    """One result.

    Attributes:
        wanted: what the project asks of itself, such as "≤ 0.90".
        noise: the middle half of the single rounds' values lies within so much of the value (0.1 is 10 %).
    """

    name: str
    value: float
    unit: str
    wanted: str = ""
    noise: float = 0.0

    @property
    def missed(self) -> bool:
        """Whether it is not what is wanted."""
        if not self.wanted:
            return False
        sense, bound = self.wanted.replace(",", "").split()
        return self.value > float(bound) if sense == "≤" else self.value < float(bound)

    @property
    def row(self) -> str:
        """A row of the table."""
        value = (f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.2f}").replace("-", "−")
        cells = (
            self.name,
            f"{value} {self.unit}",
            f"± {self.noise:.0%}".replace("%", " %") if self.noise else "",
            self.wanted,
            "**missed**" if self.missed else "",
        )
        return f"| {' | '.join(cells)} |"


def figure(name: str, rounds: Sequence[float], unit: str, wanted: str = "") -> Figure:
    """The median of the rounds, and how far they lie apart."""
    low, middle, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else [rounds[0]] * 3
    return Figure(name, middle, unit, wanted, abs((high - low) / 2 / middle) if middle else 0.0)


def section(figures: Sequence[Figure], today: datetime.date) -> str:
    """What was measured, on what, and when."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx2", "pydantic"))
    machine = f"{os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}, {libraries}."
    table = ["| what | value | noise | target | |", "|---|---|---|---|---|", *(item.row for item in figures)]
    return "\n".join((f"## {today}", "", machine, "", *table)) + "\n"


def write(figures: Sequence[Figure], document: Path = DOCUMENT) -> None:
    """Put the section in the place of the last one."""
    today = datetime.datetime.now(datetime.UTC).date()
    text = between_markers(document.read_text("utf-8"), figures=section(figures, today))
    document.write_text(text, "utf-8")
