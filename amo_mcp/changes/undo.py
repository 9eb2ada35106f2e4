"""Taking a change back: its steps inverted, in reverse order, without overwriting what somebody changed since."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from amo_mcp.amocrm.inputs import SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Status
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.again import draft_again, settable, title_of_entity, writable
from amo_mcp.changes.differences import readable_setting, sentence, unordered
from amo_mcp.changes.field_values import field_label, fields_by_id, readable_values, same_values
from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.moving import in_parts
from amo_mcp.changes.moving_back import members_back, moved_back
from amo_mcp.changes.positions import (
    Place,
    Places,
    can_be_told,
    is_between,
    place_in,
    place_left,
    position_back,
    with_placed,
    without,
)
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Create, Delete, Entity, Move, Step, Update, field_ids, label_of
from amo_mcp.changes.titles import summary_of
from amo_mcp.language import Message, counted_message, message

_FIELDS = "custom_fields_values"
_PRICES = "available_products_price_types"
_NEW = 0
"""Stands for the id of a status that an undo is about to create."""


@dataclass(frozen=True)
class Undo:
    """How a change is taken back.

    Attributes:
        steps: what has to be done, in order; each names the step that it takes back in `undoes`.
        not_restored: what will not be as it was, a sentence each.
        conflicts: what somebody changed since, a sentence each; with any of them nothing is to be done.
    """

    steps: tuple[Step, ...] = ()
    not_restored: tuple[Message, ...] = ()
    conflicts: tuple[str, ...] = ()


def invert(record: ChangeRecord, account: Snapshot, recreated: RecreatedIds, zone: Zone = UNKNOWN) -> Undo:
    """How to take back those steps of a change that are done.

    Args:
        record: the change as it stands (`Journal.change`).
        account: the account as it is now: every kind that the change has, and the custom fields where it has any.
        recreated: by which an entity that was deleted and created again is taken for the one that it was.
        zone: where the account's days begin.
    """
    undo = Undo()
    places, made = account.places, _Made(recreated, _created_by(record))
    for position, step in reversed([*in_parts(record.steps)]):
        part = _inverse(position, step, account, places, made, Reader(zone=zone))
        if isinstance(step, Delete) and any(isinstance(inverse, Create) for inverse in part.steps):
            made.coming[step.before.id] = position, step.before
        for inverse in part.steps:
            places = _places_after(inverse, places)
        steps = tuple(replace(inverse, undoes=position) for inverse in part.steps)
        undo = Undo(undo.steps + steps, undo.not_restored + part.not_restored, undo.conflicts + part.conflicts)
    return undo


@dataclass
class _Made:
    """What comes, or has come, under another id.

    Attributes:
        recreated: under which ids came back what had been deleted.
        created: the ids of what the change itself created.
        coming: what the undo creates again, by its old id: the position of its deletion, and what it was.
    """

    recreated: RecreatedIds
    created: frozenset[int]
    coming: dict[int, tuple[int, Entity]] = field(default_factory=dict)


def _created_by(record: ChangeRecord) -> frozenset[int]:
    creations = (step for step in record.steps if isinstance(step, Create) and step.outcome == "done")
    return frozenset(step.after.id for step in creations if step.after is not None)


def _places_after(step: Step, places: Places) -> Places:
    """The places of the statuses once a step of the undo is done."""
    match step:
        case Create(draft=StatusDraft(sort=sort)):
            return with_placed(places, _NEW, sort)
        case Update(before=before, patch=StatusPatch(sort=int() as sort)):
            return with_placed(places, before.id, sort)
        case Delete(before=Status(id=status_id)):
            return without(places, status_id)
    return places


def _inverse(position: int, step: Step, account: Snapshot, places: Places, made: _Made, reader: Reader) -> Undo:
    if step.outcome not in ("pending", "unknown", "done"):
        return Undo()
    recreated = made.recreated
    if isinstance(step, Move):
        if step.outcome != "done":
            return _unclear(step)
        if {one.id for one in step.into} & made.created:
            # They leave it with what the same undo deletes.
            return Undo()
        moves, not_restored = moved_back(step, account, recreated, made.coming)
        return Undo(tuple(moves), tuple(not_restored))
    known = step.before if isinstance(step, Delete) else step.after
    if step.outcome != "done" or known is None:
        return _unclear(step)
    entities = account.entities.get(step.kind, {})
    current_id = recreated.current_id(step.kind, known.id)
    current = entities.get(known.id) or entities.get(current_id)
    # An entry without an id may be what is looked for; what was deleted is not looked for among those.
    hidden = (known.id, current_id) if isinstance(step, Delete) else (known.id, current_id, None)
    if current is None and account.is_unreadable(step.kind, *hidden):
        return Undo(conflicts=(f"{title_of_entity(step)} cannot be read, so it is left as it is.",))
    match step:
        case Create():
            return _remove(step, known, current, account, reader)
        case Update():
            return _restore(step, known, current, account, places, reader)
        case Delete():
            return _recreate(step, current, account, position)


def _unclear(step: Step) -> Undo:
    """What was done may be unknown, or whether it was undone since."""
    summary = summary_of(step)
    if isinstance(step, Update) or step.target_id is None:
        unclear = message("It is not known whether this was made, so it is left as it is: {step}.", step=summary)
    else:
        unclear = message(
            "It is not known whether this was made or undone, so it is left as it is: {step}.", step=summary
        )
    return Undo(not_restored=(unclear,))


def _remove(step: Create, left: Entity, current: Entity | None, account: Snapshot, reader: Reader) -> Undo:
    """Delete what was created, as it is now."""
    if current is None:
        gone = message("{title} is no longer there; there is nothing to delete.", title=title_of_entity(step))
        return Undo(not_restored=(gone,))
    names = ("name", "color", _PRICES, "conditions")
    fields = filter(account.defines, {*fields_by_id(left), *fields_by_id(current)})
    return Undo((Delete(current),), conflicts=tuple(_conflicts(step, left, current, names, fields, reader)))


def _restore(
    step: Update, left: Entity, current: Entity | None, account: Snapshot, places: Places, reader: Reader
) -> Undo:
    """Give the settings that were changed their values from before."""
    if current is None:
        return Undo(conflicts=(f"{title_of_entity(step)} is no longer there; it cannot be changed back.",))
    names = [name for name in step.patch.to_payload() if name not in ("sort", _FIELDS)]
    conflicts = tuple(_conflicts(step, left, current, names, filter(account.defines, field_ids([step])), reader))
    patch, not_restored = _patch_back(step, account)
    was: Place | None = None
    if isinstance(left, Status) and isinstance(step.before, Status) and step.places:
        # The account renumbers positions: what counts is between which other statuses one stands.
        others = {one for one, _ in step.places} & {*account.ids("status")} & {*dict(places)} - {current.id}
        place = place_left(step.places, step.before.id, left.sort, others)
        if not is_between(places, current.id, place):
            now = account.worded(place_in(places, current.id, others))
            conflicts += (
                sentence(str(title_of_entity(step)), label_of("sort"), account.worded(place), now, left=True),
            )
        was = place_in(step.places, step.before.id, others)
        if not can_be_told(places, was):
            conflicts += (
                f"{title_of_entity(step)}: what stood around it was moved or deleted, so its old place is unknown.",
            )
        patch = patch.model_copy(update={"sort": position_back(places, current.id, was, step.before.sort)})
    steps = (Update(current, patch, place=was),) if patch.to_payload() else ()
    return Undo(steps, not_restored, conflicts)


def _patch_back(step: Update, account: Snapshot) -> tuple[SegmentPatch | StatusPatch, tuple[Message, ...]]:
    """The patch that restores what a step changed, and what of it cannot be written."""
    before = step.before
    settings = {name: getattr(before, name) for name in step.patch.to_payload() if name != _FIELDS}
    back, unwritable = writable(step, settings)
    if isinstance(before, Status):
        return StatusPatch(**back), unwritable
    fields = fields_by_id(before)
    if changed := field_ids([step]):
        values, lost = settable(step, {field_id: fields.get(field_id) for field_id in changed}, account)
        back |= {_FIELDS: values} if values else {}
        unwritable += lost
    return SegmentPatch(**back), unwritable


def _recreate(step: Delete, current: Entity | None, account: Snapshot, position: int) -> Undo:
    """Create what was deleted once more, unless another change has brought it back, and let its customers come back."""
    title = title_of_entity(step)
    if current is not None:
        if current.id == step.before.id:
            there = message("{title} is there already; there is nothing to create.", title=title)
        else:
            there = message(
                "{title} is there already as id {id}; there is nothing to create.", title=title, id=current.id
            )
        moves, gone = members_back(step, current, account, None)
        return Undo(tuple(moves), (there, *gone))
    draft, unwritable = draft_again(step, account)
    moves, gone = members_back(step, step.before, account, position)
    return Undo((Create(draft), *moves), (*_lost(step), *gone, *unwritable))


def _lost(step: Delete) -> Iterator[Message]:
    """What does not come back with an entity that is created again."""
    title, before = title_of_entity(step), step.before
    is_status = isinstance(before, Status)
    count = 0 if step.members is not None or isinstance(before, Status) else before.customers_count or 0
    if is_status and step.members is None:
        yield message(
            "{title} comes back with a new id and without its conditions; its customers were moved to other statuses.",
            title=title,
        )
    elif count:
        yield counted_message(
            "{title} comes back with a new id, without its conditions and its members ({count} customer).",
            "{title} comes back with a new id, without its conditions and its members ({count} customers).",
            count,
            title=title,
        )
    else:
        yield message("{title} comes back with a new id and without its conditions.", title=title)
    if is_status:
        yield message("{title}: the position may be another one.", title=title)


def _conflicts(
    step: Step, left: Entity, current: Entity, names: Iterable[str], field_ids: Iterable[int], reader: Reader
) -> Iterator[str]:
    """What is not as the step left it, of what is known of how it left it."""
    for name in names:
        was, now = getattr(left, name, None), getattr(current, name, None)
        if name in left.model_fields_set and unordered(name, was) != unordered(name, now):
            yield sentence(
                str(title_of_entity(step)),
                label_of(name),
                readable_setting(name, was),
                readable_setting(name, now),
                left=True,
            )
    if _FIELDS in left.model_fields_set:
        before, after = fields_by_id(left), fields_by_id(current)
        for field_id in field_ids:
            was, now = before.get(field_id), after.get(field_id)
            if not same_values(was, now):
                label = field_label(field_id, now, was)
                yield sentence(
                    str(title_of_entity(step)),
                    label,
                    readable_values(was, reader),
                    readable_values(now, reader),
                    left=True,
                )
