"""What is recorded of changes and plans in the journal, and what became of it since; for one thread at a time."""

import json
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amo_mcp.changes.history import Recorded, RecreatedIds, steps_now
from amo_mcp.changes.steps import Change, ChangeStatus, Step, status_of
from amo_mcp.reorganize.plan import LIFETIME as PLAN_LIFETIME
from amo_mcp.reorganize.plan import Plan
from amo_mcp.storage.sqlite.database import JournalFile

AT_REST = 60.0
"""Seconds after which a request that was broken off is surely not being worked on any more."""

MOST_CHANGES = 10_000
LONGEST_KEPT = 400 * 86_400.0
"""Bounds of what is kept; what is dropped while it could still be undone is counted, and the count is told."""

_COLUMNS = "number, id, at, noted, tool, status, undoes, process"

_MADE_AGAIN = """
SELECT changes.number, json_extract(new.record, '$.kind'), json_extract(old.record, '$.before.id'),
    json_extract(new.record, '$.after.id')
FROM changes JOIN steps AS new ON new.change = changes.id
    JOIN steps AS old ON old.change = changes.undoes AND old.position = json_extract(new.record, '$.undoes')
WHERE changes.undoes IS NOT NULL AND json_extract(new.record, '$.action') = 'create'
    AND json_extract(new.record, '$.outcome') = 'done'
ORDER BY changes.number, new.position
"""


class PlanUsed(Exception):
    """The plan was carried out already."""


class UndoneMeanwhile(Exception):
    """What shall be taken back was taken back already, or is just being taken back."""


@dataclass(frozen=True)
class Unsettled:
    """A change that was left unfinished.

    Attributes:
        at_rest: whether what it sent has surely been worked on by now.
    """

    change: Change
    at_rest: bool


