"""The changes of a team's replicas as runs. How long a lease lasts, the database's clock says."""

import json
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from amo_mcp.changes.history import current_record
from amo_mcp.changes.journal import AT_REST, StorageUnavailable
from amo_mcp.changes.leases import Lease, LeaseLost, Others, RunState, RunStore
from amo_mcp.changes.pending import PendingChange, pending_from_record
from amo_mcp.changes.records import from_record, to_record
from amo_mcp.changes.steps import Create, Kind, Step
from amo_mcp.storage.postgres.audit import went_on
from amo_mcp.storage.postgres.database import Database, storable
from amo_mcp.storage.postgres.entries import entries, record_of, recorded_steps, recreated_ids
from amo_mcp.storage.records import dump, load
from amo_mcp.team.people import digest_of

if TYPE_CHECKING:
    from asyncpg import Record

    from amo_mcp.storage.postgres.database import Session

_MAX_PAUSE = 5.0
"""Seconds after which the database breaks off a transaction that does nothing, since its process hangs; or a lease."""

_LOCK = 0x6A6F75726E
"""The key of the advisory lock, to which the account's id is added: "journ"."""

_TAKE_LOCK = "SELECT set_config('idle_in_transaction_session_timeout', $1, true), pg_advisory_xact_lock($2)"

_CLAIM = """
UPDATE changes SET epoch = epoch + 1, holder = $2, lease_until = unix_now() + $3
WHERE (account, id) = (
    SELECT account, id FROM changes WHERE account = $1 AND status = 'running' AND lease_until <= unix_now()
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id
"""
_RENEW = """
UPDATE changes SET lease_until = unix_now() + $4 WHERE account = $1 AND id = $2 AND epoch = $3 AND status = 'running'
RETURNING stop_requested
"""
_RENEW_ALL = """
UPDATE changes SET lease_until = unix_now() + $4
FROM unnest($1::bigint[], $2::text[], $3::integer[]) AS mine (account, id, epoch)
WHERE (changes.account, changes.id, changes.epoch) = (mine.account, mine.id, mine.epoch) AND status = 'running'
RETURNING changes.id
"""
_GIVE_BACK = "UPDATE changes SET lease_until = unix_now() WHERE account = $1 AND id = $2 AND epoch = $3"
_STOP = "UPDATE changes SET stop_requested = true WHERE account = $1 AND id = $2"
_TELL = "UPDATE changes SET told = true WHERE account = $1 AND id = $2"
_BESIDE = """
SELECT record, created_id FROM steps JOIN changes ON (changes.account, changes.id) = (steps.account, change)
WHERE steps.account = $1 AND change != $2 AND kind = $3 AND before_id IS NULL
    AND noted > (SELECT at FROM changes WHERE account = $1 AND id = $2) - $4
"""
_LATE = "SELECT late FROM steps WHERE account = $1 AND change = $2 AND position = $3 FOR UPDATE"
_PUT_LATE = "UPDATE steps SET late = $4 WHERE account = $1 AND change = $2 AND position = $3"
_ONE = "SELECT account, id FROM changes WHERE account = $1 AND id = $2"
_FIND = """
SELECT account, id FROM changes
WHERE account = $1 AND owner = $2 AND (approval = $5 OR plan = $3 AND (NOT told OR $6) OR NOT told AND undoes = $4)
ORDER BY number DESC LIMIT 1
"""

_RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccountLease(Lease):
    """A lease of a change of one account, whichever is behind the address by now, or however it is asked for."""

    account: int = 0


