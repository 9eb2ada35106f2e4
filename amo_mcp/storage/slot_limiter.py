"""The rate limiter of a table of slots, whatever it is kept in."""

import itertools
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

import anyio
from typing_extensions import override

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.amocrm.ratelimit import MAX_WAIT, OnWait, RateLimiter, Slot
from amo_mcp.language import message
from amo_mcp.storage.slots import SlotTable

_MAX_SLEEP = 1.0
"""Seconds after which a wait looks again: a slot may be released meanwhile, and is free a second after that."""

_MIN_REPORTED = 2.0
"""Seconds from which a wait is reported."""

T = TypeVar("T")


class SlotRateLimiter(RateLimiter, ABC):
    """At most `per_second` requests in any one second, of all who share the table; those of one process in their order.

    Args:
        per_second: the limit.
        timeout: seconds after which a request has failed; the slot of a process that died is free a second later.
        sleep: waits for seconds.
    """

    def __init__(self, per_second: int, *, timeout: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._per_second = per_second
        self._timeout = timeout
        self._sleep = sleep
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._waiting = 0
        self._prepared = anyio.Semaphore(max(2, (per_second + 1) // 2), fast_acquire=True)
        self._in_order = anyio.Lock(fast_acquire=True)

    @abstractmethod
    async def _use(self, operation: Callable[[SlotTable, int], T]) -> T:
        """What `operation` gives, of the table that counts now and its number of slots."""

    async def _note(self, operation: Callable[[SlotTable, int], None]) -> None:
        """Let the table know what has happened, now or as soon as it can be used."""
        await self._use(operation)

    @override
    @asynccontextmanager
    async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
        """Wait while half a second of requests is ahead; then this one is prepared, and takes its slot.

        So no request waits long on an open connection, and none waits for the connection of another to open.
        """
        lease: str | None = None
        with ExitStack() as place:
            before = self._waiting
            self._waiting += 1
            place.callback(self._leave)
            await self._report_wait(on_wait, before)
            await self._prepared.acquire()
            place.callback(self._prepared.release)

            async def release() -> None:
                nonlocal lease
                if lease is not None:
                    released, lease = lease, None
                    with anyio.CancelScope(shield=True):
                        await self._note(lambda table, _: table.release(released))

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
        await self._note(lambda table, _: table.pause(seconds))

    async def pause_left(self) -> float:
        """Seconds that are left of the pause that the API asked for; 0 when there is none."""
        return await self._use(lambda table, _: table.pause_left)

    def _leave(self) -> None:
        self._waiting -= 1

    async def _report_wait(self, on_wait: OnWait | None, before: int) -> None:
        """Refuse a long pause, and say of a shorter wait how long it will be, with so many requests before this one."""
        pause = await self.pause_left()
        _refuse_long(pause)
        if on_wait is None:
            return
        if pause >= _MIN_REPORTED:
            await on_wait(pause, message("amoCRM, which asked for a pause"))
        elif (expected := before / self._per_second) >= _MIN_REPORTED:
            await on_wait(expected, message("amoCRM's request limit"))

    async def _take(self) -> str:
        """Take a slot when it is this request's turn, and give the name under which it is taken."""
        lease = f"{self._process}-{next(self._numbers)}"

        def take(table: SlotTable, count: int) -> float:
            _refuse_long(table.pause_left)
            return table.take(lease, count, self._timeout)

        async with self._in_order:
            while wait := await self._use(take):
                await self._sleep(min(wait, _MAX_SLEEP))
        return lease


def _refuse_long(pause: float) -> None:
    if pause > MAX_WAIT:
        raise RateLimited(429, retry_after=round(pause, 1))
