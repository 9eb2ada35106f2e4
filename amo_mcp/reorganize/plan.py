"""From a list of changes to a plan: checked against the account as it is, ordered so that no limit is exceeded.

Plain functions over what was read; nothing here asks the account or changes it.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from amo_mcp.amocrm.custom_fields import FieldInput, InvalidValues, to_api_values
from amo_mcp.amocrm.errors import Problem
from amo_mcp.amocrm.inputs import (
    ApiInput,
    EntityId,
    Name,
    SegmentDraft,
    SegmentPatch,
    Sort,
    StatusDraft,
    StatusPatch,
    Text,
)
from amo_mcp.amocrm.limits import segment_color, status_color
from amo_mcp.amocrm.models import CustomField, Segment, Status, comparable
from amo_mcp.changes.steps import LIMITS, Entity, Kind, Step, exceeds_limit
from amo_mcp.text import quote

LIFETIME = 3600.0
"""Seconds that a plan lives."""

MOST_CHANGES = 130
"""Changes of one plan; an account has at most 130 things to change."""


class PlannedChange(ApiInput):
    """One change of a plan, flat: what applies depends on `action` and `kind`."""

    action: Annotated[Literal["create", "update", "delete"], Field(description="What to do")]
    kind: Annotated[Literal["segment", "status"], Field(description="To what")]
    id: Annotated[EntityId | None, Field(description="For update and delete")] = None
    name: Annotated[Name | None, Field(description="Name")] = None
    sort: Annotated[Sort | None, Field(description="Position of a status")] = None
    color: Annotated[Text | None, Field(description="Colour, as in the create tools")] = None
    custom_fields_values: Annotated[
        list[FieldInput] | None, Field(max_length=30, description="As in create_segment")
    ] = None
    available_products_price_types: Annotated[
        list[EntityId] | None, Field(max_length=250, description="As in create_segment")
    ] = None


@dataclass(frozen=True)
class State:
    """The account as a plan needs to know it: the things of the kinds that it touches, and the fields."""

    things: Mapping[Kind, Mapping[int, Entity]]
    fields: Sequence[CustomField] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they will be done.

    Attributes:
        made: when, in Unix seconds.
        owner: whose it is.
    """

    id: str
    made: float
    owner: str
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]

    @property
    def requests(self) -> int:
        """How many requests carrying it out takes, with the reading before it."""
        kinds = {step.kind for step in self.steps}
        batches = 0
        together = False
        for step in self.steps:
            batched = (step.kind, step.action) == ("status", "create")
            batches += not (batched and together)
            batches += batched and not together
            together = batched
        return 2 * len(kinds) + batches

    @property
    def customers(self) -> int:
        """Customers of the segments that it deletes."""
        return sum(
            step.before.customers_count or 0
            for step in self.steps
            if step.action == "delete" and isinstance(step.before, Segment)
        )


