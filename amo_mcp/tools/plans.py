"""Many changes at once: planned against the account as it is, confirmed once, carried out in order."""

import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from amo_mcp.amocrm.inputs import Text
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.members import NOBODY
from amo_mcp.changes.membership import read_crowd
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import LIFETIME, new_id
from amo_mcp.changes.snapshot import TargetChanged, drift, on_account, read_snapshot
from amo_mcp.changes.steps import check_mode, customers_affected, fields_of
from amo_mcp.confirmation.diff import on_one_line
from amo_mcp.confirmation.picture import plan_picture
from amo_mcp.failures.failure import Failure
from amo_mcp.reorganize.cost import Pace, cost_of
from amo_mcp.reorganize.plan import MAX_CHANGES, PlannedChange, loses_customers, make_plan
from amo_mcp.text import quote_given, sanitize
from amo_mcp.tools.runtime.answers import Applied
from amo_mcp.tools.runtime.tool import DESTRUCTIVE, READ, Confirm, CurrentCall, Output, Watched, tool

_MAX_LINE = 4000


class PlanAnswer(Output):
    """The plan: what will be done, in order, and what a person should know of it."""

    plan_id: str
    steps: list[str]
    warnings: list[str]
    customers_affected: int
    requests: int
    seconds: float
    expires_at: str


@tool("Plan changes", READ, on_board=True)
async def plan_changes(
    changes: Annotated[
        list[PlannedChange], Field(min_length=1, max_length=MAX_CHANGES, description="The changes, in order")
    ],
    call: CurrentCall,
) -> PlanAnswer:
    """Plan many changes at once, in bulk (rename, merge, delete) for apply_plan: the diff, warnings and cost.

    Changes nothing.
    """
    account = call.account
    kinds = sorted({change.kind for change in changes})
    mode = (await account.cached.account()).customers_mode
    for kind in kinds:
        check_mode(kind, mode)
    with_fields = any(change.custom_fields_values for change in changes)
    snapshot = await read_snapshot(account.client, kinds, with_fields=with_fields)
    crowd = await read_crowd(account.client) if loses_customers(changes, snapshot) else NOBODY
    reader = await account.profile.reader()
    plan, warnings = make_plan(
        changes, snapshot, plan_id=new_id(), made=time.time(), owner=call.caller.digest, zone=reader.zone, crowd=crowd
    )
    await account.plans.keep(plan)
    requests, seconds = cost_of(plan.steps, Pace(account.requests_per_second, account.client.round_trip), crowd)
    answer = PlanAnswer(
        plan_id=plan.id,
        steps=[f"{number}. {on_one_line(step, plan.fields, reader)}" for number, step in enumerate(plan.steps, 1)],
        warnings=[sanitize(warning, _MAX_LINE) for warning in warnings],
        customers_affected=customers_affected(plan.steps),
        requests=requests,
        seconds=round(seconds, 1),
        expires_at=iso_utc(datetime.fromtimestamp(plan.made + LIFETIME, UTC)),
    )
    return answer.drawn(plan_picture(PendingChange(plan.steps, plan.fields, plan_id=plan.id), reader))


@tool("Apply a plan", DESTRUCTIVE, on_board=True)
async def apply_plan(
    plan_id: Annotated[Text, Field(description="From plan_changes")], call: CurrentCall
) -> Confirm[Applied] | Watched:
    """Carry out a plan after one confirmation by a person. It stops at the first failure and says what was done."""
    account = call.account
    if run := await account.run_of(plan_id=plan_id):
        return Watched(run)
    plan = await account.plans.plan(plan_id, call.caller.digest)
    if plan is None:
        raise Failure(
            "not_found",
            f"No plan of yours has the plan_id {quote_given(plan_id)}: "
            "it was applied, is older than an hour, or never was.",
            "Make a new one with plan_changes.",
        )
    kinds = sorted({step.kind for step in plan.steps})
    snapshot = await read_snapshot(account.client, kinds, with_fields=bool(plan.fields))
    # The plan showed how many customers there were then; the question shows how many there are now.
    if differences := drift(plan.steps, snapshot, customers=False, zone=await account.profile.zone()):
        raise TargetChanged(differences, "The account has changed since the plan was made.")
    fields = fields_of(plan.steps, snapshot.fields)
    if {field.id: field.type for field in fields} != {field.id: field.type for field in plan.fields}:
        raise TargetChanged(reason="The definition of a custom field has changed since the plan was made.")
    return Confirm(PendingChange(on_account(plan.steps, snapshot), fields, plan_id=plan.id))


TOOLS = (plan_changes, apply_plan)
