"""Plans in the database of the replicas, beside the journal that uses them up."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from typing_extensions import override

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.plan import LIFETIME, Plan, PlanStore, PlanUsed
from amo_mcp.changes.records import from_record, to_record
from amo_mcp.storage.postgres.clock import DatabaseClock
from amo_mcp.storage.postgres.database import Database, storable
from amo_mcp.storage.records import dump, load

if TYPE_CHECKING:
    from amo_mcp.storage.postgres.database import Session

_KEEP = """
INSERT INTO plans (account, id, made, owner, steps, fields) VALUES ($1, $2, coalesce($3, unix_now()), $4, $5, $6)
"""
_FORGET = "DELETE FROM plans WHERE account = $1 AND made < coalesce($2, unix_now()) - $3"
_PLAN = """
SELECT made, steps, fields FROM plans
WHERE account = $1 AND id = $2 AND owner = $3 AND NOT applied AND abs(made - coalesce($4, unix_now())) < $5
"""
_USE_UP = "UPDATE plans SET applied = true WHERE account = $1 AND id = $2 AND NOT applied RETURNING id"
_FREE = "UPDATE plans SET applied = false WHERE account = $1 AND id = $2"


class PostgresPlanStore(PlanStore):
    """The plans of one account.

    Args:
        account_id: asks for the account's id.
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(
        self,
        database: Database,
        account_id: Callable[[], Awaitable[int]],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._database = database
        self._account_id = account_id
        self._clock = DatabaseClock(clock)

    @override
    async def keep(self, plan: Plan) -> None:
        account, now = await self._account_id(), self._clock.given
        steps = dump([to_record(step) for step in plan.steps])
        fields = dump([field.model_dump(mode="json", exclude_unset=True) for field in plan.fields])
        # By the clock of a replica, which may be wrong by hours, it could be too old at once.
        made = None if now is None else plan.made
        async with self._database.transaction() as session:
            await session.execute(_FORGET, account, now, 2 * LIFETIME)
            await session.execute(_KEEP, account, plan.id, made, plan.owner, steps, fields)

    @override
    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        account, now = await self._account_id(), self._clock.given
        row = await self._database.fetchrow(_PLAN, account, storable(plan_id), owner, now, LIFETIME)
        if row is None:
            return None
        steps = load(row["steps"], lambda records: tuple(map(from_record, records)))
        fields = load(row["fields"], lambda records: tuple(map(CustomField.model_validate, records)))
        return Plan(plan_id, row["made"], owner, steps, fields)


async def use_up(session: "Session", account: int, plan_id: str) -> None:
    """Use a plan up, within the transaction that begins its change.

    Raises:
        PlanUsed: it was used up before.
    """
    if await session.fetchval(_USE_UP, account, plan_id) is None:
        raise PlanUsed


async def free(session: "Session", account: int, plan_id: str | None) -> None:
    """Let a plan be applied again, within the transaction that ends its change."""
    await session.execute(_FREE, account, plan_id)
