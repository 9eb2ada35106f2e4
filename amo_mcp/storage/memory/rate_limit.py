"""Rate limits of one process: slots in memory, and none at all."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from typing_extensions import override

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.amocrm.ratelimit import MAX_WAIT, UNLIMITED, OnWait, RateLimiter, Slot
from amo_mcp.storage.slots import MAX_SLEEP, REUSE_AFTER, SlotTable, Wait


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


class _Row:
    """A slot, or the pause; the times are Unix seconds."""

    def __init__(self) -> None:
        self.noted_at = 0.0
        self.free_at = 0.0
        self.lease = ""


class MemorySlots(SlotTable):
    """Slots of one process; `timeout` is in seconds, after which a request has failed."""

    def __init__(self, count: int, *, timeout: float, clock: Callable[[], float] = time.time) -> None:
        self._slots = [_Row() for _ in range(count)]
        self._pause = _Row()
        self._timeout = timeout
        self._clock = clock

    @override
    async def take(self, lease: str) -> Wait | None:
        now, pause = self._now(), await self.pause_left()
        slot = min(self._slots, key=lambda row: row.free_at)
        wait = max(slot.free_at - now, pause)
        if wait > 0:
            return Wait(min(wait, MAX_SLEEP), pause)
        slot.noted_at, slot.free_at, slot.lease = now, now + self._timeout + REUSE_AFTER, lease
        return None

    @override
    async def release(self, lease: str) -> None:
        now = self._now()
        for slot in self._slots:
            if slot.lease == lease:
                slot.noted_at, slot.free_at, slot.lease = now, now + REUSE_AFTER, ""

    @override
    async def pause(self, seconds: float) -> None:
        now = self._now()
        if self._pause.free_at < now + seconds:
            self._pause.noted_at, self._pause.free_at = now, now + seconds

    @override
    async def pause_left(self) -> float:
        now = self._now()
        return max(0.0, self._pause.free_at - now)

    def holds(self, lease: str) -> bool:
        """Whether a slot is taken under that name."""
        return any(slot.lease == lease for slot in self._slots)

    @property
    def busy_for(self) -> float:
        """Seconds until every slot is free."""
        now = self._now()
        return max(0.0, max(slot.free_at for slot in self._slots) - now)

    def occupy(self) -> None:
        """Let no slot be free for the next second: others may have sent requests in the last one."""
        now = self._now()
        for slot in self._slots:
            slot.noted_at, slot.free_at = now, max(slot.free_at, now + REUSE_AFTER)

    def _now(self) -> float:
        """The time. Where the clock was set back, what was noted before moves with it."""
        now = self._clock()
        for row in (self._pause, *self._slots):
            if row.noted_at > now:
                row.noted_at, row.free_at = now, now + max(0.0, row.free_at - row.noted_at)
        return now
