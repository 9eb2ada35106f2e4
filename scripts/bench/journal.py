"""What the journal of each storage costs a change: recorded before its request, and when it is done."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from pydantic import SecretStr

from amo_mcp.amocrm.inputs import SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Update
from amo_mcp.paths import StateDir
from amo_mcp.storage.postgres.database import Database as PostgresDatabase
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.runs import PostgresRunStore
from amo_mcp.storage.sqlite.database import Database, MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from scripts.bench.figures import Figure, figure
from scripts.postgres import running

_CHANGE = PendingChange((Update(Segment(id=51, name="VIP"), SegmentPatch(name="Лучшие")),))
_IN_A_ROW = 20
_WHERE = "in memory", "in SQLite", "in PostgreSQL on the same machine"


def journal_cost(rounds: int) -> Iterator[Figure]:
    """A change of one step, in turns in memory, in SQLite and in PostgreSQL, which both wait for the disk."""
    with tempfile.TemporaryDirectory() as folder, running(durable=True) as cluster:
        took = anyio.run(_measured, Path(folder), SecretStr(cluster.url()), rounds)
    for where, times in zip(_WHERE, zip(*took, strict=True), strict=True):
        yield figure(f"the journal of a change of one step, {where}", times[1:], "ms")


async def _measured(folder: Path, url: SecretStr, rounds: int) -> list[list[float]]:
    """Milliseconds of a change in each storage, by round."""
    async with AsyncExitStack() as stack:
        database = PostgresDatabase(url)
        await database.open()
        stack.push_async_callback(database.close)
        journals: Sequence[Journal] = (
            SqliteJournal(MemoryDatabase()),
            SqliteJournal(Database(StateDir(folder), "https://example.amocrm.ru", _account_id)),
            PostgresJournal(database, _account_id, PostgresRunStore(database, _account_id, seconds=30.0)),
        )
        for journal in journals:
            stack.push_async_callback(journal.close)
        return [[await _milliseconds(journal) for journal in journals] for _ in range(rounds)]


async def _milliseconds(journal: Journal) -> float:
    began = time.perf_counter()
    for _ in range(_IN_A_ROW):
        lease = await journal.begin("update_segment", _CHANGE)
        await journal.note(lease, {}, "done")
    return (time.perf_counter() - began) / _IN_A_ROW * 1000


async def _account_id() -> int:
    return 28805383
