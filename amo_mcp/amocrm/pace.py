"""Requests a second, shared by all processes of the machine that talk to the same account.

amoCRM counts the requests of one integration together, whoever sends them, and blocks an account that keeps breaking
the limit. Every request takes a turn just before its first byte is sent: turns are reserved in a file, in the order of
asking, so that nobody polls, nobody overtakes, and in no second more than the limit begins.
"""

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from pyrate_limiter import AbstractBucket, RateItem

logger = logging.getLogger(__name__)

WINDOW_MS = 1_030
"""A second, and room for the network's jitter: what leaves in two seconds may arrive in one."""

_LONGEST_HOLD_MS = 60_000
"""A hold is never this long; a longer one means that the clock was set back."""

_LATE_MS = 10

_TURNS_BETWEEN_SWEEPS = 100
_TOLD_FROM = 2.0

Tell = Callable[[float, str], Awaitable[None]]

tell_wait: ContextVar[Tell | None] = ContextVar("tell_wait", default=None)
"""Who is told, within the current call, that it will wait: seconds, and for what."""


class Pace(Protocol):
    """When a request may be sent."""

    async def turn(self) -> None:
        """Wait for the turn to send one request."""
        ...

    async def hold(self, seconds: float) -> None:
        """Let nobody send for a while: the API asked for it."""
        ...


class Unpaced:
    """No limit, for an API that has none: the sandbox in process."""

    async def turn(self) -> None:
        """Go ahead."""

    async def hold(self, seconds: float) -> None:
        """Go ahead all the same."""


class SharedPace:
    """At most `per_second` requests in any one second, for all processes that share `file`.

    When the file cannot be used, the limit holds for this process alone, and the log says so.

    Args:
        file: where the turns are kept; its folder must exist.
        per_second: the limit.
        sleep: waits for seconds.
        clock_ms: gives Unix milliseconds, which all processes share.
    """

    def __init__(
        self,
        file: Path,
        per_second: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._file = file
        self._per_second = per_second
        self._sleep = sleep
        self._clock_ms = clock_ms
        self._hold_file = file.with_suffix(".hold")
        self._held_until = 0
        self._asking = anyio.Lock()
        self._turns = 0
        self._bucket: AbstractBucket | None = None

    @property
    def shared(self) -> bool:
        """Whether the last turn was shared with other processes."""
        return self._bucket is not None and self._bucket.limiter_lock() is not None

    async def turn(self) -> None:
        """Wait for the turn to send one request; turns are given in the order of asking."""
        async with self._asking:
            item, wait = await anyio.to_thread.run_sync(self._reserve)
        if wait >= _TOLD_FROM:
            await say_wait(wait, "amoCRM's request limit")
        await self._sleep(wait)
        if self._clock_ms() - item.timestamp > _LATE_MS:
            await anyio.to_thread.run_sync(self._used_late, item)

    async def hold(self, seconds: float) -> None:
        """Let no process send for `seconds`; turns that were given out already are kept."""
        async with self._asking:
            await anyio.to_thread.run_sync(self._block, seconds)

    def _reserve(self) -> "tuple[RateItem, float]":
        """Take the next free turn, and say in how many seconds it is."""
        try:
            return self._reserve_in(self._opened())
        except (OSError, sqlite3.Error) as error:
            return self._reserve_in(self._alone(error))

    def _reserve_in(self, bucket: "AbstractBucket") -> "tuple[RateItem, float]":
        from pyrate_limiter import RateItem

        with _locked(bucket):
            now = self._clock_ms()
            self._turns += 1
            if self._turns % _TURNS_BETWEEN_SWEEPS == 1:
                bucket.leak(now)
            item = RateItem("turn", max(now, self._held(now)))
            while not bucket.put(item):
                wait = bucket.waiting(item)
                assert isinstance(wait, int)  # noqa: S101 - awaitable only in buckets that are not used here
                item.timestamp += wait
                if self._was_set_back(bucket, item.timestamp - now, now):
                    bucket.flush()
                    item.timestamp = now
            return item, float(item.timestamp - now) / 1000

    def _was_set_back(self, bucket: "AbstractBucket", wait: int, now: int) -> bool:
        """Whether a wait is longer than the queue explains: then the clock was set back, and the turns mean nothing."""
        if wait <= 2 * WINDOW_MS:
            return False
        bucket.leak(now)
        queued = bucket.count()
        assert isinstance(queued, int)  # noqa: S101 - awaitable only in buckets that are not used here
        return wait > WINDOW_MS * (queued / self._per_second + 2) + max(0, self._held(now) - now)

    def _used_late(self, item: "RateItem") -> None:
        """Let a turn count from when it was used: who wakes late must not push the next second over the limit."""
        from pyrate_limiter import SQLiteBucket

        bucket, given, used = self._opened(), item.timestamp, self._clock_ms()
        with _locked(bucket):
            item.timestamp = used
            if isinstance(bucket, SQLiteBucket):
                bucket.conn.execute(
                    f"UPDATE {bucket.table} SET item_timestamp = ? WHERE rowid = "  # noqa: S608 - the table is the library's
                    f"(SELECT rowid FROM {bucket.table} WHERE item_timestamp = ? LIMIT 1)",
                    (used, given),
                )
                bucket.conn.commit()

    def _held(self, now: int) -> int:
        """Until when nobody may send, in Unix milliseconds."""
        with suppress(OSError, ValueError):
            self._held_until = max(self._held_until, int(self._hold_file.read_text("utf-8")))
        return self._held_until if self._held_until - now <= _LONGEST_HOLD_MS else 0

    def _block(self, seconds: float) -> None:
        """Note until when nobody may send; the turns that are given out already stay."""
        self._held_until = max(self._held_until, self._clock_ms() + int(seconds * 1000) + 1)
        try:
            self._hold_file.write_text(str(self._held_until), "utf-8")
        except OSError as error:
            logger.warning("The pace cannot be shared with other processes: %s", type(error).__name__)

    def _opened(self) -> "AbstractBucket":
        """The bucket in the file."""
        if self._bucket is None:
            from pyrate_limiter import Rate, SQLiteBucket

            self._file.touch(mode=0o600)
            rates = [Rate(self._per_second, WINDOW_MS)]
            self._bucket = SQLiteBucket.init_from_file(rates, db_path=str(self._file), use_file_lock=True)
        return self._bucket

    def _alone(self, error: Exception) -> "AbstractBucket":
        """A bucket of this process, from now on."""
        from pyrate_limiter import InMemoryBucket, Rate

        logger.warning("The pace cannot be shared with other processes: %s", type(error).__name__)
        self._bucket = InMemoryBucket([Rate(self._per_second, WINDOW_MS)])
        return self._bucket


async def say_wait(seconds: float, reason: str) -> None:
    """Tell whoever made the current call that it waits."""
    tell = tell_wait.get()
    if tell is not None:
        await tell(seconds, reason)


def _locked(bucket: "AbstractBucket") -> AbstractContextManager[object]:
    """The lock between processes, where the bucket is shared."""
    lock = bucket.limiter_lock()
    return lock if isinstance(lock, AbstractContextManager) else nullcontext()
