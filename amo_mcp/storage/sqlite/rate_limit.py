"""Requests a second, shared by all processes of the machine that talk to the same account.

amoCRM counts the requests of one integration together, whoever sends them, and blocks an account that keeps breaking
the limit. So the slots (see `amo_mcp.storage.slots`) are kept in a file. While it cannot be used, each process sends
very few requests by itself; the file is tried again every second, and made anew when it is not what it should be.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
from typing_extensions import override

from amo_mcp.storage.memory.rate_limit import MemorySlots
from amo_mcp.storage.slots import MAX_SLEEP, REUSE_AFTER, SlotRateLimiter, SlotTable, Wait
from amo_mcp.storage.sqlite.slots import SlotsBusy, SlotsUnusable, SqliteSlots, remove

logger = logging.getLogger(__name__)

ALONE_PER_SECOND = 2
"""Requests a second of a process that cannot share the limit: several such processes may run at once."""

_RETRY_AFTER = 1.0
"""Seconds between two tries to share the limit again."""

_BUSY_SLEEP = 0.003
_MAX_BUSY = 2_000
"""How often a process that finds another one at the file looks again; after six seconds the other one is stuck."""

_MAX_BUSY_AGAIN = 10
"""The same once the limit is not shared any more."""

_T = TypeVar("_T")
Sleep = Callable[[float], Awaitable[None]]


class SqliteRateLimiter(SlotRateLimiter):
    """At most `per_second` requests in any one second, of all processes that share `file`.

    Args:
        file: where the slots are kept; its folder must exist.
        per_second: the limit.
        timeout: seconds after which a request has failed; the slot of a process that died is free a second later.
        sleep: waits for seconds.
        clock: gives Unix seconds, which all processes share.
    """

    def __init__(
        self,
        file: Path,
        per_second: int,
        *,
        timeout: float = 20.0,
        sleep: Sleep = anyio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared_slots = _SharedSlots(file, per_second, timeout, sleep, clock)
        super().__init__(self._shared_slots, per_second, sleep=sleep)

    @property
    def shared(self) -> bool:
        """Whether the limit was shared with other processes when it was last used."""
        return self._shared_slots.is_shared

    def close(self) -> None:
        """Close the file."""
        self._shared_slots.close()


class _SharedSlots(SlotTable):
    """Slots in a file, and while that cannot be used, a few of this process alone.

    Requests that were sent alone are not in the file. So it is used again only when all own slots are free, that is
    when the last of those requests arrived more than a second ago.
    """

    def __init__(self, file: Path, count: int, timeout: float, sleep: Sleep, clock: Callable[[], float]) -> None:
        self._file = file
        self._count = count
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        self._slots: SqliteSlots | None = None
        self._alone = MemorySlots(min(count, ALONE_PER_SECOND), timeout=timeout, clock=clock)
        self._is_alone = False
        self._is_warned = False
        self._failed_at = 0.0
        self._delay = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether the file was used last."""
        return self._slots is not None and not self._is_alone

    @override
    async def take(self, lease: str) -> Wait | None:
        # A clock that was set back puts off no retry.
        if self._is_alone and not 0 <= self._clock() - self._failed_at < _RETRY_AFTER:
            if self._alone.busy_for > 0:
                return Wait(min(self._alone.busy_for, MAX_SLEEP))
            self._is_alone = False
        return await self._use(lambda slots: slots.take(lease), lambda: self._alone.take(lease))

    @override
    async def release(self, lease: str) -> None:
        if self._alone.holds(lease):
            await self._alone.release(lease)
        else:
            await self._use(lambda slots: slots.release(lease), _nothing)

    @override
    async def pause(self, seconds: float) -> None:
        # Known here too, should the file be lost.
        await self._alone.pause(seconds)
        await self._use(lambda slots: slots.pause(seconds), _nothing)

    @override
    async def pause_left(self) -> float:
        left = await self._use(lambda slots: slots.pause_left(), self._alone.pause_left)
        if left:
            await self._alone.pause(left)
        return left

    def close(self) -> None:
        """Close the file."""
        if self._slots is not None:
            self._slots.close()
            self._slots = None

    async def _use(self, operation: Callable[[SqliteSlots], _T], alone: Callable[[], Awaitable[_T]]) -> _T:
        """What `operation` gives in the file; where that cannot be used, what `alone` gives."""
        if not self._is_alone:
            try:
                return await self._in_file(operation)
            except SlotsUnusable as error:
                self._go_alone(str(error))
        return await alone()

    async def _in_file(self, operation: Callable[[SqliteSlots], _T]) -> _T:
        """What `operation` gives; a file that was lost or is corrupt is made anew once.

        Raises:
            SlotsUnusable: the file cannot be used.
        """
        looks, failed = (_MAX_BUSY_AGAIN if self._is_warned else _MAX_BUSY), False
        while True:
            try:
                result = operation(await self._opened())
            except SlotsBusy as error:
                looks -= 1
                if not looks:
                    raise SlotsUnusable("another process does not let go of the file") from error
                await self._sleep(_BUSY_SLEEP)
            except SlotsUnusable as error:
                self.close()
                if error.corrupt is not None:
                    remove(self._file, error.corrupt)
                    self._delay = REUSE_AFTER
                if failed:
                    raise
                failed = True
            else:
                if self._is_warned:
                    logger.warning("The rate limit is shared with other processes again")
                    self._is_warned = False
                return result

    async def _opened(self) -> SqliteSlots:
        """The file that is at the path now.

        What others have sent in the last second is not known of a file that was lost, so the slots of a new one are
        free after that.
        """
        if self._slots is not None and not self._slots.is_at_its_path:
            self.close()
        if self._slots is None:
            slots = SqliteSlots(self._file, self._count, timeout=self._timeout, clock=self._clock, delay=self._delay)
            try:
                if pause := await self._alone.pause_left():
                    slots.pause(pause)
            except BaseException:
                slots.close()
                raise
            self._slots = slots
            self._delay = REUSE_AFTER
        return self._slots

    def _go_alone(self, reason: str) -> None:
        """Send by this process alone for a while. Others may have sent requests in the last second."""
        self.close()
        if not self._is_warned:
            logger.warning(
                "The rate limit cannot be shared with other processes (%s): this one sends very few until it can",
                reason,
            )
            if self._delay:
                self._alone.occupy()
        self._is_warned = self._is_alone = True
        self._failed_at = self._clock()


async def _nothing() -> None:
    """There is nothing to do in a file that is not used."""
