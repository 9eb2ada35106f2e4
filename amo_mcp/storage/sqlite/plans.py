"""Plans in a SQLite database, beside the journal that uses them up."""

import time
from collections.abc import Callable
from functools import partial
from sqlite3 import Connection

from typing_extensions import override

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.plan import LIFETIME, Plan, PlanStore, PlanUsed
from amo_mcp.changes.records import from_record, to_record
from amo_mcp.storage.records import dump, load
from amo_mcp.storage.sqlite.database import Database, MemoryDatabase


class SqlitePlanStore(PlanStore):
    """The plans of the account that a database is of."""

    def __init__(self, database: Database | MemoryDatabase, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    @override
    async def keep(self, plan: Plan) -> None:
        file = await self._database.file()
        await file.write(partial(_keep, plan, self._clock()))

    @override
    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        file = await self._database.file()
        return await file.read(partial(_plan, plan_id, owner, self._clock()))


def use_up(connection: Connection, plan_id: str) -> None:
    """Use a plan up, within the transaction that begins its change.

    Raises:
        PlanUsed: it was used up before.
    """
    used = connection.execute("UPDATE plans SET applied = 1 WHERE id = ? AND NOT applied", (plan_id,))
    if used.rowcount != 1:
        raise PlanUsed


def free(connection: Connection, plan_id: str | None) -> None:
    """Let a plan be applied again, within the transaction that ends its change."""
    connection.execute("UPDATE plans SET applied = 0 WHERE id = ?", (plan_id,))


def _keep(plan: Plan, now: float, connection: Connection) -> None:
    connection.execute("DELETE FROM plans WHERE made < ?", (now - 2 * LIFETIME,))
    steps = [to_record(step) for step in plan.steps]
    fields = [field.model_dump(mode="json", exclude_unset=True) for field in plan.fields]
    connection.execute(
        "INSERT INTO plans (id, made, owner, steps, fields) VALUES (?, ?, ?, ?, ?)",
        (plan.id, plan.made, plan.owner, dump(steps), dump(fields)),
    )


def _plan(plan_id: str, owner: str, now: float, connection: Connection) -> Plan | None:
    row = connection.execute(
        "SELECT made, steps, fields FROM plans WHERE id = ? AND owner = ? AND NOT applied AND abs(made - ?) < ?",
        (plan_id, owner, now, LIFETIME),
    ).fetchone()
    if row is None:
        return None
    steps = load(row["steps"], lambda records: tuple(map(from_record, records)))
    fields = load(row["fields"], lambda records: tuple(map(CustomField.model_validate, records)))
    return Plan(plan_id, row["made"], owner, steps, fields)
