"""Changes as a SQLite database has them: each with its steps, and with the changes that undo it."""

from collections.abc import Iterable, Mapping
from sqlite3 import Connection, Row

from amo_mcp.changes.history import JournalEntry, RecreatedIds, current_record
from amo_mcp.changes.journal import StepKey
from amo_mcp.changes.records import ChangeRecord, from_record, to_record
from amo_mcp.changes.steps import Outcome, Step
from amo_mcp.storage.records import dump, load

CHANGES = "SELECT number, id, at, tool, status, undoes, noted_after, noted, uptime, process FROM changes"

_RECREATED = """
SELECT changes.number, json_extract(new.record, '$.kind'), json_extract(old.record, '$.before.id'),
    json_extract(new.record, '$.after.id')
FROM changes JOIN steps AS new ON new.change = changes.id
    JOIN steps AS old ON old.change = changes.undoes AND old.position = json_extract(new.record, '$.undoes')
WHERE changes.undoes IS NOT NULL AND json_extract(new.record, '$.action') = 'create'
    AND json_extract(new.record, '$.outcome') = 'done'
ORDER BY changes.number, new.position
"""

_MOVES = """
SELECT change, position, json_extract(record, '$.outcome')
FROM (SELECT number, id FROM changes ORDER BY number DESC LIMIT ?) AS latest JOIN steps ON change = id
WHERE json_extract(record, '$.action') = 'move' AND json_extract(record, '$.kind') = 'segment'
ORDER BY number, position
"""

_STEP = "SELECT record FROM steps WHERE change = ? AND position = ?"


def page(connection: Connection, *, limit: int, before: int | None) -> tuple[list[tuple[int, ChangeRecord]], int]:
    """See `Journal.page`."""
    [dropped] = connection.execute("SELECT undoable FROM dropped").fetchone()
    rows = connection.execute(
        f"{CHANGES} WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2", (before, limit)
    ).fetchall()
    recreated = recreated_ids(connection) if rows else RecreatedIds()
    return [(row["number"], current_record(read(connection, row), recreated)) for row in rows], dropped


def change(connection: Connection, *, change_id: str) -> ChangeRecord | None:
    """See `Journal.change`."""
    found = entry(connection, change_id)
    return None if found is None else current_record(found, recreated_ids(connection))


def recreated_ids(connection: Connection) -> RecreatedIds:
    """See `Journal.recreated_ids`."""
    return RecreatedIds(connection.execute(_RECREATED).fetchall())


def entry(connection: Connection, change_id: str) -> JournalEntry | None:
    """A change with the changes that undo it; None when there is no such change."""
    row = connection.execute(f"{CHANGES} WHERE id = ?", (change_id,)).fetchone()
    return None if row is None else read(connection, row)


def read(connection: Connection, row: Row) -> JournalEntry:
    """A change with the changes that undo it."""
    made = tuple(steps(connection, row["id"]))
    record = ChangeRecord(row["id"], row["at"], row["tool"], made, row["status"], row["undoes"])
    rows = connection.execute(f"{CHANGES} WHERE undoes = ? ORDER BY number", (record.id,)).fetchall()
    return JournalEntry(row["number"], record, row["noted_after"], tuple(read(connection, undo) for undo in rows))


def steps(connection: Connection, change_id: str) -> list[Step]:
    """The steps of a change as they were recorded."""
    rows = connection.execute("SELECT record FROM steps WHERE change = ? ORDER BY position", (change_id,))
    return [load(record, from_record) for (record,) in rows.fetchall()]


def moves(connection: Connection, *, newest: int) -> dict[StepKey, Outcome]:
    """See `Journal.moves`."""
    rows = connection.execute(_MOVES, (newest,))
    return {(change_id, position): outcome for change_id, position, outcome in rows.fetchall()}


def steps_at(connection: Connection, *, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
    """See `Journal.steps`."""
    found = {key: connection.execute(_STEP, key).fetchone() for key in keys}
    return {key: load(row["record"], from_record) for key, row in found.items() if row is not None}


def put(connection: Connection, change_id: str, made: Mapping[int, Step]) -> None:
    """Record steps, by position."""
    rows = [(text(step), change_id, position) for position, step in made.items()]
    connection.executemany("UPDATE steps SET record = ? WHERE change = ? AND position = ?", rows)


def text(step: Step) -> str:
    """A step's record. A pending one takes room for what comes of it: a full disk stops a write before it is sent."""
    record = dump(to_record(step))
    return record.ljust(2 * len(record) + 400) if step.outcome == "pending" else record
