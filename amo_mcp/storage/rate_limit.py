"""Requests a second, shared by all processes of the machine that talk to the same account.

amoCRM counts the requests of one integration together, whoever sends them, and blocks an account that keeps breaking
the limit. So the slots (see `amo_mcp.storage.slots`) are kept in a file. What is in it that is no table of slots is
written over. While it cannot be used, each process sends very few requests by itself.
"""

import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
from filelock import lock_descriptor
from typing_extensions import override

from amo_mcp.paths import make_private
from amo_mcp.storage.slot_limiter import SlotRateLimiter, T
from amo_mcp.storage.slots import SlotTable

logger = logging.getLogger(__name__)

ALONE_PER_SECOND = 2
"""Requests a second of a process that cannot share the limit: several such processes may run at once."""

_BUSY_SLEEP = 0.003
_MAX_BUSY = 1_000
"""How often a process that finds another one at the file looks again; after three seconds the other one is stuck."""

_MAX_BYTES = 65_536
"""Of a longer file, which is none of ours, so much is read and written over."""


class SharedRateLimiter(SlotRateLimiter):
    """At most `per_second` requests in any one second, of all processes that share `file`; those of one in their order.

    The file is open and locked only for the 50 µs in which it is read and written, which is not worth a thread. Nothing
    waits for the disk: what a power cut costs is a second with too many requests.

    Args:
        file: where the slots are kept; its folder is made when it is missing.
        per_second: the limit.
        timeout: seconds after which a request has failed; the slot of a process that died is free a second later.
        sleep: waits for seconds.
        clock: gives seconds that pass alike in all processes of the machine, as those of `time.monotonic` do, whatever
            becomes of the time of day.
    """

    def __init__(
        self,
        file: Path,
        per_second: int,
        *,
        timeout: float = 20.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(per_second, timeout=timeout, sleep=sleep)
        self._file = file
        self._clock = clock
        # What this process itself has taken, and whether it shared the limit when it was last used.
        self._own = SlotTable(noted_at=clock())
        self._shared: bool | None = None

    @property
    def shared(self) -> bool:
        """Whether the limit was shared with other processes when it was last used."""
        return self._shared is True

    @override
    async def _use(self, operation: Callable[[SlotTable, int], T]) -> T:
        try:
            for _ in range(1 if self._shared is False else _MAX_BUSY):
                with suppress(BlockingIOError):
                    return self._use_file(operation)
                await self._sleep(_BUSY_SLEEP)
            reason = "another process does not let go of the file"
        except OSError as error:
            reason = type(error).__name__
        count = min(self._per_second, ALONE_PER_SECOND)
        self._own.note(self._clock())
        if self._shared is not False:
            logger.warning(
                "The rate limit cannot be shared with other processes (%s): this one sends very few until it can",
                reason,
            )
            if self._shared:
                self._own.occupy(count)
            self._shared = False
        return operation(self._own, count)

    def _use_file(self, operation: Callable[[SlotTable, int], T]) -> T:
        """What `operation` gives, of the table in the file; what this process has taken counts, whatever became of it.

        Raises:
            BlockingIOError: another process is just at it.
            OSError: the file cannot be used.
        """
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            make_private(self._file.parent)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it is no file, and keeps nothing")
            if not lock_descriptor(descriptor, blocking=False):
                raise BlockingIOError
            content = file.read(_MAX_BYTES)
            table = self._read(content)
            table.merge(self._own)
            result = operation(table, self._per_second)
            file.seek(0)
            # One write, and never a shorter one: the file is never half of one table and half of another.
            file.write(table.model_dump_json().encode().ljust(len(content)))
        if self._shared is False:
            logger.warning("The rate limit is shared with other processes again")
        self._own, self._shared = table.of(self._process), True
        return result

    def _read(self, content: bytes) -> SlotTable:
        """The table that is in a file; a new one, where there is none in it that followed the one seen last."""
        now = self._clock()
        try:
            table = SlotTable.model_validate_json(content)
            if self._shared and not self._own.noted_at <= table.noted_at <= now:
                raise ValueError("somebody else has written it")
            table.note(now)
        except ValueError:
            table = SlotTable(noted_at=now)
            if content or self._shared is not None:
                table.occupy(self._per_second)
        return table
