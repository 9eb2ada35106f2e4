"""The slots of an account as a table in a file, which several processes have open at once.

Nothing in it is worth a wait for the disk: what a power cut costs is a second with too many requests. And every call is
so short (some 30 µs) that it is not worth a thread.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from amo_mcp.storage.slots import MAX_SLEEP, REUSE_AFTER, Wait
from amo_mcp.storage.sqlite.files import Identity, identity_of

_MAX_AHEAD = 1.0
"""Seconds that another process may be ahead with its note; more means that the clock was set back."""

_MAX_TAKEN = 86_400.0
"""Seconds; nothing takes a slot for longer, so a table that says so is not one of ours."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS slots (
    slot INTEGER PRIMARY KEY,  -- from 1; 0 is the pause that the API asked for
    noted_at REAL NOT NULL,
    free_at REAL NOT NULL,
    lease TEXT NOT NULL DEFAULT ''
)
"""
_FILL = "INSERT OR IGNORE INTO slots (slot, noted_at, free_at) VALUES (?, ?, ?)"
_TAKE = """
UPDATE slots SET noted_at = :now, free_at = :until, lease = :lease
WHERE slot = (SELECT slot FROM slots WHERE slot BETWEEN 1 AND :count AND free_at <= :now ORDER BY free_at LIMIT 1)
    AND (SELECT free_at FROM slots WHERE slot = 0) <= :now
"""
_RELEASE = "UPDATE slots SET noted_at = :now, free_at = :until, lease = '' WHERE lease = :lease"
_PAUSE = "UPDATE slots SET noted_at = :now, free_at = :until WHERE slot = 0 AND free_at < :until"
_LOOK = """
SELECT
    max(CASE WHEN slot = 0 THEN free_at END),
    min(CASE WHEN slot BETWEEN 1 AND :count THEN free_at END),
    max(noted_at),
    max(free_at - noted_at)
FROM slots
"""
_MOVE = "UPDATE slots SET free_at = :now + max(0, free_at - noted_at), noted_at = :now WHERE noted_at > :now"

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_NO_TABLE_OF_OURS = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)


class SlotsBusy(Exception):
    """Another process is just at the table; it is free again in a moment."""


class SlotsUnusable(Exception):
    """The file cannot be used.

    Attributes:
        corrupt: the file, when what is in it is no table of slots, so that it has to be made anew.
    """

    def __init__(self, reason: str, corrupt: Identity | None = None) -> None:
        super().__init__(reason)
        self.corrupt = corrupt


class SqliteSlots:
    """The table as one process has it open. Every method raises `SlotsBusy` and `SlotsUnusable`.

    Args:
        file: where it is; it is made when it is not there.
        count: the slots that this process uses.
        timeout: seconds after which a request has failed.
        clock: gives Unix seconds.
        delay: seconds for which slots that are not in the table yet stay taken.
    """

    def __init__(
        self, file: Path, count: int, *, timeout: float, clock: Callable[[], float], delay: float = 0.0
    ) -> None:
        self._file = file
        self._count = count
        self._timeout = timeout
        self._clock = clock
        self._identity: Identity | None = None
        with self._database():
            with suppress(FileExistsError):
                file.touch(mode=0o600, exist_ok=False)
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=0)
        self._identity = identity_of(file)
        try:
            with self._database():
                # As safe from the death of a process as any journal that is not kept in memory, and a little faster.
                self._connection.execute("PRAGMA journal_mode = TRUNCATE")
                self._connection.execute("PRAGMA synchronous = OFF")
                self._create(delay)
        except BaseException:
            self.close()
            raise

    @property
    def is_at_its_path(self) -> bool:
        """Whether the open file is still the one that other processes find."""
        return identity_of(self._file) == self._identity

    def take(self, lease: str) -> Wait | None:
        """See `SlotTable.take`."""
        now = self._clock()
        values = {"now": now, "until": now + self._timeout + REUSE_AFTER, "lease": lease, "count": self._count}
        with self._database():
            if self._connection.execute(_TAKE, values).rowcount:
                return None
            pause, slot = self._look(now)
        return Wait(min(max(slot, pause), MAX_SLEEP), pause)

    def release(self, lease: str) -> None:
        """See `SlotTable.release`."""
        now = self._clock()
        with self._database():
            self._connection.execute(_RELEASE, {"now": now, "until": now + REUSE_AFTER, "lease": lease})

    def pause(self, seconds: float) -> None:
        """See `SlotTable.pause`."""
        now = self._clock()
        with self._database():
            self._connection.execute(_PAUSE, {"now": now, "until": now + seconds})

    def pause_left(self) -> float:
        """See `SlotTable.pause_left`."""
        with self._database():
            return self._look(self._clock())[0]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _create(self, delay: float) -> None:
        now = self._clock()
        rows = [(slot, now, now + delay if slot else 0.0) for slot in range(self._count + 1)]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SCHEMA)
            self._connection.executemany(_FILL, rows)

    def _look(self, now: float) -> tuple[float, float]:
        """Seconds until the pause is over, and until a slot is free."""
        row = self._connection.execute(_LOOK, {"count": self._count}).fetchone()
        if None in row or row[3] > _MAX_TAKEN:
            raise SlotsUnusable("the rows are not ours", self._identity)
        pause, slot, noted_at, _ = row
        if noted_at > now + _MAX_AHEAD:
            self._connection.execute(_MOVE, {"now": now})
            return self._look(now)
        return max(0.0, pause - now), max(0.0, slot - now)

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Say of the library's errors what they mean here."""
        try:
            yield
        except OSError as error:
            raise SlotsUnusable(type(error).__name__) from error
        except sqlite3.Error as error:
            # The lowest byte is the code, the others say more of it.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _BUSY:
                raise SlotsBusy from error
            raise SlotsUnusable(str(error), self._identity if code in _NO_TABLE_OF_OURS else None) from error


def remove(file: Path, corrupt: Identity) -> None:
    """Delete a file, unless another process has put a new one in its place already."""
    if identity_of(file) == corrupt:
        # A journal that was left beside belongs to the file; SQLite would apply it to the new one.
        for path in (file, file.with_name(f"{file.name}-journal")):
            with suppress(OSError):
                path.unlink(missing_ok=True)
