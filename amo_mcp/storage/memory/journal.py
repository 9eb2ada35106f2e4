"""The journal of one process, for as long as it lives (see `amo_mcp.changes.journal.Journal` for what it promises)."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from amo_mcp.changes.history import JournalEntry, RecreatedIds, can_be_undone, current_record, still_open
from amo_mcp.changes.journal import Journal, JournalUnusable, Retention, UndoneMeanwhile, Unsettled, is_at_rest
from amo_mcp.changes.steps import ChangeRecord, ChangeStatus, Create, Kind, Step, overall_status
from amo_mcp.storage.memory.plans import MemoryPlanStore
from amo_mcp.storage.records import dump_step, load_step


@dataclass
class _Row:
    """A change as it was recorded.

    Attributes:
        steps: a JSON text each, as in a file.
        noted: when something was last recorded of it, in Unix seconds.
        noted_after: the number of the newest change then.
    """

    number: int
    id: str
    at: float
    tool: str
    status: ChangeStatus
    undoes: str | None
    plan_id: str | None
    steps: list[str]
    noted: float
    noted_after: int


class MemoryJournal(Journal):
    """The journal of one account, which no other process sees.

    Args:
        plans: the plans that its changes use up.
        clock: gives Unix seconds.
        retention: how long changes are kept.
    """

    def __init__(
        self,
        plans: MemoryPlanStore | None = None,
        *,
        clock: Callable[[], float] = time.time,
        retention: Retention | None = None,
    ) -> None:
        self._plans = plans or MemoryPlanStore(clock=clock)
        self._clock = clock
        self._retention = retention or Retention()
        self._rows: dict[str, _Row] = {}
        self._last = 0
        self._dropped = 0
        self._under_way: set[str] = set()

    @override
    async def begin(
        self, tool: str, steps: Sequence[Step], *, undoes: str | None = None, plan_id: str | None = None
    ) -> ChangeRecord:
        texts = [dump_step(step) for step in steps]
        if undoes is not None:
            row = self._rows.get(undoes)
            if row is None or not can_be_undone(self._entry(row), steps, self._recreated()):
                raise UndoneMeanwhile
        if plan_id is not None:
            self._plans.use_up(plan_id)
        self._last += 1
        now = self._clock()
        record = ChangeRecord(f"c{secrets.token_hex(6)}", now, tool, tuple(steps), "running", undoes)
        self._rows[record.id] = _Row(
            number=self._last,
            id=record.id,
            at=now,
            tool=tool,
            status="running",
            undoes=undoes,
            plan_id=plan_id,
            steps=texts,
            noted=now,
            noted_after=self._last,
        )
        self._under_way.add(record.id)
        self._forget(now)
        return record

    @override
    async def note(self, change_id: str, steps: Mapping[int, Step], status: ChangeStatus | None = None) -> None:
        if status is not None:
            self._under_way.discard(change_id)
        row = self._rows.get(change_id)
        if row is None:
            raise JournalUnusable("the change that is being made is not in it any more", begun=True)
        self._put(row, steps)
        if status is not None:
            self._end(row, status)

    @override
    async def settle(self, change_id: str, found: Mapping[int, Step]) -> None:
        row = self._rows.get(change_id)
        if row is None:
            return
        steps = _steps(row)
        new = still_open(steps, found)
        status = overall_status([new.get(position, step) for position, step in enumerate(steps)])
        if new:
            self._put(row, new)
            self._end(row, status)
        else:
            row.status = status

    @override
    async def changes(self, limit: int, before: int | None = None) -> list[tuple[int, ChangeRecord]]:
        rows = [row for row in reversed(self._rows.values()) if before is None or row.number < before][:limit]
        recreated = self._recreated()
        return [(row.number, current_record(self._entry(row), recreated)) for row in rows]

    @override
    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, ChangeRecord]], int]:
        return await self.changes(limit, before), self._dropped

    @override
    async def change(self, change_id: str) -> ChangeRecord | None:
        row = self._rows.get(change_id)
        return None if row is None else current_record(self._entry(row), self._recreated())

    @override
    async def unsettled(self) -> list[Unsettled]:
        left = [row for row in self._rows.values() if self._is_left(row)]
        recreated = self._recreated() if left else RecreatedIds()
        now = self._clock()
        return [Unsettled(current_record(self._entry(row), recreated), is_at_rest(row.noted, now)) for row in left]

    @override
    async def recreated_ids(self) -> RecreatedIds:
        return self._recreated()

    @override
    async def close(self) -> None:
        pass

    def _put(self, row: _Row, steps: Mapping[int, Step]) -> None:
        texts = {position: dump_step(step) for position, step in steps.items()}
        row.steps = [texts.get(position, text) for position, text in enumerate(row.steps)]
        row.noted, row.noted_after = self._clock(), self._last

    def _end(self, row: _Row, status: ChangeStatus) -> None:
        row.status = status
        if status == "failed" and not any(step.outcome == "done" for step in _steps(row)):
            self._plans.free(row.plan_id)

    def _is_left(self, row: _Row) -> bool:
        """Whether nobody works on a change any more, and something is to be found out about it."""
        if row.status == "running":
            return row.id not in self._under_way
        return row.status == "interrupted" and any(step.outcome == "pending" for step in _steps(row))

    def _entry(self, row: _Row) -> JournalEntry:
        undos = tuple(self._entry(undo) for undo in self._rows.values() if undo.undoes == row.id)
        record = ChangeRecord(row.id, row.at, row.tool, tuple(_steps(row)), row.status, row.undoes)
        return JournalEntry(row.number, record, row.noted_after, undos)

    def _recreated(self) -> RecreatedIds:
        return RecreatedIds(self._recreations())

    def _recreations(self) -> Iterator[tuple[int, Kind, int, int]]:
        for undo in self._rows.values():
            row = self._rows.get(undo.undoes or "")
            if row is None:
                continue
            undone = _steps(row)
            for step in _steps(undo):
                if isinstance(step, Create) and step.outcome == "done" and step.after and step.undoes is not None:
                    deleted = undone[step.undoes]
                    if not isinstance(deleted, Create):
                        yield undo.number, step.kind, deleted.before.id, step.after.id

    def _forget(self, now: float) -> None:
        """Drop some of the changes that are over, and count those that could still have been undone."""
        ended = [row for row in self._rows.values() if row.status != "running"][: self._retention.at_once]
        over = [row for row in ended if self._retention.is_over(row.number, row.at, last=self._last, now=now)]
        if over:
            recreated = self._recreated()
            records = [current_record(self._entry(row), recreated) for row in over]
            self._dropped += len([record for record in records if any(step.outcome == "done" for step in record.steps)])
            for record in records:
                del self._rows[record.id]


def _steps(row: _Row) -> list[Step]:
    return [load_step(text) for text in row.steps]
