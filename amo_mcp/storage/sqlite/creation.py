"""How the database of an account comes to be: new, or the one of the first release, which was named after the host."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.storage.sqlite.process_lock import remove_dead_locks

_MAX_WAIT = 10.0
"""Seconds that are waited for another process that is doing it."""


def ensure_exists(file: Path, legacy: Path) -> None:
    """Let there be a file: that of the first release, renamed, if there is one, else an empty one.

    Of several processes that do this at once one does it, and the others wait for it. A process that is killed in the
    middle leaves the journal of the first release whole, under one of the two names.

    Raises:
        JournalUnusable: a process of the first release is using its journal.
        OSError: the file cannot be made.
        sqlite3.Error: what the first release left cannot be read.
    """
    if file.exists():
        return
    file.parent.stat()  # A folder that is not there is not made: whoever removed it knows why.
    lock = FileLock(file.with_suffix(".lock"), timeout=_MAX_WAIT, mode=0o600)
    with lock:
        if not file.exists():
            # SQLite would take the log of a database that was removed for that of the new one.
            for suffix in ("-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            if legacy.exists():
                _take_over(legacy, file)
            else:
                file.touch(mode=0o600)
        # Whoever waits for the lock finds the file made, whichever lock file it has open.
        with suppress(OSError):
            Path(lock.lock_file).unlink()


def _take_over(legacy: Path, file: Path) -> None:
    if remove_dead_locks(legacy):
        raise JournalUnusable("a server of an older version is still running and uses it; end it")
    # Everything is brought into the one file that is renamed; that is only possible while nobody else has it open.
    # Without a write-ahead log, a process that opened it under its old name cannot write to it once it is renamed.
    with closing(sqlite3.connect(legacy, isolation_level=None, timeout=_MAX_WAIT)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    legacy.rename(file)
