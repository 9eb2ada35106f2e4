"""The account as it was read at one moment, and how it differs from what a person was shown."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import NotFound
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Customer, CustomField, Segment, Status
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.differences import Difference, differing_settings
from amo_mcp.changes.positions import Place, Places, has_moved, is_between, place_in, places_of
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Step, Update, moves_status
from amo_mcp.text import quote


@dataclass(frozen=True)
class Snapshot:
    """Entities by kind and id, and the custom fields of segments where they were asked for.

    Attributes:
        unreadable: what the account has more of and could not be read: ids, None where not even the id could.
        knows_fields: whether the custom fields were asked for.
        customers: customers by id, those that were asked for and are there.
    """

    entities: Mapping[Kind, Mapping[int, Entity]]
    fields: Sequence[CustomField] = ()
    unreadable: Mapping[Kind, Sequence[int | None]] = field(default_factory=dict)
    knows_fields: bool = False
    customers: Mapping[int, Customer] = field(default_factory=dict)

    def target(self, step: Update | Delete) -> Entity | None:
        """What the step changes or deletes, if it is still there."""
        return self.entities.get(step.kind, {}).get(step.before.id)

    def ids(self, kind: Kind) -> tuple[int, ...]:
        """The ids of all entities of a kind."""
        return tuple(self.entities.get(kind, {}))

    def count(self, kind: Kind) -> int:
        """How many of a kind the account has, those that cannot be read among them."""
        return len(self.entities.get(kind, {})) + len(self.unreadable.get(kind, ()))

    def is_unreadable(self, kind: Kind, *ids: int | None) -> bool:
        """Whether one of these ids is of an entity that is there and could not be read; None is an id that is not."""
        return not {*ids}.isdisjoint(self.unreadable.get(kind, ()))

    def defines(self, field_id: int) -> bool:
        """Whether the account has a custom field, as far as is known."""
        hidden = getattr(self.fields, "unreadable", ())
        return not self.knows_fields or bool(hidden) or any(one.id == field_id for one in self.fields)

    def offers(self, field_id: int, choice: object) -> bool:
        """Whether a custom field has a choice, as far as is known; `choice` is its id, or None where there is none."""
        choices = [one.id for known in self.fields if known.id == field_id for one in known.enums]
        return choice is None or not choices or choice in choices

    @property
    def places(self) -> Places:
        """The order of the statuses."""
        return places_of(self.entities.get("status", {}).values())

    def worded(self, place: Place) -> str:
        """A place among the statuses, for a sentence: `after «New» and before «Old»`."""
        statuses = self.entities.get("status", {})
        sides = (("after", place.after), ("before", place.before))
        known = [f"{side} {quote(statuses[one].name)}" for side, one in sides if one is not None]
        return " and ".join(known) or "alone"


class TargetChanged(Exception):
    """The account is no longer what a person was shown; the steps that it concerns were not sent.

    Attributes:
        differences: what differs, as facts; empty when no entity does, as for a changed field definition.
        reason: why, in a sentence, where the differences do not say it.
    """

    def __init__(self, differences: Sequence[Difference] = (), reason: str = "") -> None:
        super().__init__(reason)
        self.differences = tuple(differences)
        self.reason = reason


def check_definitions(shown: Iterable[CustomField], now: Iterable[CustomField]) -> None:
    """Raise TargetChanged unless the custom fields are defined as a person was shown them."""
    definitions = {field.id: field for field in now}
    if any(definitions.get(field.id) != field for field in shown):
        raise TargetChanged(reason="The definition of a custom field has changed.")


async def read_all(client: AmoClient, kind: Kind) -> Listing[Segment] | Listing[Status]:
    """All entities of a kind that can be read."""
    return await client.segments() if kind == "segment" else await client.statuses()


async def read_one(client: AmoClient, kind: Kind, entity_id: int) -> Entity:
    """One entity; NotFound is raised when it is not there."""
    return await client.segment(entity_id) if kind == "segment" else await client.status(entity_id)


async def read_snapshot(client: AmoClient, kinds: Iterable[Kind], *, with_fields: bool = False) -> Snapshot:
    """Everything of some kinds: one request a kind, and one more for the fields."""
    fields = await client.segment_fields() if with_fields else ()
    listed = {kind: await read_all(client, kind) for kind in kinds}
    entities = {kind: {entity.id: entity for entity in listing} for kind, listing in listed.items()}
    unreadable = {kind: listing.unreadable for kind, listing in listed.items()}
    return Snapshot(entities, fields, unreadable, with_fields)


async def read_targets(client: AmoClient, steps: Sequence[Step], *, with_fields: bool = False) -> Snapshot:
    """What the steps need: the one target of a single step, unless its place counts, else everything of their kinds."""
    step, kinds = steps[0], sorted({step.kind for step in steps})
    if len(steps) > 1 or isinstance(step, Create | Move):
        return await read_snapshot(client, kinds, with_fields=with_fields)
    # The target is read last, because it has to be the freshest.
    fields = await client.segment_fields() if with_fields else ()
    try:
        if _stands_in_order(step):
            return await read_snapshot(client, kinds)
        target = await read_one(client, step.kind, step.before.id)
    except NotFound:
        return Snapshot({step.kind: {}})
    return Snapshot({step.kind: {target.id: target}}, fields)


def on_account(steps: Iterable[Step], snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps with their targets as they are now; a target that is not there is left as the step knows it."""
    return tuple(_on_account(step, snapshot) for step in steps)


