"""Requests a second, shared by all processes of the machine that talk to the same account.

amoCRM counts the requests of one integration together, whoever sends them, and blocks an account that keeps breaking
the limit. Every request takes a turn just before its first byte is sent; the turns are kept in a file, and in no second
more than the limit begins.
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
    from pyrate_limiter import AbstractBucket

logger = logging.getLogger(__name__)

WINDOW_MS = 1_150
"""A second, and room for jitter on both ends: what leaves in two seconds may arrive in one."""

_LONGEST_HOLD_MS = 60_000
"""A hold is never this long; a longer one means that the clock was set back."""


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
        self._waiting = 0
        self._bucket: AbstractBucket | None = None

    @property
    def shared(self) -> bool:
        """Whether the last turn was shared with other processes."""
        return self._bucket is not None and self._bucket.limiter_lock() is not None

    async def turn(self) -> None:
        """Wait for the turn to send one request.

        In one process turns are given in the order of asking; between processes whoever has waited for the next free
        moment takes it. A turn is taken at the moment when it is used, so that nobody who wakes late can push two
        seconds' requests into one.
        """
        self._waiting += 1
        try:
            expected = (self._waiting - 1) / self._per_second
            if expected >= _TOLD_FROM:
                await say_wait(expected, "amoCRM's request limit")
            async with self._asking:
                while (wait := await anyio.to_thread.run_sync(self._take)) > 0:
                    await self._sleep(wait)
        finally:
            self._waiting -= 1

    async def hold(self, seconds: float) -> None:
        """Let no process send for `seconds`; turns that were given out already are kept."""
        async with self._asking:
            await anyio.to_thread.run_sync(self._block, seconds)

    def _take(self) -> float:
        """Take a turn now and give 0, or say in how many seconds there may be one."""
        try:
            return self._take_from(self._opened())
        except (OSError, sqlite3.Error) as error:
            return self._take_from(self._alone(error))

    def _take_from(self, bucket: "AbstractBucket") -> float:
        from pyrate_limiter import RateItem

        with _locked(bucket):
            now = self._clock_ms()
            held = self._held(now)
            if held > now:
                return (held - now) / 1000
            self._turns += 1
            if self._turns % _TURNS_BETWEEN_SWEEPS == 1:
                bucket.leak(now)
            item = RateItem("turn", now)
            if bucket.put(item):
                return 0.0
            wait = bucket.waiting(item)
            assert isinstance(wait, int)  # noqa: S101 - awaitable only in buckets that are not used here
            if wait > 2 * WINDOW_MS:
                logger.warning("The clock was set back; the turns of before are forgotten")
                bucket.flush()
                bucket.put(item)
                return 0.0
            return wait / 1000

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
