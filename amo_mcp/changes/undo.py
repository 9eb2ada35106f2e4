"""Taking a change back: its steps inverted, in reverse order, without overwriting what somebody changed since."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from amo_mcp.amocrm.inputs import SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Status
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.again import draft_again, lost_of, settable, writable
from amo_mcp.changes.differences import edited_since, label_of, sentence
from amo_mcp.changes.field_values import fields_by_id
from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.moving_back import members_back, moved_back
from amo_mcp.changes.parts import in_parts
from amo_mcp.changes.positions import (
    Place,
    Places,
    has_moved,
    is_between,
    is_exact,
    is_intact,
    place_in,
    place_left,
    position_back,
    with_inserted,
    with_placed,
    without,
)
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Create, Delete, Entity, Move, Step, Update, field_ids
from amo_mcp.changes.titles import summary_of, title_of_entity
from amo_mcp.language import Message, message

_FIELDS = "custom_fields_values"
_PRICES = "available_products_price_types"


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
    # An API that only adds segments takes nobody out of them: what stops there has nothing else to do any more.
    return replace(undo, steps=tuple(sorted(undo.steps, key=lambda step: isinstance(step, Move) and not step.into)))


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
    """The places of the statuses once a step of the undo is done; one that it creates again has its old id there."""
    match step:
        case Create(place=Place() as place, old_id=int() as status_id):
            return with_inserted(places, status_id, place)
        case Create(draft=StatusDraft(sort=sort), old_id=int() as status_id):
            return with_placed(places, status_id, sort)
        case Update(before=before, patch=StatusPatch(sort=int() as sort)):
            return with_placed(places, before.id, sort)
        case Delete(before=Status(id=status_id)):
            return without(places, status_id)
    return places


@dataclass(frozen=True)
class _Context:
    """What a step is taken back in.

    Attributes:
        account: as it is.
        places: the order of the statuses once the later steps are taken back.
        then: the order that the step found, by the ids that the statuses have by now.
        left: the order that it left, where that is known.
        target_id: the id that the target of the step has by now.
        reader: who reads what somebody has changed since.
    """

    account: Snapshot
    places: Places
    then: Places
    left: Places
    target_id: int
    reader: Reader

    @property
    def others(self) -> set[int]:
        """The statuses that the target stood among, and stands among."""
        known = {one for one, _ in self.then or self.left}
        return known & {one for one, _ in self.places} - {self.target_id}

    @property
    def known_others(self) -> set[int]:
        """Those of the others that are there already, so that they have a name."""
        return self.others & {*self.account.ids("status")}

    def moved_on(self, step: Step, place: Place) -> str:
        """That a status does not stand any more where the step left it."""
        now = self.account.worded(place_in(self.places, self.target_id, self.known_others))
        return sentence(str(title_of_entity(step)), label_of("sort"), self.account.worded(place), now, left=True)


def _inverse(position: int, step: Step, account: Snapshot, places: Places, made: _Made, reader: Reader) -> Undo:
    if step.outcome not in ("pending", "unknown", "done"):
        return Undo()
    recreated = made.recreated
    if isinstance(step, Move):
        if step.outcome != "done":
            return _unclear(step)
        if {one.id for one in step.into} & made.created:
            # The same undo deletes what they were moved into, and that takes them out.
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
    target_id = known.id if known.id in entities else current_id
    then = _renamed(() if isinstance(step, Create) else step.places, places, recreated)
    left = _renamed(() if isinstance(step, Delete) else step.left, places, recreated)
    context = _Context(account, places, then, left, target_id, reader)
    match step:
        case Create():
            return _remove(step, known, current, context)
        case Update():
            return _restore(step, known, current, context)
        case Delete():
            return _recreate(step, current, context, position)


def _renamed(known: Places, places: Places, recreated: RecreatedIds) -> Places:
    """Places by the ids that the statuses have by now."""
    there = dict(places)
    return tuple((one if one in there else recreated.current_id("status", one), position) for one, position in known)


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


def _remove(step: Create, left: Entity, current: Entity | None, context: _Context) -> Undo:
    """Delete what was created, as it is now."""
    if current is None:
        gone = message("{title} is no longer there; there is nothing to delete.", title=title_of_entity(step))
        return Undo(not_restored=(gone,))
    names = ("name", "color", _PRICES, "conditions")
    fields = filter(context.account.defines, {*fields_by_id(left), *fields_by_id(current)})
    conflicts = [*edited_since(str(title_of_entity(step)), left, current, names, fields, context.reader)]
    if current.id in dict(context.left) and has_moved(context.left, context.places, current.id):
        conflicts.append(context.moved_on(step, place_in(context.left, current.id, context.known_others)))
    return Undo((Delete(current),), conflicts=tuple(conflicts))


def _restore(step: Update, left: Entity, current: Entity | None, context: _Context) -> Undo:
    """Give the settings that were changed their values from before."""
    if current is None:
        return Undo(conflicts=(f"{title_of_entity(step)} is no longer there; it cannot be changed back.",))
    names = [name for name in step.patch.to_payload() if name not in ("sort", _FIELDS)]
    account, places, then = context.account, context.places, context.then
    fields = filter(account.defines, field_ids([step]))
    conflicts = [*edited_since(str(title_of_entity(step)), left, current, names, fields, context.reader)]
    patch, not_restored = _patch_back(step, account)
    was: Place | None = None
    if isinstance(left, Status) and isinstance(step.before, Status) and then:
        # The account renumbers positions: what counts is between which other statuses one stands.
        if context.left:
            place = place_in(context.left, current.id, context.known_others)
        else:
            place = place_left(then, current.id, left.sort, context.known_others)
        if not is_between(places, current.id, place):
            conflicts.append(context.moved_on(step, place))
        was = place_in(then, current.id, context.others)
        if not is_intact(places, was):
            around = "what stood around it was moved or deleted, so its old place is unknown."
            conflicts.append(f"{title_of_entity(step)}: {around}")
        patch = patch.model_copy(update={"sort": position_back(places, current.id, was, step.before.sort)})
    steps = (Update(current, patch, place=was),) if patch.to_payload() else ()
    return Undo(steps, not_restored, tuple(conflicts))


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


def _recreate(step: Delete, current: Entity | None, context: _Context, position: int) -> Undo:
    """Create what was deleted once more, unless another change has brought it back, and let its customers come back."""
    title = title_of_entity(step)
    if current is not None:
        if current.id == step.before.id:
            there = message("{title} is there already; there is nothing to create.", title=title)
        else:
            there = message(
                "{title} is there already as id {id}; there is nothing to create.", title=title, id=current.id
            )
        moves, gone = members_back(step, current, context.account, None)
        return Undo(tuple(moves), (there, *gone))
    draft, unwritable = draft_again(step, context.account)
    moves, gone = members_back(step, step.before, context.account, position)
    create, unsure = Create(draft), tuple[Message, ...]()
    if isinstance(draft, StatusDraft):
        create = replace(create, place=_old_place(context), old_id=context.target_id)
        if create.place is None or not is_exact(context.places, create.place):
            unsure = (message("{title}: the position may be another one.", title=title),)
    return Undo((create, *moves), (*lost_of(step), *_namesake(step, context), *unsure, *gone, *unwritable))


def _namesake(step: Delete, context: _Context) -> Iterator[Message]:
    """That somebody has made one of the same name since: which of the two is wanted, they know."""
    entities, merged_into = context.account.entities.get(step.kind, {}), step.merged_into
    for one in entities.values():
        if one.name == step.before.name and (merged_into is None or one.id != merged_into.id):
            yield message(
                "{title}: one of this name is there already (id {id}); it stays, beside the one that comes back.",
                title=title_of_entity(step),
                id=one.id,
            )


def _old_place(context: _Context) -> Place | None:
    """Where a deleted status stood, where that can still be told."""
    if not context.then:
        return None
    place = place_in(context.then, context.target_id, context.others)
    return place if is_intact(context.places, place) else None
