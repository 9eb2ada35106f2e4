"""A clock that tests set: time passes when they say so."""


class Clock:
    """Gives `now`, in Unix seconds, when it is called; to sleep on it takes no time."""

    now: float = 1_700_000_000

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
