"""A change that waits for a person's yes, as data: it can be kept anywhere and carried out by another process.

It holds its targets as they were read when the question was made; just before the write they are read again and
compared (`changes.executor`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.steps import Step, from_record, to_record


@dataclass(frozen=True)
class PendingChange:
    """One change of one entity.

    Attributes:
        steps: what is to be done, in order; one step, unless it is a plan or an undo.
        fields: the custom fields that the steps set, as they are defined.
    """

    steps: tuple[Step, ...]
    fields: tuple[CustomField, ...] = ()

    @property
    def plan_id(self) -> str | None:
        """The plan that is used up by it."""
        return None

    @property
    def undoes(self) -> str | None:
        """The change that is taken back by it."""
        return None


@dataclass(frozen=True)
class PendingPlan(PendingChange):
    """A whole plan."""

    plan: str = ""

    @property
    def plan_id(self) -> str | None:
        """The plan."""
        return self.plan


@dataclass(frozen=True)
class PendingUndo(PendingChange):
    """A change that is to be taken back.

    Attributes:
        change_id: that change.
        tool: the tool that made it.
        at: when it was made, in Unix seconds.
        not_restored: what does not come back, a sentence each.
    """

    change_id: str = ""
    tool: str = ""
    at: float = 0.0
    not_restored: tuple[str, ...] = ()

    @property
    def undoes(self) -> str | None:
        """The change."""
        return self.change_id


def pending_to_record(change: PendingChange) -> dict[str, Any]:
    """A pending change as JSON, losing nothing."""
    record: dict[str, Any] = {
        "steps": [to_record(step) for step in change.steps],
        "fields": [field.model_dump(mode="json", exclude_unset=True) for field in change.fields],
    }
    if isinstance(change, PendingPlan):
        record["plan"] = change.plan
    if isinstance(change, PendingUndo):
        record["undo"] = {
            "change_id": change.change_id,
            "tool": change.tool,
            "at": change.at,
            "not_restored": list(change.not_restored),
        }
    return record


def pending_from_record(record: Mapping[str, Any]) -> PendingChange:
    """The pending change of a record that `pending_to_record` made."""
    steps = tuple(from_record(step) for step in record["steps"])
    fields = tuple(CustomField.model_validate(field) for field in record["fields"])
    if "plan" in record:
        return PendingPlan(steps, fields, record["plan"])
    if "undo" in record:
        undo = record["undo"]
        return PendingUndo(steps, fields, undo["change_id"], undo["tool"], undo["at"], tuple(undo["not_restored"]))
    return PendingChange(steps, fields)
