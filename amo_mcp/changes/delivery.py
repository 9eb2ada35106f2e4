"""One batch of steps sent, and looked for in the account when its answer was lost.

A change that was made is a success, one that was surely not made may be sent again or is reported, and only what the
account does not tell is `OutcomeUnknown`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, Unavailable
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import FieldValue, Segment, Status
from amo_mcp.changes.differences import differing_settings, unordered
from amo_mcp.changes.field_values import fields_by_id
from amo_mcp.changes.leases import Others
from amo_mcp.changes.moving import send_move, verify_move
from amo_mcp.changes.placing import as_made, as_moved, put_in_place, read_back
from amo_mcp.changes.snapshot import read_all, read_one
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Step, Update

_EntityT = TypeVar("_EntityT", Segment, Status)

_AS_BEFORE = "answered with what was there before"
_FIELDS = "custom_fields_values"


class Indeterminate(AmoError):
    """What is there now fits neither a write that was made nor one that was not."""


def spans(steps: Sequence[Step]) -> Iterator[range]:
    """The positions of the steps that go in one request: creations of statuses in a row, else one step."""
    start = 0
    for end in range(1, len(steps) + 1):
        if end == len(steps) or not (_is_batched(steps[end - 1]) and _is_batched(steps[end])):
            yield range(start, end)
            start = end


def _is_batched(step: Step) -> bool:
    """A status that comes back goes alone: its place is told by what came back before it."""
    return isinstance(step, Create) and step.kind == "status" and step.place is None


class Delivered(NamedTuple):
    """The steps of a batch, done.

    Attributes:
        steps: each with the entity as the API answered it, or as it was found.
        answered: whether they were answered; else they were found in the account.
    """

    steps: list[Step]
    answered: bool


Beside = Callable[[Kind], Awaitable[Others]]
"""Tells what other changes create at the same time; called when something new has to be explained."""


async def deliver(client: AmoClient, steps: Sequence[Step], beside: Beside | None = None) -> Delivered:
    """Send the steps of one batch; a creation that was surely not made is sent once more.

    A status that came back elsewhere is moved to its place: an account may count positions otherwise than we do.

    Raises:
        OutcomeUnknown: whether it was made cannot be determined.
        Unavailable: it was surely not made.
        Refused: the API refused it.
    """
    attempts = 2 if isinstance(steps[0], Create) else 1
    while True:
        attempts -= 1
        try:
            return Delivered(await put_in_place(client, await _send(client, steps)), answered=True)
        except OutcomeUnknown as lost:
            try:
                done = await verify_write(client, steps, beside)
            except AmoError as error:
                raise lost from error
            if done is not None:
                return Delivered(await put_in_place(client, done), answered=False)
            if not lost.settled:
                raise
            if not attempts:
                raise Unavailable(lost.reason, transient=lost.transient, hint=lost.hint) from lost


async def _send(client: AmoClient, steps: Sequence[Step]) -> list[Step]:
    match steps[0]:
        case Create(draft=SegmentDraft() as draft) as step:
            return [step.done(_new_only([await client.create_segment(draft)], step)[0])]
        case Create():
            return await _create_statuses(client, [step for step in steps if isinstance(step, Create)])
        case Update(before=Segment() as before, patch=SegmentPatch() as patch) as step:
            return [step.done(_changed(await client.update_segment(before.id, patch), step))]
        case Update(before=Status() as before, patch=StatusPatch() as patch) as step:
            return [await as_moved(client, step.done(_changed(await client.update_status(before.id, patch), step)))]
        case Update() as step:
            raise TypeError(f"{type(step.patch).__name__} does not fit a {step.kind}")
        case Delete(before=before) as step:
            await (client.delete_segment if step.kind == "segment" else client.delete_status)(before.id)
            return [step.with_outcome("done")]
        case Move() as step:
            return [await send_move(client, step)]


async def _create_statuses(client: AmoClient, steps: Sequence[Create]) -> list[Step]:
    """Create statuses and read them back, since the API answers only ids; as they were sent when that fails."""
    drafts = [step.draft for step in steps if isinstance(step.draft, StatusDraft)]
    created = await client.create_statuses(drafts)
    as_sent = [
        Status.model_validate({**draft.to_payload(), "request_id": None, "id": item.id})
        for item, draft in zip(created, drafts, strict=True)
    ]
    _new_only(as_sent, steps[0])
    listed = await read_back(client)
    return [as_made(step, status, listed) for step, status in zip(steps, as_sent, strict=True)]


def _new_only(created: Sequence[_EntityT], step: Create) -> Sequence[_EntityT]:
    """What was created; an answer about what was there before does not say what was done."""
    if {entity.id for entity in created} & {*step.existing_ids}:
        raise OutcomeUnknown(_AS_BEFORE)
    return created


def _changed(answered: _EntityT, step: Update) -> _EntityT:
    """What an update was answered with; where a setting is as it was before, that does not say what was done.

    A setting may have become something else than was sent: the account may trim a name. Positions prove nothing.
    """
    patch = step.patch.to_payload()
    fields = patch.pop(_FIELDS, [])
    telling = {name for name in patch if name != "sort" and not _has(step.before, {name: patch[name]})}
    telling |= {_FIELDS} if not _fit(step.before, fields) else set()
    if not telling <= {*differing_settings(step.before, answered)}:
        raise OutcomeUnknown(_AS_BEFORE, settled=True)
    return answered


def was_read_back(status: Status) -> bool:
    """Whether a created status is as the account lists it; else it is as it was sent."""
    return "is_default" in status.model_fields_set


async def verify_write(client: AmoClient, steps: Sequence[Step], beside: Beside | None = None) -> list[Step] | None:
    """Look at the account: the steps of one batch, done, or None when they surely were not.

    A namesake that was there before a creation is not the new one. An entity that is neither as it was nor as it was to
    become may be somebody else's work, and then nothing is claimed; but what others of ours created is theirs.

    Raises:
        Indeterminate: the account does not tell.
        AmoError: it cannot be read.
    """
    first = steps[0]
    if isinstance(first, Create):
        creations = [step for step in steps if isinstance(step, Create)]
        listed = await read_all(client, first.kind)
        existing = {*first.existing_ids}
        others = (
            Others() if beside is None or existing.issuperset(one.id for one in listed) else await beside(first.kind)
        )
        created = _created(listed, creations, others)
        if created is None and listed.unreadable:
            # What cannot be read may be what was created.
            raise Indeterminate
        return created
    if isinstance(first, Move):
        moved = await verify_move(client, first)
        if moved is not None and not {"moved", "stays"} & {*moved.fates.values()}:
            raise Indeterminate
        return None if moved is None else [moved]
    try:
        now = await read_one(client, first.kind, first.before.id)
    except NotFound:
        if isinstance(first, Delete):
            return [first.with_outcome("done")]
        raise Indeterminate from None
    if isinstance(first, Update) and _became(now, first):
        return [await as_moved(client, first.done(now))]
    return None


def _created(listed: Sequence[Entity], steps: Sequence[Create], others: Others) -> list[Step] | None:
    known, wanted = {*steps[0].existing_ids, *others.ids}, {step.name for step in steps}
    new = [one for one in listed if one.id not in known and (one.name in wanted or one.name not in others.names)]
    if not new:
        return None
    named = {entity.name: entity for entity in new}
    if len(named) != len(new) or named.keys() != wanted or len(steps) != len(new):
        raise Indeterminate
    if not all(_is_as_drafted(named[step.name], step) for step in steps):
        raise Indeterminate
    by_id = {entity.id: entity for entity in listed}
    return [as_made(step, named[step.name], by_id) for step in steps]


def _is_as_drafted(made: Entity, step: Create) -> bool:
    """Whether an entity has everything that its creation sent, as far as the account keeps it as it is sent."""
    sent = step.draft.to_payload()
    kept = {name: setting for name, setting in sent.items() if name in ("color", "available_products_price_types")}
    return _has(made, kept) and _fit(made, sent.get(_FIELDS, []))


def _became(now: Entity, step: Update) -> bool:
    """Whether the patch was applied.

    Raises:
        Indeterminate: the entity is neither as it was nor as it was to become.
    """
    patch = step.patch.to_payload()
    fields = patch.pop(_FIELDS, [])
    position = patch.pop("sort", None)
    telling = {name: value for name, value in patch.items() if value != getattr(step.before, name)}
    if (telling or fields) and _has(now, patch) and _fit(now, fields):
        return True
    differing = differing_settings(step.before, now)
    if (telling or position is None) and "sort" in differing:
        # The account renumbers positions, so they prove nothing.
        differing.remove("sort")
    if differing:
        raise Indeterminate
    return not (telling or fields or position is not None)


def _has(now: Entity, settings: Mapping[str, Any]) -> bool:
    return all(unordered(name, getattr(now, name)) == unordered(name, value) for name, value in settings.items())


def _fit(now: Entity, fields: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the entity has the custom field values that were sent."""
    have = fields_by_id(now)
    return all(
        _same_values(have[field["field_id"]]["values"] if field["field_id"] in have else [], field["values"] or [])
        for field in fields
    )


def _same_values(have: Sequence[FieldValue], sent: Sequence[Mapping[str, Any]]) -> bool:
    return len(have) == len(sent) and all(
        all(value.get(key) == wanted for key, wanted in want.items()) for value, want in zip(have, sent, strict=True)
    )
