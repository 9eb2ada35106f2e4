"""The backends of the journal and of the plans, as tests open them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

from pydantic import SecretStr

from amo_mcp.changes.journal import Journal, Retention
from amo_mcp.changes.plan import PlanStore
from amo_mcp.paths import StateDir
from amo_mcp.storage.postgres.database import Database as PostgresDatabase
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.runs import PostgresRunStore
from amo_mcp.storage.sqlite.database import Database, MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore

ACCOUNT_ID = 28805383
BASE_URL = "https://example.amocrm.ru"
FILE = f"journal-{ACCOUNT_ID}.sqlite"
LEASE = 30.0
LEGACY_FILE = "journal-example.amocrm.ru.sqlite"

Opened = tuple[Journal, PlanStore]

Open = Callable[..., Opened]
"""Opens a backend anew: a journal and the plans that it uses up, with the keywords `clock`, `uptime` (the same, unless
it is given) and `retention`."""


async def account_id() -> int:
    """The id of the account that the tests are about."""
    return ACCOUNT_ID


def open_memory(
    *,
    clock: Callable[[], float] = time,
    uptime: Callable[[], float] | None = None,
    retention: Retention | None = None,
) -> Opened:
    """A journal that lives as long as the process."""
    return _opened(MemoryDatabase(), clock, uptime, retention)


def open_sqlite(
    folder: Path,
    *,
    clock: Callable[[], float] = time,
    uptime: Callable[[], float] | None = None,
    retention: Retention | None = None,
) -> Opened:
    """A journal in `FILE` in a folder, as a process of its own would open it."""
    return _opened(Database(StateDir(folder), BASE_URL, account_id), clock, uptime, retention)


@asynccontextmanager
async def backend_at(place: str) -> AsyncIterator[Opened]:
    """A backend as a process of its own opens it: `place` is a folder, or the address of a database."""
    database = PostgresDatabase(SecretStr(place)) if "://" in place else None
    if database is not None:
        await database.open()
    journal, plans = open_sqlite(Path(place)) if database is None else open_postgres(database)
    yield journal, plans
    await journal.close()
    if database is not None:
        await database.close()


def _opened(
    database: Database | MemoryDatabase,
    clock: Callable[[], float],
    uptime: Callable[[], float] | None,
    retention: Retention | None,
) -> Opened:
    journal = SqliteJournal(database, clock=clock, uptime=uptime or clock, retention=retention)
    return journal, SqlitePlanStore(database, clock=clock)


def open_postgres(
    database: PostgresDatabase, *, clock: Callable[[], float] = time, retention: Retention | None = None
) -> Opened:
    """A journal in a database, as a replica of its own would open it."""
    runs = PostgresRunStore(database, account_id, seconds=LEASE)
    journal = PostgresJournal(database, account_id, runs, clock=clock, retention=retention)
    return journal, PostgresPlanStore(database, account_id, clock=clock)
