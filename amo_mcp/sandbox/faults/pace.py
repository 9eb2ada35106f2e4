"""The rate of requests: the most in one second, and those above the limit."""

from collections import deque

from amo_mcp.sandbox.faults.recording import Request

_WINDOW_SECONDS = 1


class Pace:
    """Counts requests as they arrive, and refuses those above `limit` in one second; a limit of None refuses none.

    A window of one second is half-open: two requests exactly a second apart are not in the same one.

    Attributes:
        over_limit: how many were refused.

    Raises:
        ValueError: the `limit` is less than 1.
    """

    def __init__(self, requests: list[Request], limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"rate_limit is {limit}, not at least 1")
        self.over_limit = 0
        self._requests = requests
        self._limit = limit
        self._arrivals: deque[float] = deque()

    def admit(self, at: float) -> bool:
        """Whether a request may pass that arrived `at` that time (in seconds), later than all before it.

        A refused request counts too, so only a pause helps (assumed).
        """
        if self._limit is None:
            return True
        _push(self._arrivals, at)
        if len(self._arrivals) <= self._limit:
            return True
        self.over_limit += 1
        return False

    def busiest_second(self) -> int:
        """The largest number of recorded requests under `/api/` that arrived within one second."""
        window: deque[float] = deque()
        busiest = 0
        for at in sorted(request.at for request in self._requests if request.of_api):
            _push(window, at)
            busiest = max(busiest, len(window))
        return busiest


def _push(window: deque[float], at: float) -> None:
    window.append(at)
    while at - window[0] >= _WINDOW_SECONDS:
        window.popleft()
