"""Many changes at once: planned against the account as it is, confirmed once, carried out in order."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.amocrm.inputs import Text
from amo_mcp.amocrm.models import Segment, iso_utc
from amo_mcp.changes.outcome import listed
from amo_mcp.changes.steps import Kind, Step
from amo_mcp.confirmation.ask import Answer, Called, Confirm, ask, caller_of, carry_out
from amo_mcp.confirmation.errors import TargetChanged
from amo_mcp.confirmation.question import Question, difference, renaming
from amo_mcp.failures import ToolFailure, explain, invalid_arguments
from amo_mcp.reorganize.plan import (
    LIFETIME,
    MOST_CHANGES,
    InvalidPlan,
    Plan,
    PlannedChange,
    State,
    drift,
    make_plan,
)
from amo_mcp.storage.sqlite.journal import PlanUsed
from amo_mcp.text import quote, sanitize
from amo_mcp.tools.runtime.tool import DESTROY, READ, CurrentAccount, Output, tool

SHOWN_LINES = 25
_LONGEST_STEP = 400
_MODES: dict[Kind, str] = {"segment": "segments", "status": "periodicity"}


class PlanAnswer(Output):
    """The plan: what will be done, in order, and what a person should know of it."""

    plan_id: str
    steps: list[str]
    warnings: list[str]
    customers_affected: int
    requests: int
    seconds: float
    expires_at: str


class Applied(Output):
    """What was done, what was not, and why."""

    change_id: str
    done: list[str]
    not_done: list[str] | None = None
    reason: str | None = None
    message: str | None = None


@tool("Plan changes", READ)
async def plan_changes(
    changes: Annotated[
        list[PlannedChange], Field(min_length=1, max_length=MOST_CHANGES, description="The changes, in order")
    ],
    account: CurrentAccount,
    ctx: Called,
) -> PlanAnswer:
    """Check a list of changes and make a plan for apply_plan: the diff, warnings and cost. Changes nothing."""
    kinds = sorted({change.kind for change in changes})
    await _check_mode(account, kinds)
    fields = any(change.custom_fields_values for change in changes)
    state = await _state(account, kinds, fields=fields)
    try:
        plan = make_plan(changes, state, now=time.time(), owner=_owner(ctx))
    except InvalidPlan as error:
        raise invalid_arguments(
            [(problem.path, sanitize(problem.detail, 2000)) for problem in error.problems]
        ) from None
    await account.journal.keep_plan(plan)
    return PlanAnswer(
        plan_id=plan.id,
        steps=[sanitize(f"{number}. {told(step)}", _LONGEST_STEP) for number, step in enumerate(plan.steps, 1)],
        warnings=[sanitize(warning, _LONGEST_STEP) for warning in plan.warnings],
        customers_affected=plan.customers,
        requests=plan.requests,
        seconds=round(max(0, plan.requests - account.per_second) / account.per_second, 1),
        expires_at=iso_utc(datetime.fromtimestamp(plan.made + LIFETIME, UTC)),
    )


@dataclass(frozen=True)
class ApplyPlan:
    """A plan that shall be carried out."""

    plan: Plan

    def question(self) -> Question:
        """The whole diff, shortened honestly when it is long: counts, and the worst first."""
        steps = self.plan.steps
        counts = Counter(step.action for step in steps)
        summed = ", ".join(f"{counts[verb]} to {verb}" for verb in ("delete", "update", "create") if counts[verb])
        worst = sorted(enumerate(steps, 1), key=lambda item: (item[1].action != "delete", -_customers(item[1])))
        shown = worst if len(steps) > SHOWN_LINES else list(enumerate(steps, 1))
        return Question(
            f"Apply a plan of {len(steps)} {'change' if len(steps) == 1 else 'changes'}",
            f"{summed}. Customers of the deleted segments: {self.plan.customers}.",
            *shortened([f"{number}. {told(step)}" for number, step in shown], "none worse than these"),
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether what it touches is as it was planned.

        Raises:
            TargetChanged: it is not; the text names what differs.
        """
        await _check_stands(self.plan, account)
        return True

    async def write(self, account: AmoAccount) -> Applied:
        """Carry it out; stop at the first step that fails, and say what was done and what was not."""
        try:
            change, failure = await account.carry_out("apply_plan", self.plan.steps, plan_id=self.plan.id)
        except PlanUsed:
            raise TargetChanged("The plan was applied already.") from None
        done = [sanitize(step.summary, _LONGEST_STEP) for step in change.steps if step.outcome == "done"]
        if failure is not None and not done:
            raise failure
        left = [f"{sanitize(step.summary, 200)}: {step.outcome}" for step in change.steps if step.outcome != "done"]
        answer = Applied(change_id=change.id, done=done)
        if failure is None:
            return answer
        worded = explain(failure)
        assert worded is not None  # noqa: S101 - every failure of a step is foreseen
        reason = str(worded).replace("Nothing was changed.", "That step changed nothing.")
        said = f"It stopped there: {reason} What was done stays; undo_change takes it back, a new plan does the rest."
        return Applied(change_id=change.id, done=done, not_done=left, reason=worded.code, message=said)


