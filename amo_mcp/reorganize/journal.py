"""The journal: every change is recorded, with things whole as they were, before it is sent.

This is what undo stands on, and "nothing is lost". One SQLite file for an account, shared by all processes of the
machine. A process that dies leaves its changes unfinished; whoever looks next finds that its lock is free, and settles
them.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from amo_mcp.reorganize.plan import LIFETIME as PLAN_LIFETIME
from amo_mcp.reorganize.plan import Plan
from amo_mcp.reorganize.steps import Change, ChangeStatus, Outcome, Step, status_of

AT_REST = 60.0
"""Seconds after which a request that was broken off is surely not being worked on any more."""

_T = TypeVar("_T")

MOST_CHANGES = 10_000
LONGEST_KEPT = 400 * 86_400.0
"""Bounds of what is kept; what is dropped while it could still be undone is counted, and the count is told."""

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


class PlanUsed(Exception):
    """The plan was carried out already."""


class Journal:
    """The journal of one account.

    Args:
        file: where it is kept; None keeps it in memory, for the sandbox in process.
        clock: gives Unix seconds.
    """

    def __init__(self, file: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._one_at_a_time = anyio.Lock()
        self._connection: sqlite3.Connection | None = None
        self._alive: Any = None

    async def begin(
        self, tool: str, steps: Sequence[Step], *, undoes: str | None = None, plan_id: str | None = None
    ) -> str:
        """Record a change that is about to be made, use its plan up, and give its id.

        Raises:
            PlanUsed: the plan was carried out already.
        """
        return await self._run(self._begin, tool, steps, undoes, plan_id)

    async def note(self, change_id: str, steps: dict[int, Step], status: ChangeStatus | None = None) -> None:
        """Record what is known now of some steps, by position, and of the change.

        The plan of a change that has ended and of which nothing came can be applied again.
        """
        await self._run(self._note, change_id, steps, status)

    async def changes(self, limit: int, before: int | None = None) -> list[tuple[int, Change]]:
        """Changes with their numbers, newest first, from below the number `before`."""
        return await self._run(self._changes, limit, before)

    async def change(self, change_id: str) -> Change | None:
        """One change."""
        return await self._run(self._change, change_id)

    async def unsettled(self) -> list[Change]:
        """Changes that were left unfinished by a process that is gone, or by this one's own failing."""
        return await self._run(self._unsettled)

    async def dropped(self) -> int:
        """How many changes were dropped for age or number while they could still be undone."""
        return await self._run(lambda: self._count("SELECT count(*) FROM dropped"))

    async def keep_plan(self, plan: Plan) -> None:
        """Keep a plan, and forget those that are dead."""
        await self._run(self._keep_plan, plan)

    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        """A plan of `owner` that lives and was not applied."""
        return await self._run(self._plan, plan_id, owner)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._alive is not None:
            self._alive.release()
            Path(self._alive.lock_file).unlink(missing_ok=True)

    async def _run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do it in a thread, one at a time, to the end: a record that is begun is finished."""
        # The shield is around the lock too: what came of a change is recorded even when its call has been cancelled.
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                done = await anyio.to_thread.run_sync(work, *arguments)
        return done

    def _begin(self, tool: str, steps: Sequence[Step], undoes: str | None, plan_id: str | None) -> str:
        change_id, now = secrets.token_hex(6), self._clock()
        with self._writing() as connection:
            if plan_id is not None:
                used = connection.execute("UPDATE plans SET applied = 1 WHERE id = ? AND NOT applied", (plan_id,))
                if used.rowcount != 1:
                    raise PlanUsed
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
        return change_id

    def _note(self, change_id: str, steps: dict[int, Step], status: ChangeStatus | None) -> None:
        with self._writing() as connection:
            connection.executemany(
                "UPDATE steps SET record = ? WHERE change = ? AND position = ?",
                [(_text(step), change_id, position) for position, step in steps.items()],
            )
            connection.execute(
                "UPDATE changes SET noted = ?, status = coalesce(?, status) WHERE id = ?",
                (self._clock(), status, change_id),
            )
            if status == "failed":
                done = any(step.outcome == "done" for step in self._recorded(change_id))
                if not done:
                    connection.execute(
                        "UPDATE plans SET applied = 0 WHERE id = (SELECT plan FROM changes WHERE id = ?)", (change_id,)
                    )

    def _keep_plan(self, plan: Plan) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM plans WHERE made < ?", (self._clock() - 2 * PLAN_LIFETIME,))
            texts = json.dumps([step.recorded() for step in plan.steps], ensure_ascii=False)
            connection.execute(
                "INSERT INTO plans (id, made, owner, steps) VALUES (?, ?, ?, ?)",
                (plan.id, plan.made, plan.owner, texts),
            )

    def _plan(self, plan_id: str, owner: str) -> Plan | None:
        row = (
            self._opened()
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

    def _changes(self, limit: int, before: int | None) -> list[tuple[int, Change]]:
        rows = self._opened().execute(
            "SELECT number, id, at, tool, status, undoes FROM changes WHERE number < ? ORDER BY number DESC LIMIT ?",
            (before or 2**62, limit),
        )
        return [(row[0], self._read(row[1:])) for row in rows.fetchall()]

    def _change(self, change_id: str) -> Change | None:
        row = self._opened().execute("SELECT id, at, tool, status, undoes FROM changes WHERE id = ?", (change_id,))
        found = row.fetchone()
        return None if found is None else self._read(found)

    def _unsettled(self) -> list[Change]:
        """Changes of processes that are gone, and those that were broken off here and have come to rest since."""
        rows = self._opened().execute(
            "SELECT id, at, tool, status, undoes, process, noted FROM changes "
            "WHERE status IN ('running', 'interrupted')"
        )
        found = [(self._read(row[:5]), *row[3:]) for row in rows.fetchall()]
        return [
            change
            for change, status, _, process, noted in found
            if self._is_unsettled(change, running=status == "running", process=process, noted=noted)
        ]

    def _is_unsettled(self, change: Change, *, running: bool, process: str, noted: float) -> bool:
        if running:
            return process != self._process and self._is_gone(process)
        return noted < self._clock() - AT_REST and any(step.outcome == "intent" for step in change.steps)

    def _read(self, row: tuple[Any, ...]) -> Change:
        change_id, at, tool, status, undoes = row
        steps = self._effective(change_id)
        return Change(
            id=change_id,
            at=at,
            tool=tool,
            steps=tuple(steps),
            status=status if status == "running" else status_of(steps),
            undoes=undoes,
        )

    def _effective(self, change_id: str) -> list[Step]:
        """The steps with what became of them since: an undo takes them back, and its own undo brings them again."""
        steps = self._recorded(change_id)
        undos = self._opened().execute("SELECT id, status FROM changes WHERE undoes = ? ORDER BY number", (change_id,))
        for undo_id, status in undos.fetchall():
            taken = self._effective(undo_id)
            for step in taken:
                if step.undoes is not None and step.outcome in ("done", "undone"):
                    became: Outcome = "undone" if step.outcome == "done" else "done"
                    steps[step.undoes] = steps[step.undoes].came(became, step.after)
            if status == "done" and all(step.outcome == "done" for step in taken):
                steps = [step.came("undone") if step.outcome == "done" else step for step in steps]
        return steps

    def _recorded(self, change_id: str) -> list[Step]:
        records = self._opened().execute("SELECT record FROM steps WHERE change = ? ORDER BY position", (change_id,))
        return [Step.read(json.loads(record)) for (record,) in records.fetchall()]

    def _drop_oldest(self, connection: sqlite3.Connection) -> None:
        """Keep within the bounds; count what could still have been undone."""
        rows = connection.execute(
            "SELECT id, at, tool, status, undoes FROM changes "
            "WHERE status != 'running' AND (at < ? OR number <= (SELECT max(number) FROM changes) - ?)",
            (self._clock() - LONGEST_KEPT, MOST_CHANGES),
        )
        old = [self._read(row) for row in rows.fetchall()]
        undoable = [change for change in old if any(step.outcome == "done" for step in change.steps)]
        connection.executemany("DELETE FROM changes WHERE id = ?", [(change.id,) for change in old])
        connection.executemany("INSERT INTO dropped VALUES (1)", [() for _ in undoable])

    def _count(self, query: str) -> int:
        return int(self._opened().execute(query).fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._file is not None:
                self._file.touch(mode=0o600)
                self._alive = _lock(self._lock_file(self._process))
                self._alive.acquire()
            connection = sqlite3.connect(
                self._file or ":memory:", isolation_level=None, check_same_thread=False, timeout=10
            )
            connection.executescript(
                f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; {_SCHEMA}"
            )
            self._connection = connection
        return self._connection

    def _lock_file(self, process: str) -> Path:
        assert self._file is not None  # noqa: S101 - only a shared journal has other processes
        return self._file.with_name(f"{self._file.stem}-{process}.lock")

    def _is_gone(self, process: str) -> bool:
        """Whether the process holds its lock no more; one in memory has no other process."""
        from filelock import Timeout

        lock = _lock(self._lock_file(process))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        return True


def _lock(file: Path) -> Any:
    from filelock import FileLock

    return FileLock(file, thread_local=False, mode=0o600)


def _text(step: Step) -> str:
    return json.dumps(step.recorded(), ensure_ascii=False, separators=(",", ":"))
