"""The database of an account: one SQLite file, its owner's alone, that several processes have open at once.

Writing happens in a thread, one write at a time, to its end: a record that is begun is finished. A reader of a
write-ahead log waits for no writer, so that reading happens on the event loop once the file is open.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import anyio
import anyio.to_thread

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.paths import StateDir
from amo_mcp.storage.sqlite.creation import ensure_exists, find_legacy
from amo_mcp.storage.sqlite.files import Identity, identity_of
from amo_mcp.storage.sqlite.process_lock import ProcessLock, is_gone, remove_dead_locks
from amo_mcp.storage.sqlite.schema import upgrade

_T = TypeVar("_T")

Work = Callable[[sqlite3.Connection], _T]
"""What is done with an open database."""

_MAX_WAIT = 10.0
"""Seconds that are waited for another process to finish its writing."""


class Database:
    """The database of the account behind an address.

    Args:
        state: where the files are.
        base_url: the account's address, by whose host the first release named its file.
        account_id: asks for the id of the account that is behind the address now; whoever gives it caches the answer.
    """

    def __init__(self, state: StateDir, base_url: str, account_id: Callable[[], Awaitable[int]]) -> None:
        self._state = state
        self._base_url = base_url
        self._account_id = account_id
        self._files: dict[int, DatabaseFile] = {}
        self._last: DatabaseFile | None = None

    async def file(self, *, to_read: bool = False) -> "DatabaseFile":
        """The file of the account, opened when it is first used.

        Args:
            to_read: whether the account that was behind the address last, for this process or an earlier one, will do
                when its id cannot be read now.

        Raises:
            AmoError: the account's id cannot be read.
        """
        try:
            account = await self._account_id()
        except AmoError:
            file = (self._last or self._remembered()) if to_read else None
            if file is None:
                raise
            return file
        file = self._file_of(account)
        if file is not self._last:
            self._last = file
            self._remember(account)
        return file

    def _file_of(self, account: int) -> "DatabaseFile":
        if account not in self._files:
            legacy = partial(find_legacy, self._state, self._base_url, account)
            self._files[account] = DatabaseFile(self._state.journal_file(account), legacy)
        return self._files[account]

    def _remember(self, account: int) -> None:
        """Keep the account's id for a process that cannot ask for it; where that fails, such a process knows none."""
        kept = self._state.account_id_file(self._base_url)
        with suppress(OSError):
            kept.touch(mode=0o600)
            kept.write_text(str(account), "ascii")

    def _remembered(self) -> "DatabaseFile | None":
        """The file of the account that was behind the address last, if that is known and there is one."""
        with suppress(OSError, ValueError):
            account = int(self._state.account_id_file(self._base_url).read_text("ascii"))
            if self._state.journal_file(account).exists():
                return self._file_of(account)
        return None

    async def close(self) -> None:
        """Close what is open; what is used again is opened again."""
        for file in self._files.values():
            await file.close()


class MemoryDatabase:
    """A database of one account that lives as long as this, and that no other process sees; it is its own file."""

    process = "this"

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        _set_up(self._connection)
        with _transaction(self._connection):
            upgrade(self._connection)

    async def file(self, *, to_read: bool = False) -> Self:
        """See `Database.file`."""
        return self

    async def read(self, work: Work[_T]) -> _T:
        """See `DatabaseFile.read`."""
        return work(self._connection)

    async def write(self, work: Work[_T]) -> _T:
        """See `DatabaseFile.write`."""
        with _transaction(self._connection):
            return work(self._connection)

    def is_gone(self, process: str) -> bool:
        """See `DatabaseFile.is_gone`."""
        return process != self.process

    async def close(self) -> None:
        """Do nothing: what was recorded would be lost."""


@dataclass(frozen=True)
class _Connection:
    """The file while it is open.

    Attributes:
        identity: which file it is, and which its write-ahead log, whatever their names are now.
    """

    sqlite: sqlite3.Connection
    process_lock: ProcessLock
    identity: Sequence[Identity | None]


class DatabaseFile:
    """One file, as one process has it open.

    Before each use the open file has to be the one at the path; else it is closed, and opened anew.

    Args:
        path: where it is.
        legacy: where the first release had it.

    Attributes:
        process: the name of this process, under which the others see whether it is alive.
    """

    def __init__(self, path: Path, find_legacy: Callable[[], Path | None]) -> None:
        self.process = os.urandom(8).hex()
        self._path = path
        self._find_legacy = find_legacy
        self._connection: _Connection | None = None
        self._one_at_a_time = anyio.Lock()

    async def read(self, work: Work[_T]) -> _T:
        """Look into the database.

        Raises:
            JournalUnusable: it cannot be opened or read.
        """
        if not self._is_current():
            return await self._in_thread(lambda: work(self._ensure_open().sqlite))
        async with self._one_at_a_time:
            with _usable():
                return work(self._ensure_open().sqlite)

    async def write(self, work: Work[_T]) -> _T:
        """Do `work` in a transaction: written whole and durably when this returns, or not at all.

        Raises:
            JournalUnusable: it cannot be opened or written.
        """
        return await self._in_thread(lambda: self._write(work))

    def is_gone(self, process: str) -> bool:
        """Whether another process that had the file open has ended."""
        return is_gone(self._path, process)

    async def close(self) -> None:
        """Close the file, if it is open."""
        if self._connection is not None:
            await self._in_thread(self._close)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # The shield is around the lock too: what came of a change is recorded even when its call has been cancelled.
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                with _usable():
                    done = await anyio.to_thread.run_sync(work)
        return done

    def _write(self, work: Work[_T]) -> _T:
        opened = self._ensure_open()
        with _transaction(opened.sqlite):
            done = work(opened.sqlite)
        if not self._is_current():
            raise JournalUnusable("its file was removed while it was being written")
        return done

    def _is_current(self) -> bool:
        """Whether the file at the path is the one that is open."""
        opened, identity = self._connection, _identity(self._path)
        return opened is not None and identity[0] is not None and identity == opened.identity

    def _ensure_open(self) -> _Connection:
        opened = self._connection
        if opened is None or not self._is_current():
            self._close()
            opened = self._connection = self._connect()
        return opened

    def _connect(self) -> _Connection:
        ensure_exists(self._path, self._find_legacy)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_MAX_WAIT)
        lock = None
        try:
            _keep_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            _set_up(connection)
            # Locks are made and removed within a transaction, so that nobody removes one that is just being made.
            with _transaction(connection):
                upgrade(connection)
                lock = ProcessLock(self._path, self.process)
                remove_dead_locks(self._path)
        except BaseException:
            connection.close()
            if lock is not None:
                lock.release()
            raise
        return _Connection(connection, lock, _identity(self._path))

    def _close(self) -> None:
        if self._connection is not None:
            opened, self._connection = self._connection, None
            opened.sqlite.close()
            opened.process_lock.release()


def _identity(path: Path) -> Sequence[Identity | None]:
    """Which file is at the path, and which beside it, where the write-ahead log is."""
    return [identity_of(file) for file in (path, path.with_name(f"{path.name}-wal"))]


def _set_up(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction: written whole at its end, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # On some failures, a full disk for one, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalUnusable(str(error)) from error


def _keep_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Where another process is just opening the same new file, SQLite refuses at once instead of waiting."""
    deadline = time.monotonic() + _MAX_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
