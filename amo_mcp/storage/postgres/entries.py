"""Changes as the database has them: each with its steps, and with the changes that undo it."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from amo_mcp.changes.history import JournalEntry, RecreatedIds, with_late
from amo_mcp.changes.journal import StepKey
from amo_mcp.changes.records import ChangeRecord, from_record, to_record
from amo_mcp.changes.steps import Create, Delete, Outcome, Step, Update
from amo_mcp.storage.records import dump, load

if TYPE_CHECKING:
    from asyncpg import Record

    from amo_mcp.storage.postgres.database import Session

_ENTRIES = """
WITH RECURSIVE chosen AS ({chosen}), found AS (
    SELECT changes.* FROM changes JOIN chosen USING (account, id)
    UNION
    SELECT changes.* FROM changes JOIN found ON changes.account = found.account AND changes.undoes = found.id
)
SELECT found.*, unix_now() AS now, (found.account, found.id) IN (SELECT account, id FROM chosen) AS is_chosen,
    ARRAY(SELECT record FROM steps WHERE account = found.account AND change = found.id ORDER BY position) AS steps,
    ARRAY(SELECT late FROM steps WHERE account = found.account AND change = found.id ORDER BY position) AS late,
    ARRAY(SELECT sent_by FROM steps WHERE account = found.account AND change = found.id ORDER BY position) AS sent_by
FROM found ORDER BY number
"""

_RECREATED = """
SELECT changes.number, new.kind, old.before_id, new.created_id
FROM changes
    JOIN steps AS new ON (new.account, new.change) = (changes.account, changes.id)
    JOIN steps AS old ON (old.account, old.change, old.position) = (changes.account, changes.undoes, new.undoes)
WHERE changes.account = $1 AND new.outcome = 'done' AND new.created_id IS NOT NULL
ORDER BY changes.number, new.position
"""

_MOVES = """
SELECT change, position, CASE WHEN late = '[]' THEN outcome ELSE 'done' END AS outcome
FROM (SELECT account, id, number FROM changes WHERE account = $1 ORDER BY number DESC LIMIT $2) AS latest
    JOIN steps ON (steps.account, change) = (latest.account, latest.id)
WHERE kind = 'segment' AND record::json ->> 'action' = 'move'
ORDER BY number, position
"""

_STEPS = """
SELECT change, position, record, sent_by, late
FROM unnest($2::text[], $3::integer[]) WITH ORDINALITY AS wanted (change, position, place)
    JOIN steps USING (change, position)
WHERE account = $1 ORDER BY place
"""

_PUT = """
INSERT INTO steps (account, change, position, sent_by, record, kind, outcome, undoes, before_id, created_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account, change, position) DO UPDATE SET
    (record, outcome, before_id, created_id, sent_by)
    = (excluded.record, excluded.outcome, excluded.before_id, excluded.created_id,
        greatest(excluded.sent_by, steps.sent_by))
"""


async def entries(session: "Session", chosen: str, *args: Any) -> "list[tuple[Record, JournalEntry]]":
    """The changes that a query for `account` and `id` chooses, each with its row, the oldest first; read at one moment.

    Beside its columns a row has `now`, the Unix seconds of the database.
    """
    rows = await session.fetch(_ENTRIES.format(chosen=chosen), *args)
    undos: dict[str, list[Record]] = {}
    for row in rows:
        undos.setdefault(row["undoes"], []).append(row)

    def entry_of(row: "Record") -> JournalEntry:
        undone_by = tuple(map(entry_of, undos.get(row["id"], ())))
        return JournalEntry(row["number"], record_of(row, as_it_stands(row)), row["noted_after"], undone_by)

    return [(row, entry_of(row)) for row in rows if row["is_chosen"]]


def record_of(row: "Record", steps: Iterable[Step]) -> ChangeRecord:
    """The record of a change, without what later changes made of it."""
    return ChangeRecord(
        row["id"], row["at"], row["tool"], tuple(steps), row["status"], row["undoes"], by=row["asked_by"]
    )


def recorded_steps(row: "Record") -> list[Step]:
    """The steps as who carries the change out has recorded them."""
    return [load(record, from_record) for record in row["steps"]]


def as_it_stands(row: "Record") -> list[Step]:
    """The steps with what came of them late; of a change under way only those that are done.

    Where a step is done, what came of it late to the last one that sent it is what it is done with.
    """
    steps = recorded_steps(row)
    return [
        _with_late(step, sent_by, late) if row["status"] != "running" or step.outcome == "done" else step
        for step, sent_by, late in zip(steps, row["sent_by"], row["late"], strict=True)
    ]


def _with_late(step: Step, sent_by: int, late: str) -> Step:
    made = [one for epoch, one in json.loads(late) if step.outcome != "done" or epoch < sent_by]
    return with_late(step, [*map(from_record, made)])


async def moves(session: "Session", account: int, newest: int) -> dict[StepKey, Outcome]:
    """See `Journal.moves`."""
    rows = await session.fetch(_MOVES, account, newest)
    return {(row["change"], row["position"]): row["outcome"] for row in rows}


async def steps_at(session: "Session", account: int, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
    """See `Journal.steps`."""
    wanted = [*keys]
    rows = await session.fetch(_STEPS, account, [change for change, _ in wanted], [position for _, position in wanted])
    return {
        (row["change"], row["position"]): _with_late(load(row["record"], from_record), row["sent_by"], row["late"])
        for row in rows
    }


async def recreated_ids(session: "Session", account: int) -> RecreatedIds:
    """See `Journal.recreated_ids`."""
    rows = await session.fetch(_RECREATED, account)
    return RecreatedIds((row["number"], row["kind"], row["before_id"], row["created_id"]) for row in rows)


StepRow = tuple[Any, ...]


def row_of(step: Step) -> StepRow:
    """What is kept of a step; raises TypeError when something in it is no JSON."""
    before_id = step.before.id if isinstance(step, Update | Delete) else None
    created_id = step.after.id if isinstance(step, Create) and step.after else None
    return dump(to_record(step)), step.kind, step.outcome, step.undoes, before_id, created_id


async def put_steps(
    session: "Session", account: int, change_id: str, rows: Mapping[int, StepRow], epoch: int = 0
) -> None:
    """Record steps, by position; those that are pending are about to be sent under an epoch."""
    put = [(account, change_id, position, epoch * (row[2] == "pending"), *row) for position, row in rows.items()]
    await session.executemany(_PUT, put)
