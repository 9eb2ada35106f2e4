"""Taking over the journal of the first release, which was named after the account's host and not after its id."""

from pathlib import Path

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.storage.sqlite.process_lock import remove_dead_locks

_MAX_WAIT = 10.0
"""Seconds that are waited for another process that is doing it."""


def take_over(legacy: Path, file: Path) -> None:
    """Let the journal of the first release, if there is one, be the account's `file`, if there is none yet.

    Of several processes that do this at once one renames, and the others wait for it. A process that is killed in the
    middle leaves a whole journal under one of the two names.

    Raises:
        JournalUnusable: a process of the first release is using it.
        OSError: it cannot be renamed.
        sqlite3.Error: it is no journal that could be read.
    """
    if file.exists() or not legacy.exists():
        return
    from filelock import FileLock

    lock = FileLock(file.with_suffix(".lock"), timeout=_MAX_WAIT, mode=0o600)
    with lock:
        if file.exists():
            return
        if remove_dead_locks(legacy):
            raise JournalUnusable("a server of an older version is still running and uses it; end it")
        _close_up(legacy)
        legacy.rename(file)
        # Whoever waits for the lock finds the file renamed, whichever lock file it has open.
        Path(lock.lock_file).unlink(missing_ok=True)


def _close_up(legacy: Path) -> None:
    """Bring everything into the one file that is renamed; only possible while nobody else has it open.

    Without a write-ahead log, a process that opened it under its old name cannot write to it once it is renamed.
    """
    import sqlite3

    connection = sqlite3.connect(legacy, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
