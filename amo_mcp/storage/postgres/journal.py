"""The journal of a team's replicas.

All writes of an account come one after the other, under an advisory lock. Who holds it and hangs loses it within
seconds, with all that was not committed.
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from amo_mcp.changes.history import RecreatedIds, can_be_undone, current_record, still_open
from amo_mcp.changes.journal import (
    Instant,
    Journal,
    JournalUnusable,
    Retention,
    StepKey,
    StorageUnavailable,
    UndoneMeanwhile,
    Unsettled,
    is_at_rest,
)
from amo_mcp.changes.leases import NOBODY, Asked, Lease, LeaseLost
from amo_mcp.changes.pending import PendingChange, pending_to_record
from amo_mcp.changes.records import ChangeRecord, ChangeStatus, overall_status
from amo_mcp.changes.steps import Outcome, Step
from amo_mcp.storage.postgres import audit
from amo_mcp.storage.postgres.database import Database, storable
from amo_mcp.storage.postgres.entries import (
    entries,
    moves,
    put_steps,
    recorded_steps,
    recreated_ids,
    row_of,
    steps_at,
)
from amo_mcp.storage.postgres.plans import free, use_up
from amo_mcp.storage.postgres.runs import AccountLease, PostgresRunStore
from amo_mcp.storage.records import dump
from amo_mcp.team.people import digest_of

if TYPE_CHECKING:
    from amo_mcp.storage.postgres.database import Session

_BEGIN = """
INSERT INTO changes (account, id, at, tool, status, undoes, plan, noted, noted_after,
    request, owner, asked_by, person, approval, holder, lease_until)
VALUES ($1, $2, coalesce($3, unix_now()), $4, 'running', $5, $6, coalesce($3, unix_now()),
    (SELECT coalesce(max(number), 0) + 1 FROM changes WHERE account = $1),
    $7, $8, $9, $10, $11, $12, unix_now() + $13)
RETURNING number, at
"""
_NOTE = """
UPDATE changes SET noted = coalesce($4, unix_now()), status = coalesce($5, status), reason = $6,
    noted_after = (SELECT max(number) FROM changes WHERE account = $1), lease_until = unix_now() + $7
WHERE account = $1 AND id = $2 AND epoch = $3 AND status = 'running'
RETURNING stop_requested
"""
_SETTLE = "UPDATE changes SET status = $3 WHERE account = $1 AND id = $2"
_SETTLED = """
UPDATE changes SET noted = coalesce($3, unix_now()),
    noted_after = (SELECT max(number) FROM changes WHERE account = $1)