class Records:
    """The records of one process.

    Args:
        file: where they are kept; None keeps them in memory.
        clock: gives Unix seconds.
    """

    def __init__(self, file: Path | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._file = JournalFile(file, self._process)
        self._under_way: set[str] = set()

    def begin(self, tool: str, steps: Sequence[Step], undoes: str | None, plan_id: str | None) -> str:
        """Record a change that is about to be made, use its plan up, and give its id.

        Raises:
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: a step that is to be taken back is not there to be taken back any more.
        """
        change_id, now = f"c{secrets.token_hex(6)}", self._clock()
        with self._file.writing() as connection:
            if plan_id is not None:
                used = connection.execute("UPDATE plans SET applied = 1 WHERE id = ? AND NOT applied", (plan_id,))
                if used.rowcount != 1:
                    raise PlanUsed
            if undoes is not None and not self._can_be_undone(undoes, steps):
                raise UndoneMeanwhile
            connection.execute(
                "INSERT INTO changes (id, at, tool, status, undoes, process, noted, plan) "
                "VALUES (?, ?, ?, 'running', ?, ?, ?, ?)",
                (change_id, now, tool, undoes, self._process, now, plan_id),
            )
            connection.executemany(
                "INSERT INTO steps VALUES (?, ?, ?)",
                [(change_id, position, _text(step)) for position, step in enumerate(steps)],
            )
            self._drop_oldest(connection)
        self._under_way.add(change_id)
        return change_id

    def _can_be_undone(self, undoes: str, steps: Sequence[Step]) -> bool:
        """Whether no other undo is under way, and what the steps take back is still there to be taken back."""
        found = self._found(undoes)
        if found is None or any(undo.status == "running" for undo in found[0].undos):
            return False
        left = found[1].steps
        return all(left[step.undoes].outcome == "done" for step in steps if step.undoes is not None)

    def note(self, change_id: str, steps: dict[int, Step], status: ChangeStatus | None) -> None:
        """Record what is known now of some steps, by position, and of the change: with a status, it has ended."""
        if status is not None:
            self._under_way.discard(change_id)
        with self._file.writing() as connection:
            self._put(connection, change_id, steps)
            connection.execute(
                "UPDATE changes SET noted = ?, status = coalesce(?, status) WHERE id = ?",
                (self._clock(), status, change_id),
            )
            if status == "failed":
                self._free_plan(connection, change_id)

    def settle(self, change_id: str, found: dict[int, Step]) -> None:
        """Record what was found out of the steps of an unfinished change that are still open."""
        with self._file.writing() as connection:
            steps = self._recorded(change_id)
            new = {position: step for position, step in found.items() if steps[position].outcome == "intent"}
            status = status_of([new.get(position, step) for position, step in enumerate(steps)])
            self._put(connection, change_id, new)
            connection.execute("UPDATE changes SET status = ? WHERE id = ?", (status, change_id))
            if new:
                connection.execute("UPDATE changes SET noted = ? WHERE id = ?", (self._clock(), change_id))
                if status == "failed":
                    self._free_plan(connection, change_id)

    def _put(self, connection: sqlite3.Connection, change_id: str, steps: dict[int, Step]) -> None:
        connection.executemany(
            "UPDATE steps SET record = ? WHERE change = ? AND position = ?",
            [(_text(step), change_id, position) for position, step in steps.items()],
        )

    def _free_plan(self, connection: sqlite3.Connection, change_id: str) -> None:
        """Let the plan of a change be applied again, if nothing came of it."""
        if not any(step.outcome == "done" for step in self._recorded(change_id)):
            connection.execute(
                "UPDATE plans SET applied = 0 WHERE id = (SELECT plan FROM changes WHERE id = ?)", (change_id,)
            )

    def keep_plan(self, plan: Plan) -> None:
        """Keep a plan, and forget those that are dead."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM plans WHERE made < ?", (self._clock() - 2 * PLAN_LIFETIME,))
            texts = json.dumps([step.recorded() for step in plan.steps], ensure_ascii=False)
            connection.execute(
                "INSERT INTO plans (id, made, owner, steps) VALUES (?, ?, ?, ?)",
                (plan.id, plan.made, plan.owner, texts),
            )

    def plan(self, plan_id: str, owner: str) -> Plan | None:
        """A plan of `owner` that lives and was not applied."""
        row = (
            self._file.opened()
            .execute(
                "SELECT made, steps FROM plans WHERE id = ? AND owner = ? AND NOT applied AND made > ?",
                (plan_id, owner, self._clock() - PLAN_LIFETIME),
            )
            .fetchone()
        )
        if row is None:
            return None
        steps = tuple(Step.read(record) for record in json.loads(row[1]))
        return Plan(id=plan_id, made=row[0], owner=owner, steps=steps, warnings=())

    def changes(self, limit: int, before: int | None) -> list[tuple[int, Change]]:
        """Changes with their numbers, newest first, from below the number `before`."""
        rows = self._file.opened().execute(
            f"SELECT {_COLUMNS} FROM changes WHERE number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - constant
            (before or 2**62, limit),
        )
        found = rows.fetchall()
        successors = self.successors() if found else RecreatedIds()
        return [(row[0], self._read(row, successors)[1]) for row in found]

    def page(self, limit: int, before: int | None) -> tuple[list[tuple[int, Change]], int]:
        """`changes`, and how many were dropped for age or number while they could still be undone."""
        dropped = self._file.opened().execute("SELECT count(*) FROM dropped").fetchone()[0]
        return self.changes(limit, before), dropped

    def change(self, change_id: str) -> Change | None:
        """One change."""
        found = self._found(change_id)
        return None if found is None else found[1]

    def _found(self, change_id: str) -> tuple[Recorded, Change] | None:
        row = self._file.opened().execute(f"SELECT {_COLUMNS} FROM changes WHERE id = ?", (change_id,))  # noqa: S608
        found = row.fetchone()
        return None if found is None else self._read(found, self.successors())

    def unsettled(self) -> list[Unsettled]:
        """Changes that were broken off, here or by a process that is gone, or of which it is still to be found out."""
        rows = self._file.opened().execute(
            f"SELECT {_COLUMNS} FROM changes WHERE status IN ('running', 'interrupted')"  # noqa: S608 - constant
        )
        found, unsettled = rows.fetchall(), []
        successors = self.successors() if found else RecreatedIds()
        for row in found:
            record, change = self._read(row, successors)
            open_ended = any(step.outcome == "intent" for step in change.steps)
            if self._is_left(change.id, row[-1]) if record.status == "running" else open_ended:
                unsettled.append(Unsettled(change, at_rest=record.noted < self._clock() - AT_REST))
        return unsettled

    def successors(self) -> RecreatedIds:
        """What was deleted and came back under a new id."""
        return RecreatedIds(self._file.opened().execute(_MADE_AGAIN).fetchall())

    @property
    def is_open(self) -> bool:
        """Whether the file was opened already, for which it may have waited."""
        return self._file.is_open

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_left(self, change_id: str, process: str) -> bool:
        """Whether nobody works on a change any more."""
        if process == self._process:
            return change_id not in self._under_way
        return self._file.is_gone(process)

    def _read(self, row: tuple[Any, ...], successors: RecreatedIds) -> tuple[Recorded, Change]:
        """A change as it was recorded, and with what became of it since."""
        _, change_id, at, _, tool, status, undoes, _ = row
        record = self._with_undos(row)
        steps = tuple(steps_now(record, successors))
        status = status if status == "running" else status_of(steps)
        return record, Change(id=change_id, at=at, tool=tool, steps=steps, status=status, undoes=undoes)

    def _with_undos(self, row: tuple[Any, ...]) -> Recorded:
        number, change_id, at, noted, _, status, *_ = row
        rows = self._file.opened().execute(
            f"SELECT {_COLUMNS} FROM changes WHERE undoes = ? ORDER BY number",  # noqa: S608 - constant
            (change_id,),
        )
        undos = tuple(self._with_undos(undo) for undo in rows.fetchall())
        return Recorded(number, at, noted, status, tuple(self._recorded(change_id)), undos)

    def _recorded(self, change_id: str) -> list[Step]:
        records = self._file.opened().execute(
            "SELECT record FROM steps WHERE change = ? ORDER BY position", (change_id,)
        )
        return [Step.read(json.loads(record)) for (record,) in records.fetchall()]

    def _drop_oldest(self, connection: sqlite3.Connection) -> None:
        """Keep within the bounds; count what could still have been undone."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM changes "  # noqa: S608 - constant
            "WHERE status != 'running' AND (at < ? OR number <= (SELECT max(number) FROM changes) - ?)",
            (self._clock() - LONGEST_KEPT, MOST_CHANGES),
        )
        old = [self._read(row, self.successors())[1] for row in rows.fetchall()]
        undoable = [change for change in old if any(step.outcome == "done" for step in change.steps)]
        connection.executemany("DELETE FROM changes WHERE id = ?", [(change.id,) for change in old])
        connection.executemany("INSERT INTO dropped VALUES (1)", [() for _ in undoable])


def _text(step: Step) -> str:
    return json.dumps(step.recorded(), ensure_ascii=False, separators=(",", ":"))
