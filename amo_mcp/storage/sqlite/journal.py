"""The journal in a SQLite database."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection
from typing import Any

from typing_extensions import override

from amo_mcp.changes.history import RecreatedIds, can_be_undone, current_record, still_open
from amo_mcp.changes.journal import (
    Instant,
    Journal,
    JournalUnusable,
    Retention,
    StepKey,
    UndoneMeanwhile,
    Unsettled,
    is_at_rest,
)
from amo_mcp.changes.leases import NOBODY, Asked, Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord, ChangeStatus, overall_status
from amo_mcp.changes.steps import Outcome, Step
from amo_mcp.storage.sqlite import entries
from amo_mcp.storage.sqlite.database import Database, DatabaseFile, MemoryDatabase
from amo_mcp.storage.sqlite.plans import free, use_up

_LATEST = 253_000_000_000.0
"""Unix seconds, in the year 9987: a clock that shows more is wrong, and dates end soon after."""

_LAST = "coalesce((SELECT max(number) FROM changes), 0)"

_HAS_PENDING = """
EXISTS (SELECT 1 FROM steps WHERE change = changes.id AND json_extract(record, '$.outcome') = 'pending')
"""


@dataclass
class _UnderWay:
    """A change that this process is making.

    Attributes:
        file: where it was begun.
        noted: when this process recorded something of it last, as the file says unless it is another one; None when
            that is not known.
    """

    file: DatabaseFile | MemoryDatabase
    noted: Instant | None = None


class SqliteJournal(Journal):
    """The journal of the account that a database is of.

    A change is recorded in the file in which it was begun, whichever account is behind the address by then.

    Args:
        database: where it is.
        clock: gives Unix seconds.
        uptime: gives the seconds since the machine was started (`Instant`).
        retention: how long changes are kept.
    """

    def __init__(
        self,
        database: Database | MemoryDatabase,
        *,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
        retention: Retention | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._uptime = uptime
        self._retention = retention or Retention()
        self._under_way: dict[str, _UnderWay] = {}

    @override
    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Lease:
        file = await self._database.file()
        record, noted = await file.write(partial(self._begin, file.process, tool, change))
        self._under_way[record.id] = _UnderWay(file, noted)
        return Lease(record, change)

    @override
    async def note(
        self,
        lease: Lease,
        steps: Mapping[int, Step],
        status: ChangeStatus | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> bool:
        change, now = self._under_way.get(lease.id) or _UnderWay(await self._database.file()), self._now()
        if status is not None:
            self._under_way.pop(lease.id, None)
        try:
            await change.file.write(partial(_note, lease.id, steps, status, change.noted, now))
        except JournalUnusable as error:
            raise JournalUnusable(error.reason, begun=True) from error
        change.noted = now
        return False

    @override
    async def settle(self, change_id: str, found: Mapping[int, Step]) -> None:
        # That nobody works on a change is true in any file; what was found is of the account that is there now.
        file = await self._database.file(to_read=not found)
        await file.write(partial(self._settle, change_id, found))

    @override
    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, ChangeRecord]], int]:
        file = await self._database.file(to_read=True)
        return await file.read(partial(entries.page, limit=limit, before=before))

    @override
    async def change(self, change_id: str) -> ChangeRecord | None:
        file = await self._database.file(to_read=True)
        return await file.read(partial(entries.change, change_id=change_id))

    @override
    async def unsettled(self) -> list[Unsettled]:
        file = await self._database.file(to_read=True)
        return await file.read(partial(self._unsettled, file))

    @override
    def kept_until(self, record: ChangeRecord) -> float:
        return max(record.at + self._retention.max_age, self._now().at)

    @override
    async def moves(self, newest: int) -> dict[StepKey, Outcome]:
        file = await self._database.file(to_read=True)
        return await file.read(partial(entries.moves, newest=newest))

    @override
    async def steps(self, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
        file = await self._database.file(to_read=True)
        return await file.read(partial(entries.steps_at, keys=keys))

    @override
    async def recreated_ids(self) -> RecreatedIds:
        file = await self._database.file(to_read=True)
        return await file.read(entries.recreated_ids)

    @override
    async def close(self) -> None:
        await self._database.close()

    def _begin(
        self, process: str, tool: str, change: PendingChange, connection: Connection
    ) -> tuple[ChangeRecord, Instant]:
        now = self._now()
        record = ChangeRecord(f"c{secrets.token_hex(6)}", now.at, tool, change.steps, "running", change.undoes)
        if change.plan_id is not None:
            use_up(connection, change.plan_id)
        if change.undoes is not None:
            entry = entries.entry(connection, change.undoes)
            if entry is None or not can_be_undone(entry, change.steps, entries.recreated_ids(connection)):
                raise UndoneMeanwhile
        number = connection.execute(
            "INSERT INTO changes (id, at, tool, status, undoes, process, noted, uptime, plan, noted_after) "
            f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {_LAST} + 1)",
            (record.id, now.at, tool, record.status, change.undoes, process, *now, change.plan_id),
        ).lastrowid
        connection.executemany(
            "INSERT INTO steps VALUES (?, ?, ?)",
            [(record.id, position, entries.text(step)) for position, step in enumerate(change.steps)],
        )
        self._forget(connection, number or 0, now.at)
        return record, now

    def _settle(self, change_id: str, found: Mapping[int, Step], connection: Connection) -> None:
        steps = entries.steps(connection, change_id)
        if not steps:
            return
        new = still_open(steps, found)
        status = overall_status([new.get(position, step) for position, step in enumerate(steps)])
        entries.put(connection, change_id, new)
        connection.execute("UPDATE changes SET status = ? WHERE id = ?", (status, change_id))
        if new:
            connection.execute(
                f"UPDATE changes SET noted = ?, uptime = ?, noted_after = {_LAST} WHERE id = ?",
                (*self._now(), change_id),
            )
            if status == "failed":
                _free_plan(connection, change_id)

    def _unsettled(self, file: DatabaseFile | MemoryDatabase, connection: Connection) -> list[Unsettled]:
        rows = connection.execute(
            f"{entries.CHANGES} WHERE status IN ('running', 'interrupted') AND (status = 'running' OR {_HAS_PENDING})"
        ).fetchall()
        left = [row for row in rows if row["status"] != "running" or self._is_left(file, row["id"], row["process"])]
        recreated = entries.recreated_ids(connection) if left else RecreatedIds()
        now = self._now()
        return [
            Unsettled(
                current_record(entries.read(connection, row), recreated),
                at_rest=is_at_rest(Instant(row["noted"], row["uptime"]), now),
            )
            for row in left
        ]

    def _now(self) -> Instant:
        return Instant(min(self._clock(), _LATEST), self._uptime())

    def _is_left(self, file: DatabaseFile | MemoryDatabase, change_id: str, process: str) -> bool:
        """Whether nobody works on a running change any more."""
        return change_id not in self._under_way if process == file.process else file.is_gone(process)

    def _forget(self, connection: Connection, last: int, now: float) -> None:
        """Drop some of the changes that are over, and count those that could still have been undone."""
        rows = connection.execute(
            f"{entries.CHANGES} WHERE status != 'running' ORDER BY number LIMIT ?", (self._retention.at_once,)
        ).fetchall()
        over = [row for row in rows if self._retention.is_over(row["number"], row["at"], last=last, now=now)]
        if over:
            recreated = entries.recreated_ids(connection)
            records = [current_record(entries.read(connection, row), recreated) for row in over]
            undoable = [record for record in records if any(step.outcome == "done" for step in record.steps)]
            connection.executemany("DELETE FROM changes WHERE id = ?", [(record.id,) for record in records])
            connection.execute("UPDATE dropped SET undoable = undoable + ?", (len(undoable),))


def _note(
    change_id: str,
    steps: Mapping[int, Step],
    status: ChangeStatus | None,
    left: Instant | None,
    now: Instant,
    connection: Connection,
) -> None:
    entries.put(connection, change_id, steps)
    noted = connection.execute(
        f"UPDATE changes SET noted = ?, uptime = ?, noted_after = {_LAST}, status = coalesce(?, status) "
        "WHERE id = ? AND noted = coalesce(?, noted) AND uptime = coalesce(?, uptime)",
        (*now, status, change_id, *(left or (None, None))),
    )
    if not noted.rowcount:
        raise JournalUnusable("the change that is being made is not in it any more, or not as it was left")
    if status == "failed":
        _free_plan(connection, change_id)


def _free_plan(connection: Connection, change_id: str) -> None:
    """Let the plan of a change that failed be applied again, if nothing came of it."""
    if not any(step.outcome == "done" for step in entries.steps(connection, change_id)):
        [plan_id] = connection.execute("SELECT plan FROM changes WHERE id = ?", (change_id,)).fetchone()
        free(connection, plan_id)