async def confirm_plan(plan_id: str, ctx: Called) -> Elicit[Confirm]:
    """The question before a plan is carried out."""

    async def prepare(account: AmoAccount) -> ApplyPlan:
        plan = await account.journal.plan(plan_id, _owner(ctx))
        if plan is None:
            raise ToolFailure(
                "not_found",
                "There is no such plan of yours: it was applied, is older than an hour, or never was. "
                "Nothing was changed.",
                "Make a new one with plan_changes.",
            )
        await _check_stands(plan, account)
        return ApplyPlan(plan)

    return await ask(ctx, prepare)


@tool("Apply a plan", DESTROY)
async def apply_plan(
    plan_id: Annotated[Text, Field(description="From plan_changes")],
    answer: Annotated[Answer, Resolve(confirm_plan)],
    ctx: Called,
) -> Applied:
    """Carry out a plan after one confirmation by a person. It stops at the first failure and says what was done."""
    applied: Applied = await carry_out(ctx, answer)
    return applied


def shortened(lines: Sequence[str], rest: str) -> list[str]:
    """The first lines of many, and honestly how many more there are."""
    more = len(lines) - SHOWN_LINES
    return [*lines[:SHOWN_LINES], *([f"and {more} more, {rest}"] if more > 0 else [])]


def told(step: Step) -> str:
    """A step with what it sets, for a person; names as they are."""
    if step.action == "delete":
        count = _customers(step)
        return step.summary + (f", {count} customers" if isinstance(step.before, Segment) else "")
    sent = step.sent.to_payload() if step.sent else {}
    if step.action == "create":
        rest = [f"{name} {value}" for name, value in sent.items() if name not in ("name", "custom_fields_values")]
        return ": ".join([step.summary, ", ".join([*rest, *_fields(step, sent)])]).removesuffix(": ")
    changes = [
        _difference(name, getattr(step.before, name), value)
        for name, value in sent.items()
        if name != "custom_fields_values"
    ]
    return f"{step.summary}: " + ", ".join([*changes, *_fields(step, sent)])


def _fields(step: Step, sent: dict[str, object]) -> list[str]:
    """The custom fields that a step sets, by their names where the thing has them."""
    fields = sent.get("custom_fields_values")
    fields_before = step.before.custom_fields_values if isinstance(step.before, Segment) else []
    held = {item["field_id"]: item for item in fields_before}
    told_fields = []
    for item in fields if isinstance(fields, list) else []:
        before = held.get(item["field_id"])
        name = (before.get("field_name") if before else None) or item["field_id"]
        was = ", ".join(str(value.get("value")) for value in before["values"]) if before else ""
        shall = ", ".join(str(next(iter(value.values()))) for value in item["values"] or [])
        told_fields.append(difference(f"field {quote(str(name))}", _value(was), _value(shall)))
    return told_fields


def _difference(name: str, before: object, after: object) -> str:
    if name == "name" and isinstance(before, str) and isinstance(after, str):
        return renaming(name, before, after)
    return difference(name, _value(before), _value(after))


def _value(value: object) -> str:
    """A setting as a person reads it."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    return quote(str(value)) if value != "" else "empty"


def _customers(step: Step) -> int:
    return (step.before.customers_count or 0) if isinstance(step.before, Segment) else 0


def _owner(ctx: Called) -> str:
    """Whose a plan is; it survives a restart, so it names the client and not the session."""
    caller = caller_of(ctx)
    return f"{caller.principal or ''}|{caller.client or ''}"


async def _check_mode(account: AmoAccount, kinds: Sequence[Kind]) -> None:
    mode = (await account.recent_account()).customers_mode
    for kind in kinds:
        if mode and mode != _MODES[kind]:
            raise ModeDisabled(_MODES[kind], mode)


async def _state(account: AmoAccount, kinds: Sequence[Kind], *, fields: bool = False, recent: bool = False) -> State:
    """What a plan needs to know of the account, read afresh unless what was just read will do."""
    things = {kind: await (account.recent(kind) if recent else listed(account.client, kind)) for kind in kinds}
    return State(
        things={kind: {thing.id: thing for thing in found} for kind, found in things.items()},
        fields=await account.client.segment_fields() if fields else (),
    )


async def _check_stands(plan: Plan, account: AmoAccount) -> None:
    account.invalidate()
    state = await _state(account, sorted({step.kind for step in plan.steps}), recent=True)
    differs = drift(plan, state)
    if differs:
        raise TargetChanged(sanitize(" ".join(differs[:10]), 2000))


TOOLS = (plan_changes, apply_plan)
