"""A change as it is kept: what one call did, what its steps come to together, and each of them as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.members import Member
from amo_mcp.changes.positions import Place, Places
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Step, Update, payload_of

ChangeStatus = Literal["running", "done", "failed", "interrupted", "undone"]
"""What is known of a change: under way; all of its steps made, or made and taken back in part; a step surely not made;
stopped or undeterminable part-way; or everything that was made is taken back."""

_MODELS: Mapping[Kind, tuple[type[Entity], type[SegmentDraft | StatusDraft], type[SegmentPatch | StatusPatch]]] = {
    "segment": (Segment, SegmentDraft, SegmentPatch),
    "status": (Status, StatusDraft, StatusPatch),
}


@dataclass(frozen=True)
class ChangeRecord:
    """A change in the journal: what one call did, in steps.

    Attributes:
        id: under which it is found again, `c` and twelve hexadecimal digits.
        at: when it was begun, in Unix seconds.
        tool: the tool that did it.
        undoes: the change that it took back, when it is an undo.
        by: who asked for it, where several people share the journal.
    """

    id: str
    at: float
    tool: str
    steps: tuple[Step, ...]
    status: ChangeStatus
    undoes: str | None = None
    by: str | None = None


def overall_status(steps: Iterable[Step]) -> ChangeStatus:
    """What the steps of a change that has ended come to together."""
    outcomes = {step.outcome for step in steps}
    if outcomes & {"unknown", "pending"}:
        return "interrupted"
    if "undone" in outcomes and "done" not in outcomes:
        return "undone"
    if outcomes <= {"done", "undone"}:
        return "done"
    return "failed" if "failed" in outcomes else "interrupted"


def to_record(step: Step) -> dict[str, Any]:
    """A step as JSON, losing nothing: moments are Unix seconds, as the API tells them."""
    record: dict[str, Any] = {"action": step.action, "kind": step.kind, "outcome": step.outcome, "undoes": step.undoes}
    if step.request_id is not None:
        record["request_id"] = step.request_id
    if isinstance(step, Move):
        return record | _move_to_record(step)
    if not isinstance(step, Create):
        record["before"] = entity_to_record(step.before)
    if isinstance(step, Delete):
        record |= _members_to_record(step)
    else:
        record["after"] = None if step.after is None else entity_to_record(step.after)
        record["payload"] = payload_of(step)
    if isinstance(step, Create):
        record["existing_ids"] = list(step.existing_ids)
    return record | _places_to_record(step)


def from_record(record: Mapping[str, Any]) -> Step:
    """The step of a record that `to_record` made."""
    entity, draft, patch = _MODELS[record["kind"]]
    known: dict[str, Any] = {
        "outcome": record["outcome"],
        "undoes": record["undoes"],
        "request_id": record.get("request_id"),
    }
    if record["action"] == "move":
        return _move_from_record(record, entity, known)
    if record["action"] == "delete":
        return _delete_from_record(record, entity, known)
    known["after"] = None if record.get("after") is None else entity.model_validate(record["after"])
    known["left"], known["misplaced"] = _places(record.get("left", ())), record.get("misplaced", False)
    known["place"] = Place(*record["place"]) if "place" in record else None
    if record["action"] == "create":
        existing = tuple(record["existing_ids"])
        return Create(draft.model_validate(record["payload"]), existing, old_id=record.get("old_id"), **known)
    before, places = entity.model_validate(record["before"]), _places(record.get("places", ()))
    return Update(before, patch.model_validate(record["payload"]), places, **known)


def _places_to_record(step: Create | Update | Delete) -> dict[str, Any]:
    """Where the statuses stood and stand, as far as the step is about that."""
    known: dict[str, Any] = {}
    if not isinstance(step, Create):
        known["places"] = [list(place) for place in step.places]
    if not isinstance(step, Delete):
        known |= {"left": [list(place) for place in step.left], "place": step.place and list(step.place)}
        known["misplaced"] = step.misplaced
    if isinstance(step, Create):
        known["old_id"] = step.old_id
    return {name: value for name, value in known.items() if value}


def _places(record: Iterable[Sequence[int]]) -> Places:
    return tuple((status_id, position) for status_id, position in record)


def _members_to_record(step: Delete) -> dict[str, Any]:
    """What a deletion knows of the customers in it; nothing where it does not ask for them."""
    record: dict[str, Any] = {"reads_members": True} if step.reads_members else {}
    if step.merged_into is not None:
        record["merged_into"] = entity_to_record(step.merged_into)
    if step.members is not None:
        record["members"] = [list(member) for member in step.members]
    return record


def _delete_from_record(record: Mapping[str, Any], entity: type[Entity], known: Mapping[str, Any]) -> Delete:
    merged_into, members = record.get("merged_into"), record.get("members")
    return Delete(
        entity.model_validate(record["before"]),
        record.get("reads_members", False),
        None if merged_into is None else entity.model_validate(merged_into),
        None if members is None else tuple(map(_member, members)),
        _places(record.get("places", ())),
        **known,
    )


def _move_to_record(step: Move) -> dict[str, Any]:
    return {
        "customers": [list(member) for member in step.customers],
        "into": [entity_to_record(place) for place in step.into],
        "out_of": [entity_to_record(place) for place in step.out_of],
        "found": None if step.found is None else [list(member) for member in step.found],
        "refused": [list(refusal) for refusal in step.refused],
        "missed": list(step.missed),
        "source": None if step.source is None else entity_to_record(step.source),
        "count": step.count,
        "page": step.page,
        "recreated": step.recreated,
    }


def _move_from_record(record: Mapping[str, Any], entity: type[Entity], known: Mapping[str, Any]) -> Move:
    return Move(
        record["kind"],
        tuple(map(_member, record["customers"])),
        tuple(map(entity.model_validate, record["into"])),
        tuple(map(entity.model_validate, record["out_of"])),
        None if record["found"] is None else tuple(map(_member, record["found"])),
        tuple((customer_id, detail) for customer_id, detail in record["refused"]),
        tuple(record["missed"]),
        None if record["source"] is None else entity.model_validate(record["source"]),
        record["count"],
        record["page"],
        record["recreated"],
        **known,
    )


def _member(record: Sequence[Any]) -> Member:
    customer_id, segments, status_id = record
    return Member(customer_id, None if segments is None else tuple(segments), status_id)


def entity_to_record(entity: Entity) -> dict[str, Any]:
    """An entity as JSON, losing nothing."""
    dumped = entity.model_dump(mode="python", exclude_unset=True)
    return {name: int(value.timestamp()) if isinstance(value, datetime) else value for name, value in dumped.items()}


def entity_from_record(kind: Kind, record: Mapping[str, Any]) -> Entity:
    """The entity of a record that `entity_to_record` made."""
    return _MODELS[kind][0].model_validate(record)