def _on_account(step: Step, snapshot: Snapshot) -> Step:
    if isinstance(step, Create):
        return step
    if isinstance(step, Move):
        return _move_on_account(step, snapshot)
    before = snapshot.target(step) or step.before
    if _stands_in_order(step):
        return replace(step, before=before, places=snapshot.places)
    return replace(step, before=before)


def _move_on_account(step: Move, snapshot: Snapshot) -> Move:
    """The move with what a merge is from and into as it is now."""
    if step.source is None:
        return step
    entities = snapshot.entities.get(step.kind, {})
    source = entities.get(step.source.id, step.source)
    into = tuple(entities.get(one.id, one) for one in step.into)
    count = source.customers_count if isinstance(source, Segment) else step.count
    return replace(step, source=source, into=into, count=count)


def _stands_in_order(step: Step) -> bool:
    """Whether it counts where the status of the step stands: it moves that, or deletes it."""
    return moves_status(step) or (isinstance(step, Delete) and step.kind == "status")


def drift(
    steps: Iterable[Step],
    snapshot: Snapshot,
    *,
    among: Sequence[Step] | None = None,
    customers: bool = True,
    zone: Zone = UNKNOWN,
) -> list[Difference]:
    """How the targets of the steps differ from what the steps were made for.

    Customers may come and go, but a segment that is to be deleted may not have more of them than were shown. Of the
    position that a step sets, the place among the other statuses is compared (`positions`).

    Args:
        steps: what is about to be shown or sent.
        snapshot: the account as it is.
        among: the whole change that the steps belong to, whose own moves and new names are no difference; by default
            the steps.
        customers: whether the customers of a segment that is to be deleted were shown to a person already.
        zone: where the account's days begin.
    """
    steps = [*steps]
    updates = [step for step in (among or steps) if isinstance(step, Update)]
    moved = {step.before.id for step in updates if moves_status(step)}
    renamed = {step.before.id: step.after.name for step in updates if step.after is not None}
    found = (
        _difference(step, snapshot, moved, customers=customers) for step in steps if isinstance(step, Update | Delete)
    )
    places = {place.id: _renamed(place, step.kind, snapshot, renamed) for step in steps for place in _places(step)}
    return [replace(difference, zone=zone) for difference in (*found, *places.values()) if difference is not None]


def is_of_another_account(steps: Iterable[Step], snapshot: Snapshot) -> bool:
    """Whether a target is another account's than the one that a person was shown: both may have entities of one id."""
    pairs = [(step.before, snapshot.target(step)) for step in steps if isinstance(step, Update | Delete)]
    ids = [(shown.account_id, now.account_id) for shown, now in pairs if now is not None]
    return any(one != other and None not in (one, other) for one, other in ids)


def _places(step: Step) -> Sequence[Entity]:
    return step.places if isinstance(step, Move) else ()


def _renamed(place: Entity, kind: Kind, snapshot: Snapshot, names: Mapping[int, str]) -> Difference | None:
    """How a segment or a status that customers are moved to is not the one that a person was shown.

    `names` are those that the change itself has given by now, by id.
    """
    now = snapshot.entities.get(kind, {}).get(place.id)
    if now is None:
        return Difference(place, None, is_unreadable=snapshot.is_unreadable(kind, place.id, None))
    # What was read before it was renamed has its old name still.
    return None if now.name in (place.name, names.get(place.id)) else Difference(place, now, ("name",))


def _difference(
    step: Update | Delete, snapshot: Snapshot, moved: Collection[int], *, customers: bool
) -> Difference | None:
    now = snapshot.target(step)
    if now is None:
        return Difference(step.before, None, is_unreadable=snapshot.is_unreadable(step.kind, step.before.id, None))
    names, places = [name for name in differing_settings(step.before, now) if name != "sort"], ("", "")
    if step.places:
        others = ({one for one, _ in step.places} & {*snapshot.ids("status")}) - {*moved, now.id}
        place = place_in(step.places, now.id, others)
        is_there = is_between(snapshot.places, now.id, place)
        if not is_there and (isinstance(step, Update) or has_moved(step.places, snapshot.places, now.id)):
            names.append("sort")
            places = snapshot.worded(place), snapshot.worded(place_in(snapshot.places, now.id, others))
    if customers and isinstance(step, Delete) and isinstance(step.before, Segment) and isinstance(now, Segment):
        shown, count = step.before.customers_count or 0, now.customers_count or 0
        names += ["customers_count"] if count > shown else []
    return Difference(step.before, now, tuple(names), places) if names else None