class PostgresRunStore(RunStore):
    """The runs of one account.

    Args:
        database: where they are.
        account_id: asks for the account's id; what it raises is raised where it is not known from a lease.
        seconds: how long a lease lasts.

    Attributes:
        holder: the name of this process, for who looks into the database.
    """

    def __init__(self, database: Database, account_id: Callable[[], Awaitable[int]], *, seconds: float) -> None:
        self.seconds = seconds
        self.holder = f"{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(4)}"
        self._database = database
        self._account_id = account_id
        self._held: dict[str, AccountLease] = {}

    def held(self, lease: AccountLease) -> Lease:
        """The lease, which is renewed from now on."""
        self._held[lease.id] = lease
        return lease

    @override
    async def claim(self) -> Lease | None:
        account = await self._account_id()
        # One statement, so that a process that hangs holds up nobody; who dies after it has a lease like any other.
        claimed = await self._database.fetchval(_CLAIM, account, self.holder, self.seconds)
        if claimed is None:
            return None
        async with self._database.transaction() as session:
            [(row, _)] = await entries(session, _ONE, account, claimed)
        steps = recorded_steps(row)
        lease = AccountLease(record_of(row, steps), _request_of(row, steps), row["epoch"], self, row["person"], account)
        return self.held(lease)

    @override
    async def renew(self, lease: Lease) -> bool:
        account = await self.account_of(lease)
        try:
            is_to_stop = await self._database.fetchval(_RENEW, account, lease.id, lease.epoch, self.seconds)
        except StorageUnavailable as error:
            raise StorageUnavailable(error.reason, begun=True) from error
        if is_to_stop is None:
            self.let_lapse(lease)
            raise LeaseLost
        return bool(is_to_stop)

    @override
    async def renew_all(self) -> None:
        held = [*self._held.values()]
        if held:
            mine = [[getattr(lease, name) for lease in held] for name in ("account", "id", "epoch")]
            renewed = {row["id"] for row in await self._database.fetch(_RENEW_ALL, *mine, self.seconds)}
            for lease in held:
                if lease.id not in renewed:
                    self.let_lapse(lease)

    @override
    async def give_back(self, lease: Lease) -> None:
        self.let_lapse(lease)
        await self._database.execute(_GIVE_BACK, await self.account_of(lease), lease.id, lease.epoch)

    @override
    def let_lapse(self, lease: Lease) -> None:
        if self._held.get(lease.id) is lease:
            del self._held[lease.id]

    @override
    async def created_beside(self, lease: Lease, kind: Kind) -> Others:
        account = await self.account_of(lease)
        rows = await self._database.fetch(_BESIDE, account, lease.id, kind, AT_REST)
        steps = [load(row["record"], from_record) for row in rows]
        created = [row["created_id"] for row in rows if row["created_id"] is not None]
        return Others(created, [step.name for step in steps if isinstance(step, Create)])

    @override
    async def note_late(self, lease: Lease, made: Mapping[int, Sequence[Step]]) -> None:
        account = await self.account_of(lease)
        while True:
            try:
                async with self._database.transaction() as session:
                    await self.lock(session, account)
                    for position, steps in made.items():
                        late = json.loads(await session.fetchval(_LATE, account, lease.id, position))
                        late += [(lease.epoch, to_record(step)) for step in steps]
                        await session.execute(_PUT_LATE, account, lease.id, position, dump(late))
                        await went_on(session, lease.id, "late", steps)
            except StorageUnavailable:
                # Nobody else knows of it.
                logger.warning("What was made late for the change %s waits for the database", lease.id)
                await anyio.sleep(_RETRY_SECONDS)
            else:
                return

    @override
    async def request_stop(self, change_id: str) -> None:
        await self._database.execute(_STOP, await self._account_id(), storable(change_id))

    @override
    async def state(self, change_id: str) -> RunState | None:
        return await self._state(_ONE, await self._account_id(), storable(change_id))

    @override
    async def find(
        self,
        owner: str,
        *,
        plan_id: str | None = None,
        undoes: str | None = None,
        approval_id: str | None = None,
        told: bool = False,
    ) -> RunState | None:
        named = [None if one is None else storable(one) for one in (plan_id, undoes)]
        digest = None if approval_id is None else digest_of(approval_id)
        return await self._state(_FIND, await self._account_id(), owner, *named, digest, told)

    @override
    async def mark_told(self, change_id: str) -> None:
        await self._database.execute(_TELL, await self._account_id(), change_id)

    async def account_of(self, lease: Lease) -> int:
        """The account of the change."""
        return lease.account if isinstance(lease, AccountLease) else await self._account_id()

    async def lock(self, session: "Session", account: int) -> None:
        """Wait until nobody else writes changes of the account, and let the others wait until the transaction ends."""
        pause = min(self.seconds, _MAX_PAUSE)
        await session.execute(_TAKE_LOCK, f"{pause * 1000:.0f}", _LOCK + account)

    async def _state(self, chosen: str, account: int, *args: object) -> RunState | None:
        async with self._database.transaction() as session:
            for row, entry in await entries(session, chosen, account, *args):
                record = current_record(entry, await recreated_ids(session, account))
                reason = None if row["reason"] is None else json.loads(row["reason"])
                return RunState(record, _request_of(row, record.steps), row["owner"], row["noted"], reason)
        return None


def _request_of(row: "Record", steps: Sequence[Step]) -> PendingChange:
    """What was agreed to, with the steps as they are recorded."""
    records = [to_record(step) for step in steps]
    return load(row["request"], lambda request: pending_from_record({**request, "steps": records}))
