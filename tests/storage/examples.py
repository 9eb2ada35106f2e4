"""Steps that the tests of the journal record."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.leases import Lease
from amo_mcp.changes.members import Member
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Create, Delete, Kind, Move, Outcome, Step, Update

VIP = Segment.model_validate(
    {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "created_at": 1589615328,
        "updated_at": None,
        "unknown": {"of": ["the", "future"]},
        "custom_fields_values": [{"field_id": 7, "field_type": "date", "values": [{"value": 1700000000}]}],
    }
)

RENAME = Update(VIP, SegmentPatch(name="Лучшие"))
PENDING = RENAME.with_outcome("pending")
DONE = RENAME.done(VIP)


GONE = Lease(ChangeRecord("c000000000000", 0.0, "update_segment", (RENAME,), "running"), PendingChange((RENAME,)))
"""The lease of a change that is in no journal."""


def change_of(steps: Iterable[Step], **more: Any) -> PendingChange:
    """A change of these steps that a person has agreed to."""
    return PendingChange(tuple(steps), **more)


def segment(entity_id: int, name: str) -> Segment:
    """A segment that is VIP but for its id and its name."""
    return VIP.model_copy(update={"id": entity_id, "name": name})


def created(entity_id: int, name: str, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    """A creation; with what it left when it is done."""
    after = segment(entity_id, name) if outcome == "done" else None
    return Create(SegmentDraft(name=name), after=after, outcome=outcome, undoes=undoes)


def updated(name: str, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    """A renaming of VIP; with what it left when it is done."""
    after = segment(VIP.id, name) if outcome == "done" else None
    return replace(RENAME, after=after, outcome=outcome, undoes=undoes)


def moved(customer_id: int, *, kind: Kind = "segment", outcome: Outcome = "done") -> Step:
    """A customer who is put into VIP."""
    into = Member(customer_id, (VIP.id,))
    return Move(kind, (Member(customer_id, ()),), (VIP,), found=(into,), outcome=outcome)


def deleted(entity_id: int = 51, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    """A deletion."""
    return Delete(segment(entity_id, "VIP"), outcome=outcome, undoes=undoes)
