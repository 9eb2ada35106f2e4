"""From a list of changes to a plan: checked against the account as it is, ordered so that no limit is exceeded.

Pure functions over what was read; nothing here asks the account or changes it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from amo_mcp.amocrm.custom_fields import FieldInput, InvalidValues, to_api_values
from amo_mcp.amocrm.errors import Problem
from amo_mcp.amocrm.inputs import (
    BLANK_IS_NONE,
    EMPTY_IS_NONE,
    ZERO_IS_NONE,
    EntityId,
    Name,
    SegmentDraft,
    SegmentPatch,
    Sort,
    StatusDraft,
    StatusPatch,
    StrictInput,
    Text,
)
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_VALUES, segment_color, status_color
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.members import NOBODY, Crowd
from amo_mcp.changes.plan import Plan
from amo_mcp.changes.room import LIMITS, PLURALS, exceeds_limit
from amo_mcp.changes.snapshot import Snapshot, on_account
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Step, Update, fields_of, payload_of
from amo_mcp.text import counted, fold, quote

MAX_CHANGES = 130
"""Changes of one plan; an account has at most 130 entities to change."""


class PlannedChange(StrictInput):
    """One change of a plan, flat: what applies depends on `action` and `kind`."""

    action: Annotated[
        Literal["create", "update", "delete", "merge"], Field(description="create, update, delete or merge")
    ]
    kind: Annotated[Literal["segment", "status"], Field(description="segment or status")]
    id: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="For all but create")] = None
    into: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Merge: moves all customers here")] = None
    name: Annotated[Name | None, Field(description="Name")] = None
    sort: Annotated[Sort | None, BLANK_IS_NONE, Field(description="Position of a status")] = None
    color: Annotated[Text | None, BLANK_IS_NONE, Field(description="Colour, as in the create tools")] = None
    custom_fields_values: Annotated[
        list[FieldInput] | None, Field(max_length=MAX_SEGMENT_FIELDS, description="As in create_segment"), EMPTY_IS_NONE
    ] = None
    available_products_price_types: Annotated[
        list[EntityId] | None, Field(max_length=MAX_VALUES, description="As in create_segment"), BLANK_IS_NONE
    ] = None


def make_plan(
    changes: Sequence[PlannedChange],
    account: Snapshot,
    *,
    plan_id: str,
    made: float,
    owner: str,
    zone: Zone = UNKNOWN,
    crowd: Crowd = NOBODY,
) -> tuple[Plan, list[str]]:
    """The plan of `changes` in an account that is as it was read, and what a person should know of it.

    Args:
        changes: what is wanted, in order.
        account: everything of the kinds that they touch, and the custom fields where they set any.
        plan_id: the plan's id.
        made: the present, in Unix seconds.
        owner: whose plan it is.
        zone: where the account's days begin.
        crowd: how many customers are where, when anything that has some is deleted (`loses_customers`).

    Raises:
        InvalidValues: a change does not fit the account, or two change one entity.
    """
    problems: list[Problem] = []
    steps = [
        step
        for index, change in enumerate(changes)
        for step in _steps(f"changes.{index}", change, account, problems, zone, crowd)
    ]
    seen: set[tuple[Kind, int]] = set()
    for index, change in enumerate(changes):
        if change.id is not None:
            if (change.kind, change.id) in seen:
                problems.append(
                    Problem(f"changes.{index}.id", f"{change.id} is changed by another change of this plan")
                )
            seen.add((change.kind, change.id))
    gone = {(change.kind, change.id) for change in changes if change.action in ("delete", "merge")}
    problems += [
        Problem(f"changes.{index}.into", f"{change.into} is deleted by another change of this plan")
        for index, change in enumerate(changes)
        if (change.kind, change.into) in gone and change.into != change.id
    ]
    if not problems:
        problems += _beyond_limits(steps, account)
    if problems:
        raise InvalidValues(problems)
    ordered = _ordered(steps, account)
    plan = Plan(plan_id, made, owner, on_account(ordered, account), fields_of(ordered, account.fields))
    return plan, [*_warnings(ordered), *_namesakes(ordered, account)]


def loses_customers(changes: Sequence[PlannedChange], account: Snapshot) -> bool:
    """Whether a change deletes what has customers, or may have some."""
    gone = [account.entities[one.kind].get(one.id or 0) for one in changes if one.action in ("delete", "merge")]
    return any(entity is not None and getattr(entity, "customers_count", None) != 0 for entity in gone)


def _steps(
    path: str, change: PlannedChange, account: Snapshot, problems: list[Problem], zone: Zone, crowd: Crowd
) -> list[Step]:
    """The steps of one change; none when there is a problem with it, which is added to `problems`."""
    step = _step(path, change, account, problems, zone)
    into = _into(path, change, account, problems)
    if not isinstance(step, Delete):
        return [] if step is None else [step]
    before = step.before
    count = before.customers_count if isinstance(before, Segment) else None
    if change.action == "delete":
        return [replace(step, reads_members=crowd.is_complete and count != 0)]
    if into is None:
        return []
    if crowd.is_complete:
        count = crowd.count(before.id, is_status=change.kind == "status")
    move = Move(change.kind, (), (into,), source=before, count=count)
    return [move, replace(step, merged_into=into)]


def _into(path: str, change: PlannedChange, account: Snapshot, problems: list[Problem]) -> Entity | None:
    """What a merge is into; None for any other change, and where there is a problem with it."""
    if change.action != "merge":
        if change.into is not None:
            problems.append(Problem(f"{path}.into", "is only for a merge"))
        return None
    into = account.entities[change.kind].get(change.into or 0)
    if change.into is None:
        problems.append(Problem(f"{path}.into", "is required to merge"))
    elif change.into == change.id:
        problems.append(Problem(f"{path}.into", f"{change.into} is what is merged"))
    elif into is None:
        hidden = account.is_unreadable(change.kind, change.into)
        what = "cannot be read" if hidden else f"is no {change.kind} of this account"
        problems.append(Problem(f"{path}.into", f"{change.into} {what}"))
    return into


def _step(path: str, change: PlannedChange, account: Snapshot, problems: list[Problem], zone: Zone) -> Step | None:
    """The step of one change, of a merge the deletion; None when there is a problem with it."""
    count = len(problems)
    before = _target(path, change, account, problems)
    values = _values(path, change, account, problems, zone)
    if len(problems) > count:
        return None
    if before is None:
        required = ("name",) if change.kind == "segment" else ("name", "sort")
        missing = [name for name in required if name not in values]
        problems += [Problem(f"{path}.{name}", f"is required to create a {change.kind}") for name in missing]
        draft = SegmentDraft if change.kind == "segment" else StatusDraft
        return None if missing else Create(draft(**values))
    if change.action == "update":
        if values:
            return Update(before, SegmentPatch(**values) if change.kind == "segment" else StatusPatch(**values))
        problems.append(Problem(path, "update needs at least one field"))
        return None
    if isinstance(before, Status) and before.is_default:
        problems.append(Problem(f"{path}.id", f"{change.id} is a system status, and those cannot be deleted"))
        return None
    return Delete(before)


def _target(path: str, change: PlannedChange, account: Snapshot, problems: list[Problem]) -> Entity | None:
    """What an update or a deletion is about."""
    if change.action == "create":
        if change.id is not None:
            problems.append(Problem(f"{path}.id", "is not for a creation"))
        return None
    if change.id is None:
        problems.append(Problem(f"{path}.id", f"is required to {change.action}"))
        return None
    before = account.entities[change.kind].get(change.id)
    if before is None:
        hidden = account.is_unreadable(change.kind, change.id)
        what = "cannot be read" if hidden else f"is no {change.kind} of this account"
        problems.append(Problem(f"{path}.id", f"{change.id} {what}"))
    return before


def _values(path: str, change: PlannedChange, account: Snapshot, problems: list[Problem], zone: Zone) -> dict[str, Any]:
    """What the change sets, checked and in the form in which it is sent."""
    names = ("name", "sort", "color", "available_products_price_types")
    # Not by `model_dump`, whose serializer would take 10 ms of the first plan to build.
    values: dict[str, Any] = {name: value for name in names if (value := getattr(change, name)) is not None}
    if change.action in ("delete", "merge"):
        if values or change.custom_fields_values:
            problems.append(Problem(path, f"{change.action} takes no fields"))
        return {}
    foreign = ("custom_fields_values", "available_products_price_types") if change.kind == "status" else ("sort",)
    problems += [
        Problem(f"{path}.{name}", f"is not for a {change.kind}")
        for name in foreign
        if getattr(change, name) is not None
    ]
    if "color" in values:
        try:
            values["color"] = (status_color if change.kind == "status" else segment_color)(values["color"])
        except ValueError as error:
            problems.append(Problem(f"{path}.color", f"{quote(values['color'])} {error}"))
    if change.custom_fields_values and change.kind == "segment":
        try:
            values["custom_fields_values"] = to_api_values(change.custom_fields_values, account.fields, zone)
        except InvalidValues as error:
            problems += [Problem(f"{path}.{problem.path}", problem.detail) for problem in error.problems]
    return values


def _beyond_limits(steps: Sequence[Step], account: Snapshot) -> list[Problem]:
    """What there would be too many of at the end."""
    problems = []
    for kind in account.entities:
        actions = Counter(step.action for step in steps if step.kind == kind)
        left = account.count(kind) + actions["create"] - actions["delete"]
        if actions["create"] and left > LIMITS[kind]:
            detail = f"there would be {left} {PLURALS[kind]}, and an account holds at most {LIMITS[kind]}"
            problems.append(Problem("changes", detail))
    return problems


def _ordered(steps: Sequence[Step], account: Snapshot) -> list[Step]:
    """The given order; deletions go first where creations would go over a limit on the way."""
    tight = {kind for kind in account.entities if exceeds_limit(kind, account.count(kind), steps)}
    return sorted(steps, key=lambda step: not (step.kind in tight and step.action in ("delete", "move")))


def _warnings(steps: Sequence[Step]) -> Iterator[str]:
    """What a person should know of single steps: customers affected, changes that change nothing."""
    for step in steps:
        name = quote(step.name)
        match step:
            case Move(source=source, count=count) if source is not None:
                who = "The customers" if count is None else f"All {counted(count, 'customer')}"
                yield f"{who} of {quote(source.name)} move to {name}; it is deleted only once all of them are there."
            case Delete(merged_into=into) if into is not None:
                pass
            case Delete(before=Segment(customers_count=count)) if count:
                back = "an undo brings its members back" if step.reads_members else "its members cannot be restored"
                yield f"{name} has {counted(count, 'customer')}; {back}."
            case Delete(before=Status()):
                back = "; an undo brings them back" if step.reads_members else ""
                yield f"The customers of the status {name} will move to others by their conditions{back}."
            case Update() if _changes_nothing(step):
                yield f"{name} already has these values; nothing would change."


def _changes_nothing(step: Update) -> bool:
    payload = payload_of(step)
    return "custom_fields_values" not in payload and all(
        getattr(step.before, name, None) == value for name, value in payload.items()
    )


def _namesakes(steps: Sequence[Step], account: Snapshot) -> Iterator[str]:
    """Names that several entities will have, if a step gives them, as a search sees names."""
    for kind, entities in account.entities.items():
        own = [step for step in steps if step.kind == kind]
        payloads = {step.target_id or -place: payload_of(step) for place, step in enumerate(own)}
        given = {key: payload["name"] for key, payload in payloads.items() if "name" in payload}
        deleted = {step.target_id for step in own if isinstance(step, Delete)}
        names = {entity.id: entity.name for entity in entities.values()} | given
        later = [name for key, name in names.items() if key not in deleted]
        folded_given = {fold(name) for name in given.values()}
        for folded, count in Counter(fold(name) for name in later).items():
            if count > 1 and folded in folded_given:
                name = next(name for name in later if fold(name) == folded)
                number = {2: "Two", 3: "Three"}.get(count, str(count))
                yield f"{number} {PLURALS[kind]} will be named {quote(name.strip())}."