class InvalidPlan(Exception):
    """Changes that cannot be a plan; `problems` has a path into the changes for each reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


def make_plan(changes: Sequence[PlannedChange], state: State, *, now: float, owner: str) -> Plan:
    """The plan of `changes` in an account that is as `state` says.

    Raises:
        InvalidPlan: a change does not fit the account, or two change one thing.
    """
    problems: list[Problem] = []
    steps = [_step(f"changes.{index}", change, state, problems) for index, change in enumerate(changes)]
    seen: Counter[tuple[Kind, int]] = Counter()
    for index, change in enumerate(changes):
        if change.id is not None:
            seen[change.kind, change.id] += 1
            if seen[change.kind, change.id] > 1:
                problems.append(Problem(f"changes.{index}.id", "is changed by another change of this plan"))
    sound = [step for step in steps if step is not None]
    if not problems:
        problems += _beyond_limits(sound, state)
    if problems:
        raise InvalidPlan(problems)
    ordered = _ordered(sound, state)
    return Plan(f"p{secrets.token_hex(6)}", now, owner, tuple(ordered), tuple(_warnings(ordered, state)))


def drift(plan: Plan, state: State) -> list[str]:
    """What is not any more as the plan found it, a sentence each."""
    differs = []
    for step in plan.steps:
        before = step.before
        if before is None:
            continue
        now = state.things[step.kind].get(before.id)
        if now is None:
            differs.append(f"{step.kind} {quote(before.name)} (id {before.id}) is gone.")
            continue
        was, is_now = comparable(before), comparable(now)
        if isinstance(now, Segment) and isinstance(before, Segment) and step.action == "delete":
            was["customers_count"], is_now["customers_count"] = before.customers_count, now.customers_count
        names = [name for name in was if was[name] != is_now.get(name) and name != "sort"]
        if names:
            differs.append(f"{step.kind} {quote(before.name)} (id {before.id}) has another {', '.join(names)}.")
    for kind, things in state.things.items():
        if exceeds_limit(kind, len(things), plan.steps):
            differs.append(f"There are {len(things)} of kind {kind} now: no room for what is to be created.")
    return differs


def _step(path: str, change: PlannedChange, state: State, problems: list[Problem]) -> Step | None:
    before: Entity | None = None
    if change.action == "create":
        if change.id is not None:
            problems.append(Problem(f"{path}.id", "is not for a creation"))
    elif change.id is None:
        problems.append(Problem(f"{path}.id", f"is required to {change.action}"))
    else:
        before = state.things[change.kind].get(change.id)
        if before is None:
            problems.append(Problem(f"{path}.id", f"is no {change.kind} of this account"))
    count = len(problems)
    given = _given(path, change, state, problems)
    if len(problems) > count or (before is None and change.action != "create"):
        return None
    return _made(path, change, before, given, problems)


def _given(path: str, change: PlannedChange, state: State, problems: list[Problem]) -> dict[str, Any]:
    """What the change sets, checked and in the form in which it is sent."""
    given = change.model_dump(include={"name", "sort", "color", "available_products_price_types"}, exclude_none=True)
    if change.action == "delete" and (given or change.custom_fields_values):
        problems.append(Problem(path, "a deletion sets nothing"))
        return {}
    foreign = ("custom_fields_values", "available_products_price_types") if change.kind == "status" else ("sort",)
    problems += [
        Problem(f"{path}.{name}", f"is not for a {change.kind}")
        for name in foreign
        if getattr(change, name) is not None
    ]
    if "color" in given:
        try:
            given["color"] = (status_color if change.kind == "status" else segment_color)(given["color"])
        except ValueError as error:
            problems.append(Problem(f"{path}.color", str(error)))
    if change.custom_fields_values and change.kind == "segment":
        try:
            given["custom_fields_values"] = to_api_values(change.custom_fields_values, state.fields)
        except InvalidValues as error:
            problems += [Problem(f"{path}.{problem.path}", problem.detail) for problem in error.problems]
    return given


def _made(
    path: str, change: PlannedChange, before: Entity | None, given: dict[str, Any], problems: list[Problem]
) -> Step | None:
    if change.action == "delete":
        if isinstance(before, Status) and before.is_default:
            problems.append(Problem(f"{path}.id", "is a system status, and those cannot be deleted"))
            return None
        return Step("delete", change.kind, before=before)
    if change.action == "update":
        if not given:
            problems.append(Problem(path, "an update sets at least one thing"))
            return None
        patch = SegmentPatch(**given) if change.kind == "segment" else StatusPatch(**given)
        return Step("update", change.kind, before=before, sent=patch)
    required = ("name",) if change.kind == "segment" else ("name", "sort")
    missing = [name for name in required if name not in given]
    if missing:
        problems += [Problem(f"{path}.{name}", f"is required to create a {change.kind}") for name in missing]
        return None
    draft = SegmentDraft(**given) if change.kind == "segment" else StatusDraft(**given)
    return Step("create", change.kind, sent=draft)


def _beyond_limits(steps: Sequence[Step], state: State) -> list[Problem]:
    """What there would be too many of at the end."""
    problems = []
    for kind, things in state.things.items():
        created = len([step for step in steps if (step.kind, step.action) == (kind, "create")])
        deleted = len([step for step in steps if (step.kind, step.action) == (kind, "delete")])
        left = len(things) + created - deleted
        if created and left > LIMITS[kind]:
            said = f"there would be {left} of kind {kind}, and an account holds at most {LIMITS[kind]}"
            problems.append(Problem("changes", said))
    return problems


def _ordered(steps: Sequence[Step], state: State) -> list[Step]:
    """The given order; deletions go first where creations would go over a limit on the way."""
    tight = {kind for kind, things in state.things.items() if exceeds_limit(kind, len(things), steps)}
    return sorted(steps, key=lambda step: not (step.kind in tight and step.action == "delete"))


def _warnings(steps: Sequence[Step], state: State) -> list[str]:
    """What a person should know: customers affected, names that collide, changes that change nothing, full limits."""
    warnings = []
    for step in steps:
        name = quote(step.name)
        if step.action == "delete" and isinstance(step.before, Segment) and step.before.customers_count:
            warnings.append(f"{name} has {step.before.customers_count} customers; its members do not come back.")
        if step.action == "delete" and isinstance(step.before, Status):
            warnings.append(f"The customers of the status {name} will move to others by their conditions.")
        if step.action == "update" and step.sent is not None and _changes_nothing(step):
            warnings.append(f"{name} is so already; its change changes nothing.")
    for kind, things in state.things.items():
        names = _names_after(kind, things, steps)
        counts = Counter(name.casefold() for name in names)
        first = {name.casefold(): name for name in reversed(names)}
        warnings += [
            f"There will be {count} of kind {kind} named {quote(first[name])}."
            for name, count in counts.items()
            if count > 1
        ]
    return warnings


def _changes_nothing(step: Step) -> bool:
    sent = step.sent.to_payload() if step.sent else {}
    return "custom_fields_values" not in sent and all(
        getattr(step.before, name, None) == value for name, value in sent.items()
    )


def _names_after(kind: Kind, things: Mapping[int, Entity], steps: Sequence[Step]) -> list[str]:
    """The names that there will be; only those that a step gives, case-blind."""
    names = {thing_id: thing.name for thing_id, thing in things.items()}
    given: set[str] = set()
    created: list[str] = []
    for step in steps:
        if step.kind != kind:
            continue
        if step.action == "delete" and step.before:
            names.pop(step.before.id, None)
        elif step.sent and step.sent.name:
            given.add(step.sent.name.strip().casefold())
            if step.before:
                names[step.before.id] = step.sent.name
            else:
                created.append(step.sent.name)
    return [name.strip() for name in (*names.values(), *created) if name.strip().casefold() in given]
