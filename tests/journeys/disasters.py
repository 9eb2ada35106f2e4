"""What can happen to a machine while a server works on it: its clock jumps, its files go or rot, its disk is full."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import time

from tests.clock import Clock
from tests.storage.backends import FILE
from tests.storage.disk import Disk

PACE_FILE = "rate-limit.json"
HOUR, YEAR = 3600.0, 365 * 86_400.0
GARBAGE = b"neither a journal nor a table of slots\n" * 400


@dataclass
class Machine:
    """The machine that the servers run on, with one folder of state.

    Attributes:
        passing: the seconds that really pass.
        ahead: what the clock on the wall shows more than that.
        lost: whether what the journal held is gone since `repair`.
    """

    folder: Path
    disk: Disk
    random: Random
    passing: Clock
    ahead: float = field(default_factory=time)
    lost: bool = False

    def clock(self) -> float:
        """Unix seconds, as the clock on the wall shows them."""
        return self.passing.now + self.ahead

    def befall(self) -> str:
        """Let something happen; its name is given."""
        names = ["clock", "clock", "folder", "full", "full"]
        names += [f"{file}{how}" for file in ("journal ", "pace ") for how in ("gone", "garbage", "scribbled over")]
        name = self.random.choice(names)
        journal, pace = self.folder / FILE, self.folder / PACE_FILE
        acts: dict[str, Callable[[], object]] = {
            "clock": self._jump,
            "folder": lambda: shutil.rmtree(self.folder, ignore_errors=True),
            "full": self.disk.fill,
            "journal gone": lambda: journal.unlink(missing_ok=True),
            "journal garbage": lambda: _replace(journal),
            "journal scribbled over": lambda: _scribble(journal),
            "pace gone": lambda: pace.unlink(missing_ok=True),
            "pace garbage": lambda: _replace(pace),
            "pace scribbled over": lambda: _scribble(pace),
        }
        acts[name]()
        self.lost |= name == "folder" or name.startswith("journal")
        return name

    def repair(self) -> None:
        """Let the operator do what the messages ask for: room on the disk, a folder, no journal that is none.

        The clock is mostly set right as well.
        """
        self.disk.free()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.lost:
            for file in self.folder.glob(f"{FILE}*"):
                file.unlink()
        if self.random.random() < 0.7:
            self.ahead = self._right
        self.lost = False

    def __post_init__(self) -> None:
        self._right = self.ahead

    def _jump(self) -> None:
        far = self.random.choice([HOUR, 9 * HOUR, 2 * YEAR, 10 * YEAR])
        self.ahead += far if self.random.random() < 0.5 else -far


def _replace(file: Path) -> None:
    if file.parent.exists():
        beside = file.with_name(f"{file.name}.new")
        beside.write_bytes(GARBAGE)
        beside.replace(file)


def _scribble(file: Path) -> None:
    if file.exists():
        with file.open("r+b") as opened:
            opened.write(GARBAGE)
