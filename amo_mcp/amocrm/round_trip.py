"""How long amoCRM takes to answer, of the requests that were sent lately."""

from collections.abc import Callable

from amo_mcp.amocrm.ratelimit import Slot

_WEIGHT = 0.2
"""How much the latest round trip counts in the figure of the recent ones."""


class RoundTrip:
    """Seconds from the sending of a request to the beginning of its answer, of those that had a slot.

    Attributes:
        seconds: of the recent ones, smoothed exponentially; 0 while there was none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds = 0.0
        self._clock = clock

    def timed(self, slot: Slot) -> Slot:
        """The slot, from the taking of which to its release the round trip is measured."""
        sent = 0.0

        async def acquire() -> None:
            nonlocal sent
            await slot.acquire()
            sent = self._clock()

        async def release() -> None:
            took = self._clock() - sent
            self.seconds += (took - self.seconds) * (_WEIGHT if self.seconds else 1)
            await slot.release()

        return Slot(acquire, release)
