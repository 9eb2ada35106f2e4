"""No rate limit, for one process."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from typing_extensions import override

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.amocrm.ratelimit import MAX_WAIT, UNLIMITED, OnWait, RateLimiter, Slot


class Unlimited(RateLimiter):
    """No limit, for an API that has none (the sandbox in process); a long pause that it asks for is kept too.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused_until = 0.0

    @override
    @asynccontextmanager
    async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
        left = self._paused_until - self._clock()
        if left > 0:
            raise RateLimited(429, retry_after=round(left, 1))
        yield UNLIMITED

    @override
    async def pause(self, seconds: float) -> None:
        """Refuse for `seconds`, when that is more than whoever repeats a request waits anyway."""
        if seconds > MAX_WAIT:
            self._paused_until = self._clock() + seconds
