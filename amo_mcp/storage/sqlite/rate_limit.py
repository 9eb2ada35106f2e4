"""Requests a second, shared by all processes of the machine that talk to the same account.

amoCRM counts the requests of one integration together, whoever sends them, and blocks an account that keeps breaking
the limit. Every request takes a turn just before its first byte is sent, and the turns are kept in a file.

When a request arrives is not known exactly: after it was sent and before its answer. A turn counts from its answer, or
from `SLACK_MS` after it was sent, whichever comes first, and a second later its place is free. So an API that answers
fast is used at its full pace, and one that is slow is given time.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    suppress,
)
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from pyrate_limiter import RateItem, SQLiteBucket

logger = logging.getLogger(__name__)

SLACK_MS = 500
"""How long a request may be on its way while no answer has shown that it arrived (assumed)."""

_WINDOW_MS = 1_000 + SLACK_MS
"""A turn is noted as far ahead as it may arrive late, and the next in its place is noted just so."""

_LONGEST_HOLD_MS = 60_000
"""A hold is never this long; a longer one means that the clock was set back."""

_BETWEEN_SWEEPS_MS = 60_000
_SLACK = SLACK_MS / 1000
_TOLD_FROM = 2.0
_BUSY_SECONDS = 0.003
_MOST_BUSY = 2_000
"""How often a process that finds another one at the file looks again, before it goes on alone: that one is stuck."""

_TABLE = "turns"
_MOVE_TURN = "UPDATE turns SET item_timestamp = ?1 WHERE item_timestamp > ?1 AND name = ?2"
"""The time comes first, as the table is indexed by it."""

Tell = Callable[[float, str], Awaitable[None]]

tell_wait: ContextVar[Tell | None] = ContextVar("tell_wait", default=None)
"""Who is told, within the current call, that it will wait: seconds, and for what."""


@dataclass(frozen=True)
class Slot:
    """The turn of one request.

    Attributes:
        take: waits until the request may be sent; its first byte has to follow at once.
        answered: is told that the API has the request, when its answer begins.
    """

    take: Callable[[], Awaitable[None]]
    answered: Callable[[], None]


UNLIMITED = Slot(anyio.lowlevel.checkpoint, lambda: None)
"""The turn of a request that nobody paces."""


class RateLimiter(Protocol):
    """When a request may be sent."""

    def queue(self) -> AbstractAsyncContextManager[Slot]:
        """Wait until the turn is near; then the request is made ready and its turn taken."""
        ...

    async def hold(self, seconds: float) -> None:
        """Let nobody send for a while: the API asked for it."""
        ...


class Unlimited:
    """No limit, for an API that has none: the sandbox in process."""

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[Slot]:
        """Go ahead."""
        yield UNLIMITED

    async def hold(self, seconds: float) -> None:
        """Go ahead all the same."""


class SharedRateLimiter:
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
        self._near = anyio.Semaphore(per_second, fast_acquire=True)
        self._asking = anyio.Lock(fast_acquire=True)
        self._process = secrets.token_hex(8)
        self._turns = 0
        self._waiting = 0
        self._answers: list[tuple[int, str]] = []
        self._bucket: SQLiteBucket | None = None
        self._is_alone = False
        self._swept = 0
        self._busy = 0

    @property
    def shared(self) -> bool:
        """Whether the last turn was shared with other processes."""
        return self._bucket is not None and not self._is_alone

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[Slot]:
        """Wait until fewer than a second of turns is before this one; then make the request ready and take its turn.

        In one process turns are given in the order of asking; between processes whoever has waited for the next free
        moment takes it. So nobody waits long on an open connection, which the API may close, and nobody waits for
        somebody else's connection to open.
        """
        with ExitStack() as place:
            name = f"{self._process}-{self._turns}"
            self._turns += 1
            self._waiting += 1
            place.callback(self._leave)
            expected = (self._waiting - 1) / self._per_second
            if expected >= _TOLD_FROM:
                await say_wait(expected, "amoCRM's request limit")
            await self._near.acquire()
            place.callback(self._near.release)

            async def take() -> None:
                with place:
                    await self._take_in_order(name)

            yield Slot(take, lambda: self._answers.append((self._clock_ms(), name)))

    def _leave(self) -> None:
        self._waiting -= 1

    async def _take_in_order(self, name: str) -> None:
        async with self._asking:
            if self._bucket is None:
                self._bucket = await anyio.to_thread.run_sync(self._open)
            # Taking a turn is quicker than going to a thread and back.
            while (wait := self._take(name)) > 0:
                # An answer that comes meanwhile may free the place earlier.
                await self._sleep(wait - _SLACK if wait > _SLACK else wait)

    async def hold(self, seconds: float) -> None:
        """Let no process send for `seconds`; turns that were given out already are kept."""
        async with self._asking:
            await anyio.to_thread.run_sync(self._block, seconds)

    def _take(self, name: str) -> float:
        """Take a turn now and give 0, or say in how many seconds there may be one."""
        import sqlite3

        assert self._bucket is not None  # noqa: S101 - it was opened before
        try:
            wait = self._take_from(self._bucket, name)
        except (OSError, sqlite3.Error) as error:
            if _is_busy(error) and self._busy < _MOST_BUSY:
                self._busy += 1
                return _BUSY_SECONDS
            self._bucket = self._alone(error)
            wait = self._take_from(self._bucket, name)
        self._busy = 0
        return wait

    def _take_from(self, bucket: "SQLiteBucket", name: str) -> float:
        from pyrate_limiter import RateItem

        now = self._clock_ms()
        if now - self._swept > _BETWEEN_SWEEPS_MS:
            with bucket.conn:
                bucket.leak(now)
            self._swept = now
        with bucket.conn:
            # One process at a time looks and takes; what is taken is committed by the bucket.
            bucket.conn.execute("BEGIN IMMEDIATE")
            bucket.conn.executemany(_MOVE_TURN, self._answers)
            held = self._held(now)
            wait = held - now if held > now else self._put(bucket, RateItem(name, now + SLACK_MS))
        self._answers.clear()
        return wait / 1000

    def _put(self, bucket: "SQLiteBucket", item: "RateItem") -> int:
        """Note a turn and give 0, or give the milliseconds until there may be one."""
        if bucket.put(item):
            return 0
        wait = bucket.waiting(item)
        assert isinstance(wait, int)  # noqa: S101 - awaitable only in buckets that are not used here
        if wait <= 2 * _WINDOW_MS:
            return wait
        logger.warning("The clock was set back; the turns of before are forgotten")
        bucket.flush()
        bucket.put(item)
        return 0

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

    def _open(self) -> "SQLiteBucket":
        """The bucket in the file, or where that cannot be used one of this process."""
        import sqlite3

        try:
            self._file.touch(mode=0o600)
            return _bucket(str(self._file), self._per_second)
        except (OSError, sqlite3.Error) as error:
            return self._alone(error)

    def _alone(self, error: Exception) -> "SQLiteBucket":
        """A bucket of this process, from now on."""
        logger.warning("The pace cannot be shared with other processes: %s", type(error).__name__)
        self._is_alone = True
        return _bucket(":memory:", self._per_second)


def _bucket(database: str, per_second: int) -> "SQLiteBucket":
    """A bucket in a database.

    Opening it is guarded by a lock file, and turns by the database's own lock, which takes less than half as long.
    """
    from pyrate_limiter import Rate, SQLiteBucket

    rates = [Rate(per_second, _WINDOW_MS)]
    shared = database != ":memory:"
    opened = SQLiteBucket.init_from_file(rates, table=_TABLE, db_path=database, use_file_lock=shared)
    opened.conn.execute("PRAGMA busy_timeout = 0")
    return SQLiteBucket(rates, opened.conn, _TABLE)


def _is_busy(error: Exception) -> bool:
    """Whether another process is just taking its turn."""
    import sqlite3

    # The lowest byte is the code, the others say more of it.
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


async def say_wait(seconds: float, reason: str) -> None:
    """Tell whoever made the current call that it waits."""
    tell = tell_wait.get()
    if tell is not None:
        await tell(seconds, reason)
