"""The journal's file: one SQLite database, its owner's alone, that several processes have open at once."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amo_mcp.storage.sqlite.process_lock import ProcessLock

_LONGEST_WAIT = 10.0
"""Seconds that are waited for another process to finish its writing."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    tool TEXT NOT NULL,
    status TEXT NOT NULL,
    undoes TEXT,
    process TEXT NOT NULL,
    noted REAL NOT NULL,
    plan TEXT
);
CREATE INDEX IF NOT EXISTS changes_undoes ON changes (undoes);
CREATE TABLE IF NOT EXISTS steps (
    change TEXT NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (change, position)
);
CREATE TABLE IF NOT EXISTS plans (
    id TEXT PRIMARY KEY,
    made REAL NOT NULL,
    owner TEXT NOT NULL,
    steps TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS dropped (undoable INTEGER NOT NULL);
"""


class JournalFile:
    """The file as one process has it open; it is opened when it is first used.

    Args:
        file: where it is; None keeps everything in memory.
        process: the name of this process, under which the others see whether it is alive.
    """

    def __init__(self, file: Path | None, process: str) -> None:
        self._file = file
        self._process = process
        self._connection: sqlite3.Connection | None = None
        self._alive: ProcessLock | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was opened already."""
        return self._connection is not None

    def opened(self) -> sqlite3.Connection:
        """The database, ready to be read."""
        if self._connection is None:
            if self._file is not None:
                self._file.touch(mode=0o600)
            connection = sqlite3.connect(
                self._file or ":memory:", isolation_level=None, check_same_thread=False, timeout=_LONGEST_WAIT
            )
            try:
                _keep_write_ahead_log(connection)
                connection.executescript(f"PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; {_SCHEMA}")
                if self._file is not None:
                    self._alive = ProcessLock(self._file, self._process)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: written whole at its end, or not at all."""
        connection = self.opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            # On some failures, a full disk for one, SQLite has rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def is_gone(self, process: str) -> bool:
        """Whether another process that had the file open has ended."""
        assert self._alive is not None  # noqa: S101 - a journal in memory has no other process
        return self._alive.is_gone(process)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._alive is not None:
            self._alive.end()
            self._alive = None


def _keep_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Where another process is just opening the same new file, SQLite refuses at once instead of waiting."""
    patience = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return
