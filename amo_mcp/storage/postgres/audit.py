"""The audit in the database of the replicas, where it can be written in one transaction with what it tells of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from amo_mcp.changes.leases import Asked
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Step
from amo_mcp.storage.postgres.clock import NOW, ClockedStore
from amo_mcp.storage.postgres.database import storable
from amo_mcp.storage.records import dump, load
from amo_mcp.team.audit import ALL, MAX_PAGE, Actor, Audit, Entry, Kind, Only, Recorded, Touched, touched_by

if TYPE_CHECKING:
    from asyncpg import Record

    from amo_mcp.storage.postgres.database import Session

_ADD = f"""
INSERT INTO audit (at, kind, what, outcome, person, name, client, subject, approved_by, approved_how, touched,
    comment)
VALUES ({NOW}, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_PAGE = """
SELECT * FROM audit
WHERE ($1::bigint IS NULL OR number < $1)
    AND ($2 = '' OR person = $2 OR name = $2 OR approved_by = $2)
    AND ($3::text IS NULL OR kind = $3)
    AND ($4::double precision IS NULL OR at >= $4)
    AND ($5::double precision IS NULL OR at < $5)
ORDER BY number DESC LIMIT $6
"""

_NAME = "SELECT name FROM people WHERE id = $1"
_AGREED = """
SELECT channel, people.name FROM approvals LEFT JOIN people ON people.id = answered_by WHERE digest = $1
"""
_BEGUN = "SELECT * FROM audit WHERE subject = $1 AND kind = 'change' ORDER BY number LIMIT 1"


class PostgresAudit(ClockedStore, Audit):
    """The audit of all replicas."""

    @override
    async def add(self, entry: Entry) -> None:
        async with self._database.transaction() as session:
            await record(session, entry, self._now)

    @override
    async def page(self, limit: int, before: int | None = None, only: Only = ALL) -> Sequence[Recorded]:
        limit = min(limit, MAX_PAGE)
        rows = await self._database.fetch(_PAGE, before, storable(only.who), only.kind, only.since, only.until, limit)
        return [_recorded(row) for row in rows]


async def record(session: "Session", entry: Entry, now: float | None = None) -> None:
    """Record something in the transaction that does it; without a moment it is the database's own."""
    by, touched = entry.by, dump([vars(one) for one in entry.touched])
    texts = entry.kind, entry.what, entry.outcome, by.person, by.name, by.client, entry.subject
    rest = entry.approved_by, entry.approved_how, touched, entry.comment
    await session.execute(_ADD, now, *(text and storable(text) for text in (*texts, *rest)))


async def signed(
    session: "Session",
    what: str,
    person: str,
    client: str,
    *,
    kind: Kind = "sign_in",
    outcome: str = "done",
    now: float | None = None,
) -> None:
    """Record what became of a sign-in of somebody, with a client."""
    name = await session.fetchval(_NAME, person) or ""
    await record(session, Entry(kind=kind, what=what, outcome=outcome, by=Actor(person, name, client)), now)


async def begun(session: "Session", change: ChangeRecord, asked: Asked, approval: bytes | None) -> None:
    """Record that a change begins, of which the approval with a digest was used up."""
    agreed = approval and await session.fetchrow(_AGREED, approval)
    entry = Entry(
        kind="change",
        what=change.tool,
        outcome="begun",
        by=Actor(asked.person, asked.by or "", asked.client),
        subject=change.id,
        # A dialog asks nobody but who calls.
        approved_by=(agreed["name"] or asked.by or "") if agreed else "",
        approved_how=agreed["channel"] if agreed else "",
        touched=[*map(touched_by, change.steps)],
    )
    await record(session, entry, change.at)


async def went_on(
    session: "Session", change_id: str, outcome: str, steps: Iterable[Step], now: float | None = None
) -> None:
    """Record what came of a change, whoever carried it out in the end; nothing, where its beginning is not there."""
    if row := await session.fetchrow(_BEGUN, change_id):
        entry = replace(_recorded(row).entry, outcome=outcome, touched=[*map(touched_by, steps)])
        await record(session, entry, now)


def _recorded(row: "Record") -> Recorded:
    by = Actor(row["person"], row["name"], row["client"])
    entry = Entry(
        kind=row["kind"],
        what=row["what"],
        outcome=row["outcome"],
        by=by,
        subject=row["subject"],
        approved_by=row["approved_by"],
        approved_how=row["approved_how"],
        touched=load(row["touched"], _touched),
        comment=row["comment"],
    )
    return Recorded(row["number"], row["at"], entry)


def _touched(kept: Sequence[Mapping[str, Any]]) -> tuple[Touched, ...]:
    return tuple(Touched(**one) for one in kept)
