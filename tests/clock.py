"""The one fake clock: time passes when a test says so."""

import anyio.lowlevel


class Clock:
    """Unix seconds that stand still.

    Attributes:
        now: the present, to be moved by the test.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The present."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self.now += seconds
        await anyio.lowlevel.checkpoint()
