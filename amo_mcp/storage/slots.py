"""A rate limiter made of slots, whatever they are kept in; the slots of an account are a table with a row each.

A request takes a free slot just before its first byte and gives it back when its answer begins; a second later the slot
is free again. So two requests in one slot reach the API more than a second apart, wherever between sending and answer
each of them arrives, and `count` slots let at most `count` requests into any one second.
"""

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

import anyio
from typing_extensions import override

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.amocrm.ratelimit import MAX_WAIT, OnWait, RateLimiter, Slot

REUSE_AFTER = 1.001
"""Seconds after which a slot that was given back is free; the millisecond is for clocks that are being adjusted."""

MAX_SLEEP = 1.0
"""Seconds after which a wait looks again. A slot that is in use cannot be free earlier, so nothing is lost by it."""

MAX_PAUSE = 3600.0
"""Seconds; should the API ask for a longer pause, it is asked again after these."""

_MIN_REPORTED = 2.0
"""Seconds from which a wait is reported."""


class Wait(NamedTuple):
    """Why there is no slot now.

    Attributes:
        seconds: until it is worth looking again.
        pause: seconds of it, or more, that the API has asked for; 0 when it has not.
    """

    seconds: float
    pause: float = 0.0


class SlotTable(Protocol):
    """The slots of one account. Each method is atomic, also between processes that share the table.

    A slot has a name while it is taken (`lease`), the time at which it will be free, and the time at which that was
    noted: a time that lies in the future shows that the clock was set back, and all times are moved with it.
    """

    async def take(self, lease: str) -> Wait | None:
        """Take a free slot under a new name, or say how long to wait.

        Taken, it is free after the timeout of a request and `REUSE_AFTER`, unless it is released: a process that dies
        holds it no longer.
        """
        ...

    async def release(self, lease: str) -> None:
        """Let the slot be free after `REUSE_AFTER`; nothing happens when nobody holds it under that name."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let no slot be taken for `seconds`, or longer where that was asked for before."""
        ...

    async def pause_left(self) -> float:
        """Seconds for which no slot can be taken, because the API asked for that."""
        ...


class SlotRateLimiter(RateLimiter):
    """Requests of one process, in the order of their asking, through the slots of a table, `per_second` of them."""

    def __init__(
        self, slots: SlotTable, per_second: int, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        self._slots = slots
        self._per_second = per_second
        self._sleep = sleep
        self._prepared = anyio.Semaphore(max(2, (per_second + 1) // 2), fast_acquire=True)
        self._in_order = anyio.Lock(fast_acquire=True)
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._waiting = 0

    @override
    @asynccontextmanager
    async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
        """Wait while half a second of requests is ahead; then this one is prepared, and takes its slot.

        So no request waits long on an open connection, and none waits for the connection of another to open.
        """
        with ExitStack() as place:
            self._waiting += 1
            place.callback(self._leave)
            await self._report_wait(on_wait)
            await self._prepared.acquire()
            place.callback(self._prepared.release)
            lease: str | None = None

            async def release() -> None:
                nonlocal lease
                if lease is not None:
                    with anyio.CancelScope(shield=True):
                        await self._slots.release(lease)
                    lease = None

            async def acquire() -> None:
                nonlocal lease
                # The HTTP library may begin a request anew, on another connection.
                await release()
                # Its place in the queue is given up with the taking.
                with place:
                    lease = await self._take()

            try:
                yield Slot(acquire, release)
            finally:
                await release()

    @override
    async def pause(self, seconds: float) -> None:
        await self._slots.pause(min(seconds, MAX_PAUSE))

    async def pause_left(self) -> float:
        """Seconds that are left of the pause that the API asked for; 0 when there is none."""
        return await self._slots.pause_left()

    async def _take(self) -> str:
        """Take a slot when it is this request's turn, and give the name under which it is taken."""
        lease = f"{self._process}-{next(self._numbers)}"
        async with self._in_order:
            while (wait := await self._slots.take(lease)) is not None:
                _refuse_long(wait.pause)
                await self._sleep(wait.seconds)
        return lease

    def _leave(self) -> None:
        self._waiting -= 1

    async def _report_wait(self, on_wait: OnWait | None) -> None:
        pause = await self.pause_left()
        _refuse_long(pause)
        if on_wait is None:
            return
        if pause >= _MIN_REPORTED:
            await on_wait(pause, "amoCRM, which asked for a pause")
        elif (expected := (self._waiting - 1) / self._per_second) >= _MIN_REPORTED:
            await on_wait(expected, "amoCRM's request limit")


def _refuse_long(pause: float) -> None:
    if pause > MAX_WAIT:
        raise RateLimited(429, retry_after=round(pause, 1))
