"""A change as the journal and the account know it: steps, each of one action on one thing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.text import quote

Action = Literal["create", "update", "delete"]
Kind = Literal["segment", "status"]
Outcome = Literal["planned", "intent", "done", "failed", "unknown", "undone"]
"""What is known of a step: not sent yet, about to be sent, made, surely not made, not to be told, or taken back."""

LIMITS: Mapping[Kind, int] = {"segment": MAX_SEGMENTS, "status": MAX_STATUSES}

Entity = Segment | Status
Sent = SegmentDraft | SegmentPatch | StatusDraft | StatusPatch

_ENTITIES: dict[Kind, type[Entity]] = {"segment": Segment, "status": Status}
_SENT: dict[tuple[Kind, Action], type[Sent]] = {
    ("segment", "create"): SegmentDraft,
    ("segment", "update"): SegmentPatch,
    ("status", "create"): StatusDraft,
    ("status", "update"): StatusPatch,
}


@dataclass(frozen=True)
class Step:
    """One action.

    Attributes:
        before: the thing as it was, whole; None for a creation.
        sent: what is sent; None for a deletion.
        known: ids of all things of this kind before a creation: what is not among them is new.
        after: the thing as the API answered it.
        outcome: what is known of it.
        undoes: the position, in the change that is taken back, of the step that this one takes back.
    """

    action: Action
    kind: Kind
    before: Entity | None = None
    sent: Sent | None = None
    known: tuple[int, ...] = ()
    after: Entity | None = None
    outcome: Outcome = "planned"
    undoes: int | None = None

    @property
    def target_id(self) -> int | None:
        """The id of the thing; of a creation, once it is known."""
        thing = self.before or self.after
        return None if thing is None else thing.id

    @property
    def name(self) -> str:
        """The thing's name before, or the name that it is created with."""
        if self.before is not None:
            return self.before.name
        return (self.sent.name if self.sent else None) or ""

    @property
    def summary(self) -> str:
        """What it does, in a few words."""
        verb = {"create": "Create", "update": "Change", "delete": "Delete"}[self.action]
        return f"{verb} {self.kind} {quote(self.name)}" + (f" (id {self.target_id})" if self.target_id else "")

    def came(self, outcome: Outcome, after: Entity | None = None) -> Self:
        """The step with what came of it."""
        return replace(self, outcome=outcome, after=after or self.after)

    def recorded(self) -> dict[str, Any]:
        """The step as JSON; times in Unix seconds, so that nothing is lost."""
        return {
            "action": self.action,
            "kind": self.kind,
            "before": _kept(self.before),
            "sent": self.sent.to_payload() if self.sent else None,
            "known": list(self.known),
            "after": _kept(self.after),
            "outcome": self.outcome,
            "undoes": self.undoes,
        }

    @classmethod
    def read(cls, record: dict[str, Any]) -> Self:
        """The step of a record."""
        entity = _ENTITIES[record["kind"]]
        sent = _SENT.get((record["kind"], record["action"]))
        return cls(
            action=record["action"],
            kind=record["kind"],
            before=entity.model_validate(record["before"]) if record["before"] else None,
            sent=sent.model_validate(record["sent"]) if sent and record["sent"] is not None else None,
            known=tuple(record["known"]),
            after=entity.model_validate(record["after"]) if record["after"] else None,
            outcome=record["outcome"],
            undoes=record["undoes"],
        )


def _kept(thing: Entity | None) -> dict[str, Any] | None:
    """A thing whole, as the API would say it."""
    if thing is None:
        return None
    told = thing.model_dump(mode="python", exclude_unset=True)
    return {name: int(value.timestamp()) if hasattr(value, "timestamp") else value for name, value in told.items()}


ChangeStatus = Literal["running", "done", "failed", "interrupted", "undone"]


@dataclass(frozen=True)
class Change:
    """A change: what one call did, in steps.

    Attributes:
        at: when it was begun, in Unix seconds.
        tool: the tool that did it.
        undoes: the change that it took back, when it is an undo.
    """

    id: str
    at: float
    tool: str
    steps: tuple[Step, ...]
    status: ChangeStatus
    undoes: str | None = None


def status_of(steps: Iterable[Step]) -> ChangeStatus:
    """What the steps together come to."""
    outcomes = {step.outcome for step in steps}
    if outcomes & {"unknown", "intent"}:
        return "interrupted"
    if "undone" in outcomes and "done" not in outcomes:
        return "undone"
    if outcomes <= {"done", "undone"}:
        return "done"
    return "failed" if "failed" in outcomes else "interrupted"


def exceeds_limit(kind: Kind, held: int, steps: Iterable[Step]) -> bool:
    """Whether the steps, in this order, would at any point create more of a kind than an account holds."""
    for step in steps:
        if step.kind == kind:
            held += {"create": 1, "delete": -1, "update": 0}[step.action]
            if step.action == "create" and held > LIMITS[kind]:
                return True
    return False
