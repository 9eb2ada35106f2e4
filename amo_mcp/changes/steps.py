"""The steps of a change: each is one action on one entity, and knows what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.members import Fate, Member, Placement
from amo_mcp.changes.positions import Place, Places

Action = Literal["create", "update", "delete", "move"]
Kind = Literal["segment", "status"]
Outcome = Literal["planned", "pending", "done", "failed", "unknown", "undone"]
"""What is known of a step: not sent yet, about to be sent, made, surely not made, undeterminable, or taken back."""

Entity = Segment | Status

MODES: Mapping[Kind, str] = {"segment": "segments", "status": "periodicity"}
"""The customers mode in which an account has entities of a kind."""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What every step has.

    Attributes:
        outcome: what is known of it.
        undoes: the position, in the change that is taken back, of the step that this one takes back.
        request_id: what amoCRM calls the request that it was sent with, the last one where there were several; None
            where it was not answered.
    """

    action: ClassVar[Action]
    outcome: Outcome = "planned"
    undoes: int | None = None
    request_id: str | None = field(default=None, compare=False)

    def with_outcome(self, outcome: Outcome) -> Self:
        """The step with what came of it."""
        return replace(self, outcome=outcome)


@dataclass(frozen=True, kw_only=True)
class _Writes(_Step):
    """A step that leaves an entity behind.

    Attributes:
        after: the entity as the API answered it; None until the step is done.
        left: of a status that was created or moved, all statuses as they were read back; empty where they were not.
        misplaced: whether a status does not stand where the step was to put it, or nothing is known of that.
    """

    after: Entity | None = None
    left: Places = ()
    misplaced: bool = False

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
        place: where a status comes back to its place, that place; its position is told right before the write.
        old_id: the id that it had before it was deleted, by which a `place` names it.
    """

    action: ClassVar[Action] = "create"
    draft: SegmentDraft | StatusDraft
    existing_ids: tuple[int, ...] = ()
    also: tuple[int | None, ...] = ()
    place: Place | None = None
    old_id: int | None = None

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
    """Delete a segment or a status.

    Attributes:
        reads_members: whether the customers in it are read right before the write, so that an undo brings them back.
        merged_into: where all of them have to be by then; else nothing is deleted.
        members: the customers in it, as they were read then; None when they were not.
        places: of a status, all statuses when `before` was read.
    """

    action: ClassVar[Action] = "delete"
    reads_members: bool = False
    merged_into: Entity | None = None
    members: tuple[Member, ...] | None = None
    places: Places = ()


@dataclass(frozen=True)
class Move(_Step):
    """Move customers: into segments and out of others, or to a status.

    Attributes:
        kind: whether they are moved between segments or between statuses.
        customers: who, each as it was read right before it was sent; until then as a person was shown it. Nobody while
            it is only known that they are the customers of `source`.
        into: the segments that they are put into, or the one status that they are to have.
        out_of: the segments that they are taken out of.
        found: the same customers as they were read afterwards, without those that are gone; None until then.
        refused: what the API said of those that it refused, by id.
        missed: the ids of those who were missing somewhere that they were to stay in, and were put back there.
        source: the segment or the status whose customers are moved, all of them, by a merge.
        count: how many these are, as far as a person was told.
        page: the page of all customers on which these were; 0 where that is not known.
        recreated: the position, in the change that is taken back, of the deletion whose entity they go back into: its
            id is another one once it was created again.
    """

    action: ClassVar[Action] = "move"
    kind: Kind
    customers: tuple[Member, ...]
    into: tuple[Entity, ...] = ()
    out_of: tuple[Entity, ...] = ()
    found: tuple[Member, ...] | None = None
    refused: tuple[tuple[int, str], ...] = ()
    missed: tuple[int, ...] = ()
    source: Entity | None = None
    count: int | None = None
    page: int = 0
    recreated: int | None = None

    @property
    def name(self) -> str:
        """The name of what it is about first."""
        return (self.into or self.out_of)[0].name

    @property
    def target_id(self) -> None:
        """None: it has more than one target."""
        return

    @property
    def places(self) -> tuple[Entity, ...]:
        """All that customers come into, or out of, and that is there."""
        source = () if self.source is None else (self.source,)
        return (*(self.into if self.recreated is None else ()), *self.out_of, *source)

    @property
    def placement(self) -> Placement:
        """Where it puts customers."""
        if self.kind == "status":
            return Placement(status_id=self.into[0].id)
        return Placement(frozenset(one.id for one in self.into), frozenset(one.id for one in self.out_of))

    @property
    def sent(self) -> list[Member]:
        """The customers for whom anything is sent: who is not there, and known to be where it is."""
        placement = self.placement
        return [one for one in self.customers if placement.knows(one) and not placement.is_reached(one)]

    @property
    def fates(self) -> dict[int, Fate]:
        """What came of it for each customer; to be asked once it was sent and read back."""
        now = {member.id: member for member in self.found or ()}
        refused, fate = dict(self.refused).keys() & now.keys(), self.placement.fate
        return {one.id: "refused" if one.id in refused else fate(one, now.get(one.id)) for one in self.customers}

    @property
    def moved(self) -> int:
        """How many it is to move; of those that were read back, how many are where they were to be."""
        is_over = self.found is not None and self.outcome != "failed"
        return [*self.fates.values()].count("moved") if is_over else len(self.customers)

    def read_back(self, found: Iterable[Member], refused: Mapping[int, str]) -> Self:
        """The step with what came of it: done when anybody was moved, or nobody was left to be moved."""
        read = replace(self, found=tuple(found), refused=tuple(refused.items()))
        fates = {*read.fates.values()}
        return read.with_outcome("done" if fates <= {"gone"} or fates & {"moved", "stays", "elsewhere"} else "failed")


Step = Create | Update | Delete | Move
"""One action on one entity, or one move of customers.

| | `Create` | `Update` | `Delete` | `Move` |
|---|---|---|---|---|
| what is there as it was | | `before` | `before` | `customers` |
| what is sent | `draft` | `patch` | | `into`, `out_of` |
| what tells that it is new | `existing_ids` | | | |
| the same afterwards | `after` | `after` | | `found` |
"""


def check_mode(kind: Kind, mode: str) -> None:
    """Raise ModeDisabled when an account in `mode` has no entities of the kind; an empty mode is not known."""
    if mode not in ("", MODES[kind]):
        raise ModeDisabled(MODES[kind], mode)


def kind_of(entity: Entity) -> Kind:
    """Whether it is a segment or a status."""
    return "segment" if isinstance(entity, Segment) else "status"


def customers_affected(steps: Iterable[Step]) -> int:
    """Customers of the segments that the steps delete, and of the statuses that they merge."""
    return sum(_affected(step) or 0 for step in steps)


def _affected(step: Step) -> int | None:
    if isinstance(step, Delete):
        return step.before.customers_count if isinstance(step.before, Segment) else 0
    return step.count if isinstance(step, Move) and step.kind == "status" else 0


def payload_of(step: Step) -> dict[str, Any]:
    """What is set of an entity; nothing by a deletion or a move."""
    match step:
        case Create():
            return step.draft.to_payload()
        case Update():
            return step.patch.to_payload()
        case Delete() | Move():
            return {}


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