WHERE account = $1 AND id = $2
"""
_WITHDRAW = "DELETE FROM changes WHERE account = $1 AND id = $2 AND epoch = 1 RETURNING id"
_ONE = "SELECT account, id FROM changes WHERE account = $1 AND id = $2"
_PAGE = """
SELECT account, id FROM changes WHERE account = $1 AND ($2::bigint IS NULL OR number < $2) ORDER BY number DESC LIMIT $3
"""
_UNSETTLED = """
SELECT account, id FROM changes WHERE account = $1 AND status = 'interrupted' AND EXISTS (
    SELECT 1 FROM steps WHERE steps.account = changes.account AND change = id AND outcome = 'pending'
)
"""
_OLDEST = "SELECT account, id FROM changes WHERE account = $1 AND status != 'running' ORDER BY number LIMIT $2"
_DROP = "DELETE FROM changes WHERE account = $1 AND id = ANY($2)"
_COUNT_DROPPED = """
INSERT INTO forgotten VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET undoable = forgotten.undoable + $2
"""
_DROPPED = "SELECT coalesce((SELECT undoable FROM forgotten WHERE account = $1), 0)"


class PostgresJournal(Journal):
    """The journal of one account.

    Args:
        database: where it is.
        account_id: asks for the account's id.
        runs: its changes as runs.
        clock: gives Unix seconds; None for the database's clock.
        retention: how long changes are kept.
    """

    def __init__(
        self,
        database: Database,
        account_id: Callable[[], Awaitable[int]],
        runs: PostgresRunStore,
        *,
        clock: Callable[[], float] | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._database = database
        self._account_id = account_id
        self._runs = runs
        self._clock = clock
        self._retention = retention or Retention()

    @override
    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Lease:
        account, change_id = await self._account_id(), f"c{secrets.token_hex(6)}"
        approval = None if asked.approval_id is None else digest_of(asked.approval_id)
        request = dump({key: value for key, value in pending_to_record(change).items() if key != "steps"})
        steps = {position: row_of(step) for position, step in enumerate(change.steps)}
        is_written = False
        try:
            async with self._writing(account) as session:
                if change.plan_id is not None:
                    await use_up(session, account, change.plan_id)
                if change.undoes is not None:
                    await _check_undoable(session, account, change)
                row = await session.fetchrow(
                    _BEGIN,
                    *(account, change_id, self._now, tool, change.undoes, change.plan_id, request),
                    *(asked.owner, asked.by, asked.person, approval, self._runs.holder, self._runs.seconds),
                )
                assert row is not None
                await put_steps(session, account, change_id, steps, 1)
                record = ChangeRecord(change_id, row["at"], tool, change.steps, "running", change.undoes, asked.by)
                await audit.begun(session, record, asked, approval)
                await self._forget(session, account, row["number"], row["at"])
                is_written = True
        except StorageUnavailable as error:
            if is_written and not await self._is_withdrawn(account, change_id, change.plan_id):
                raise StorageUnavailable(error.reason, begun=True) from error
            raise
        return self._runs.held(AccountLease(record, change, shared=self._runs, person=asked.person, account=account))

    @override
    async def note(
        self,
        lease: Lease,
        steps: Mapping[int, Step],
        status: ChangeStatus | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> bool:
        account = await self._runs.account_of(lease)
        rows = {position: row_of(step) for position, step in steps.items()}
        try:
            async with self._writing(account) as session:
                is_to_stop = await session.fetchval(
                    _NOTE,
                    *(account, lease.id, lease.epoch, self._now, status),
                    *(None if reason is None else dump(reason), self._runs.seconds),
                )
                if is_to_stop is None:
                    if await session.fetchrow(_ONE, account, lease.id) is None:
                        raise JournalUnusable("the change that is being made is not in it any more", begun=True)
                    raise LeaseLost
                await put_steps(session, account, lease.id, rows, lease.epoch)
                if status is not None:
                    await self._ended(session, account, lease.id, status)
        except StorageUnavailable as error:
            raise StorageUnavailable(error.reason, begun=True) from error
        if status is not None:
            self._runs.let_lapse(lease)
        return bool(is_to_stop)

    @override
    async def settle(self, change_id: str, found: Mapping[int, Step]) -> None:
        account = await self._account_id()
        async with self._writing(account) as session:
            for row, _ in await entries(session, f"{_ONE} AND status != 'running'", account, storable(change_id)):
                steps = recorded_steps(row)
                new = still_open(steps, found)
                status = overall_status([new.get(position, step) for position, step in enumerate(steps)])
                rows = {position: row_of(step) for position, step in new.items()}
                await put_steps(session, account, row["id"], rows)
                await session.execute(_SETTLE, account, row["id"], status)
                if new:
                    await session.execute(_SETTLED, account, row["id"], self._now)
                    await self._ended(session, account, row["id"], status)

    @override
    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, ChangeRecord]], int]:
        account = await self._account_id()
        async with self._database.transaction() as session:
            found = await entries(session, _PAGE, account, before, limit)
            recreated = await recreated_ids(session, account)
            dropped: int = await session.fetchval(_DROPPED, account)
        return [(row["number"], current_record(entry, recreated)) for row, entry in reversed(found)], dropped

    @override
    def kept_until(self, record: ChangeRecord) -> float:
        return max(record.at + self._retention.max_age, (self._clock or time.time)())

    @override
    async def change(self, change_id: str) -> ChangeRecord | None:
        account = await self._account_id()
        async with self._database.transaction() as session:
            for _, entry in await entries(session, _ONE, account, storable(change_id)):
                return current_record(entry, await recreated_ids(session, account))
        return None

    @override
    async def unsettled(self) -> list[Unsettled]:
        account = await self._account_id()
        async with self._database.transaction() as session:
            found = await entries(session, _UNSETTLED, account)
            recreated = await recreated_ids(session, account) if found else RecreatedIds()
        return [
            Unsettled(
                current_record(entry, recreated), is_at_rest(_instant(row["noted"]), _instant(self._now or row["now"]))
            )
            for row, entry in found
        ]

    @override
    async def moves(self, newest: int) -> dict[StepKey, Outcome]:
        account = await self._account_id()
        async with self._database.transaction() as session:
            return await moves(session, account, newest)

    @override
    async def steps(self, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
        account = await self._account_id()
        async with self._database.transaction() as session:
            return await steps_at(session, account, keys)

    @override
    async def recreated_ids(self) -> RecreatedIds:
        account = await self._account_id()
        async with self._database.transaction() as session:
            return await recreated_ids(session, account)

    @override
    async def close(self) -> None:
        """Do nothing: the database is closed by who opened it."""

    @property
    def _now(self) -> float | None:
        """Unix seconds of a clock that was given; None for the database's own."""
        return None if self._clock is None else self._clock()

    @asynccontextmanager
    async def _writing(self, account: int) -> "AsyncIterator[Session]":
        async with self._database.transaction() as session:
            await self._runs.lock(session, account)
            yield session

    async def _is_withdrawn(self, account: int, change_id: str, plan_id: str | None) -> bool:
        """Whether a change surely is not recorded whose recording may have come to its end unheard."""
        try:
            async with self._writing(account) as session:
                if await session.fetchrow(_ONE, account, change_id) is None:
                    return True
                is_withdrawn = await session.fetchval(_WITHDRAW, account, change_id) is not None
                if is_withdrawn:
                    await free(session, account, plan_id)
                    await audit.went_on(session, change_id, "withdrawn", (), self._now)
                return is_withdrawn
        except StorageUnavailable:
            return False

    async def _ended(self, session: "Session", account: int, change_id: str, status: ChangeStatus) -> None:
        """Tell the audit what a change ended with; its plan, if nothing came of it, can be applied again."""
        for row, entry in await entries(session, _ONE, account, change_id):
            steps = entry.record.steps
            await audit.went_on(session, change_id, status, steps, self._now)
            if status == "failed" and not any(step.outcome == "done" for step in steps):
                await free(session, account, row["plan"])

    async def _forget(self, session: "Session", account: int, last: int, now: float) -> None:
        """Drop some of the changes that are over, and count those that could still have been undone."""
        oldest = await entries(session, _OLDEST, account, self._retention.at_once)
        over = [entry for row, entry in oldest if self._retention.is_over(row["number"], row["at"], last=last, now=now)]
        if over:
            recreated = await recreated_ids(session, account)
            records = [current_record(entry, recreated) for entry in over]
            undoable = [record for record in records if any(step.outcome == "done" for step in record.steps)]
            await session.execute(_DROP, account, [record.id for record in records])
            await session.execute(_COUNT_DROPPED, account, len(undoable))


def _instant(at: float) -> Instant:
    """A moment of the database's clock, which is the only one here."""
    return Instant(at, at)


async def _check_undoable(session: "Session", account: int, undo: PendingChange) -> None:
    """Raise UndoneMeanwhile unless the steps can take the change back."""
    recreated = await recreated_ids(session, account)
    found = await entries(session, _ONE, account, undo.undoes)
    if not any(can_be_undone(entry, undo.steps, recreated) for _, entry in found):
        raise UndoneMeanwhile
