"""The account as it was read at one moment, and how it differs from what a person was shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import NotFound
from amo_mcp.amocrm.models import CustomField, Listing, Segment, Status, comparable
from amo_mcp.changes.field_values import field_label, fields_by_id, same_values
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Step, Update, label_of

_FIELDS = "custom_fields_values"
_MAX_NAMED_FIELDS = 5


@dataclass(frozen=True)
class Snapshot:
    """Entities by kind and id, and the custom fields of segments where they were asked for."""

    entities: Mapping[Kind, Mapping[int, Entity]]
    fields: Sequence[CustomField] = ()

    def target(self, step: Update | Delete) -> Entity | None:
        """What the step changes or deletes, if it is still there."""
        return self.entities.get(step.kind, {}).get(step.before.id)

    def ids(self, kind: Kind) -> tuple[int, ...]:
        """The ids of all entities of a kind."""
        return tuple(self.entities.get(kind, {}))


@dataclass(frozen=True)
class Difference:
    """How an entity is no longer what a step was made for.

    Attributes:
        before: the entity as the step knows it.
        now: the entity as it is; None when it is gone.
        settings: the names of what differs, such as `color`.
    """

    before: Entity
    now: Entity | None
    settings: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """What differs, as a person reads it: a few custom fields by name, many by their number."""
        labels = [label_of(name) for name in self.settings if name != _FIELDS]
        was, now = fields_by_id(self.before), fields_by_id(self.now)
        differing = _differing_fields(self.before, self.now)
        if len(differing) > _MAX_NAMED_FIELDS:
            return [*labels, f"{len(differing)} custom fields"]
        return labels + [field_label(key, now.get(key), was.get(key)) for key in differing]


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


async def read_all(client: AmoClient, kind: Kind) -> Listing[Segment] | Listing[Status]:
    """All entities of a kind that can be read."""
    return await client.segments() if kind == "segment" else await client.statuses()


async def read_one(client: AmoClient, kind: Kind, entity_id: int) -> Entity:
    """One entity; NotFound is raised when it is not there."""
    return await client.segment(entity_id) if kind == "segment" else await client.status(entity_id)


async def read_snapshot(client: AmoClient, kinds: Iterable[Kind], *, with_fields: bool = False) -> Snapshot:
    """Everything of some kinds: one request a kind, and one more for the fields."""
    fields = await client.segment_fields() if with_fields else ()
    entities = {kind: {entity.id: entity for entity in await read_all(client, kind)} for kind in kinds}
    return Snapshot(entities, fields)


async def read_targets(client: AmoClient, steps: Sequence[Step], *, with_fields: bool = False) -> Snapshot:
    """What the steps need: the one target of a single step, else everything of their kinds."""
    step = steps[0]
    if len(steps) > 1 or isinstance(step, Create):
        return await read_snapshot(client, sorted({step.kind for step in steps}), with_fields=with_fields)
    try:
        target = await read_one(client, step.kind, step.before.id)
    except NotFound:
        return Snapshot({step.kind: {}})
    fields = await client.segment_fields() if with_fields else ()
    return Snapshot({step.kind: {target.id: target}}, fields)


def drift(steps: Iterable[Step], snapshot: Snapshot, *, positions: bool = False) -> list[Difference]:
    """How the targets of the steps differ from what the steps were made for.

    Customers may come and go, but a segment that is to be deleted may not have more of them than were shown. The
    account renumbers positions, so they are compared only where `positions` asks for it, in a step that sets one.
    """
    differences = []
    for step in steps:
        if isinstance(step, Create):
            continue
        now = snapshot.target(step)
        if now is None:
            differences.append(Difference(step.before, None))
        elif names := _changed_settings(step, now, positions=positions):
            differences.append(Difference(step.before, now, names))
    return differences


def differing_settings(before: Entity, now: Entity) -> list[str]:
    """The names of the settings in which two readings of an entity differ; fields are compared by id and values."""
    was, is_now = comparable(before), comparable(now)
    names = [name for name in {**was, **is_now} if name != _FIELDS and was.get(name) != is_now.get(name)]
    return [*names, _FIELDS] if _differing_fields(before, now) else names


def _differing_fields(before: Entity, now: Entity | None) -> list[int]:
    """The ids of the custom fields whose values differ."""
    was, is_now = fields_by_id(before), fields_by_id(now)
    return [key for key in {**was, **is_now} if not same_values(was.get(key), is_now.get(key))]


def _changed_settings(step: Update | Delete, now: Entity, *, positions: bool) -> tuple[str, ...]:
    names = differing_settings(step.before, now)
    if "sort" in names and not (positions and isinstance(step, Update) and "sort" in step.patch.to_payload()):
        names.remove("sort")
    if isinstance(step, Delete) and isinstance(step.before, Segment) and isinstance(now, Segment):
        shown, count = step.before.customers_count or 0, now.customers_count or 0
        names += ["customers_count"] if count > shown else []
    return tuple(names)
