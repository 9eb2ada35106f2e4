"""The one clock of the tests: time passes only when a test says so, or while somebody sleeps."""

from dataclasses import dataclass

import anyio.lowlevel


@dataclass
class Clock:
    """Gives Unix seconds; `sleep` waits on it, which takes no time."""

    now: float = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass, and others run."""
        until = self.now + seconds
        await anyio.lowlevel.checkpoint()
        self.now = max(self.now, until)
