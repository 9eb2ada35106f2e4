"""How the database of an account comes to be: new, or the one of the first release, which was named after the host."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.paths import StateDir, make_private
from amo_mcp.storage.sqlite.process_lock import remove_dead_locks

_ACCOUNT_ID = """
SELECT coalesce(json_extract(record, '$.before.account_id'), json_extract(record, '$.after.account_id')) AS account
FROM steps WHERE account IS NOT NULL ORDER BY rowid DESC LIMIT 1
"""

_MAX_WAIT = 10.0
"""Seconds that are waited for another process that is doing it."""


def ensure_exists(file: Path, find_legacy: Callable[[], Path | None]) -> None:
    """Let there be a file: that of the first release, renamed, if `find_legacy` finds one, else an empty one.

    Of several processes that do this at once one does it, and the others wait for it. A process that is killed in the
    middle leaves the journal of the first release whole, under one of the two names.

    Raises:
        JournalUnusable: a process of the first release is using its journal.
        OSError: the file cannot be made.
        sqlite3.Error: what the first release left cannot be read.
    """
    if file.exists():
        return
    make_private(file.parent)
    lock = FileLock(file.with_suffix(".lock"), timeout=_MAX_WAIT, mode=0o600)
    with lock:
        if not file.exists():
            # SQLite would take the log of a database that was removed for that of the new one.
            for suffix in ("-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            if (legacy := find_legacy()) is not None:
                _take_over(legacy, file)
            else:
                file.touch(mode=0o600)
        # Whoever waits for the lock finds the file made, whichever lock file it has open.
        with suppress(OSError):
            Path(lock.lock_file).unlink()


def find_legacy(state: StateDir, base_url: str, account_id: int) -> Path | None:
    """The journal of the first release that has the account's changes, under whichever host it was named.

    An account may have been renamed since, and another one may have its old host. A record has the id of its account;
    where none has, the host decides.
    """
    own = state.legacy_journal_file(base_url)
    if own.exists() and _account_in(own) in (None, account_id):
        return own
    others = (file for file in state.legacy_journal_files() if file != own)
    return next((file for file in others if _account_in(file) == account_id), None)


def _account_in(legacy: Path) -> int | None:
    """The id of the account whose changes are in a journal; None when it does not say."""
    # Read only: a server of the first release may have it open.
    found = f"{legacy.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(found, uri=True, timeout=_MAX_WAIT)) as connection:
        row = connection.execute(_ACCOUNT_ID).fetchone()
        return None if row is None else int(row[0])
    return None


def _take_over(legacy: Path, file: Path) -> None:
    if remove_dead_locks(legacy):
        raise JournalUnusable("a server of an older version is still running and uses it; end it")
    # Everything is brought into the one file that is renamed; that is only possible while nobody else has it open.
    # Without a write-ahead log, a process that opened it under its old name cannot write to it once it is renamed.
    with closing(sqlite3.connect(legacy, isolation_level=None, timeout=_MAX_WAIT)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    legacy.rename(file)
