"""The steps of a change: each is one action on one entity, and knows what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.positions import Place, Places
from amo_mcp.language import Message, message
from amo_mcp.text import quote, sanitize

Action = Literal["create", "update", "delete"]
Kind = Literal["segment", "status"]
Outcome = Literal["planned", "pending", "done", "failed", "unknown", "undone"]
"""What is known of a step: not sent yet, about to be sent, made, surely not made, undeterminable, or taken back."""

Entity = Segment | Status

LIMITS: Mapping[Kind, int] = {"segment": MAX_SEGMENTS, "status": MAX_STATUSES}
"""How many of a kind one account holds."""

PLURALS: Mapping[Kind, str] = {"segment": "segments", "status": "statuses"}

MODES: Mapping[Kind, str] = {"segment": "segments", "status": "periodicity"}
"""The customers mode in which an account has entities of a kind."""

_LABELS = {
    "color": "colour",
    "sort": "position",
    "available_products_price_types": "price fields",
    "customers_count": "customer count",
}


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What every step has.

    Attributes:
        outcome: what is known of it.
        undoes: the position, in the change that is taken back, of the step that this one takes back.
    """

    action: ClassVar[Action]
    outcome: Outcome = "planned"
    undoes: int | None = None

    def with_outcome(self, outcome: Outcome) -> Self:
        """The step with what came of it."""
        return replace(self, outcome=outcome)


@dataclass(frozen=True, kw_only=True)
class _Writes(_Step):
    """A step that leaves an entity behind.

    Attributes:
        after: the entity as the API answered it; None until the step is done.
    """

    after: Entity | None = None

    def done(self, after: Entity) -> Self:
        """The step, done, with what it left behind."""
        return replace(self, outcome="done", after=after)


@dataclass(frozen=True)
class _Existing(_Step):
    """A step for an entity that is there.

    Attributes:
        before: the entity as it was, whole.
    """

    before: Entity

    @property
    def kind(self) -> Kind:
        """What it is."""
        return kind_of(self.before)

    @property
    def name(self) -> str:
        """The name before."""
        return self.before.name

    @property
    def target_id(self) -> int:
        """Which one."""
        return self.before.id


@dataclass(frozen=True)
class Create(_Writes):
    """Create a segment or a status.

    Attributes:
        draft: what is sent.
        existing_ids: all entities of the kind just before the creation; one that is not among them is new.
        also: what else it created, and nobody wanted: ids, None where there may be one (`history.with_late`).
    """

    action: ClassVar[Action] = "create"
    draft: SegmentDraft | StatusDraft
    existing_ids: tuple[int, ...] = ()
    also: tuple[int | None, ...] = ()

    @property
    def kind(self) -> Kind:
        """What is created."""
        return "segment" if isinstance(self.draft, SegmentDraft) else "status"

    @property
    def name(self) -> str:
        """The name that it is created with."""
        return self.draft.name

    @property
    def target_id(self) -> int | None:
        """The new id, once it is known."""
        return None if self.after is None else self.after.id


@dataclass(frozen=True)
class Update(_Writes, _Existing):
    """Change settings of a segment or a status.

    Attributes:
        patch: what is sent.
        places: where the step moves a status, all statuses when `before` was read; else empty.
        place: where the step puts a status back to its place, that place; its position is told right before the write.
    """

    action: ClassVar[Action] = "update"
    patch: SegmentPatch | StatusPatch
    places: Places = ()
    place: Place | None = None


@dataclass(frozen=True)
class Delete(_Existing):
    """Delete a segment or a status."""

    action: ClassVar[Action] = "delete"


Step = Create | Update | Delete
"""One action on one entity.

| | `Create` | `Update` | `Delete` |
|---|---|---|---|
| the entity as it was | | `before` | `before` |
| what is sent | `draft` | `patch` | |
| what tells that it is new | `existing_ids` | | |
| the entity as the API answered it | `after` | `after` | |
"""


def check_mode(kind: Kind, mode: str) -> None:
    """Raise ModeDisabled when an account in `mode` has no entities of the kind; an empty mode is not known."""
    if mode not in ("", MODES[kind]):
        raise ModeDisabled(MODES[kind], mode)


def kind_of(entity: Entity) -> Kind:
    """Whether it is a segment or a status."""
    return "segment" if isinstance(entity, Segment) else "status"


def label_of(setting: str) -> str:
    """A setting of an entity as a person reads it: `colour`, `price fields`."""
    return _LABELS.get(setting, setting)


def shown_name(name: str) -> str | Message:
    """A name in a sentence: quoted, or that there is none to see."""
    return quote(name) if sanitize(name) else message("(no visible name)")


def title_of(step: Step) -> Message:
    """What a step does: `Change segment «VIP»`."""
    name, is_segment = shown_name(step.name), step.kind == "segment"
    match step:
        case Create():
            text = message("Create segment {name}", name=name), message("Create status {name}", name=name)
        case Update():
            text = message("Change segment {name}", name=name), message("Change status {name}", name=name)
        case Delete():
            text = message("Delete segment {name}", name=name), message("Delete status {name}", name=name)
    return text[0] if is_segment else text[1]


def summary_of(step: Step) -> Message:
    """What a step does, and to which id, where that is known: `Change segment «VIP» (id 51)`."""
    title, also = title_of(step), step.also if isinstance(step, Create) else ()
    ids = [one for one in (step.target_id, *also) if one is not None]
    match ids:
        case []:
            return title
        case [only] if also:
            return message("{title} (id {id}, perhaps created twice)", title=title, id=only)
        case [only]:
            return message("{title} (id {id})", title=title, id=only)
    return message("{title} (created twice, ids {ids})", title=title, ids=", ".join(map(str, ids)))


def customers_affected(steps: Iterable[Step]) -> int:
    """Customers of the segments that the steps delete."""
    deleted = [step.before for step in steps if isinstance(step, Delete)]
    return sum(entity.customers_count or 0 for entity in deleted if isinstance(entity, Segment))


def payload_of(step: Step) -> dict[str, Any]:
    """What is sent; nothing for a deletion."""
    return {} if isinstance(step, Delete) else (step.draft if isinstance(step, Create) else step.patch).to_payload()


def field_ids(steps: Iterable[Step]) -> list[int]:
    """The custom fields that the steps set, in order."""
    fields = (field for step in steps for field in payload_of(step).get("custom_fields_values", ()))
    return list(dict.fromkeys(field["field_id"] for field in fields))


def fields_of(steps: Iterable[Step], definitions: Iterable[CustomField]) -> tuple[CustomField, ...]:
    """The definitions of the custom fields that the steps set."""
    used = field_ids(steps)
    return tuple(field for field in definitions if field.id in used)


def moves_status(step: Step) -> bool:
    """Whether the step gives a status another position."""
    return isinstance(step, Update) and isinstance(step.patch, StatusPatch) and step.patch.sort is not None


def exceeds_limit(kind: Kind, count: int, steps: Iterable[Step]) -> bool:
    """Whether the steps, in this order, would at any point create more of a kind than an account holds."""
    for step in steps:
        if step.kind == kind:
            count += {"create": 1, "delete": -1, "update": 0}[step.action]
            if step.action == "create" and count > LIMITS[kind]:
                return True
    return False
