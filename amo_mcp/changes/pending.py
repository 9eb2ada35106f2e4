"""A change that waits for a person's yes, as data: it can be kept anywhere and carried out by another process.

It holds its targets as they were read when the question was made; just before the write they are read again and
compared (`changes.executor`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.records import from_record, to_record
from amo_mcp.changes.steps import Move, Step
from amo_mcp.language import Message


@dataclass(frozen=True)
class PendingChange:
    """One step, a plan or an undo.

    Attributes:
        steps: what is to be done, in order, each with its target as a person is shown it.
        fields: the custom fields that the steps set, as they are defined.
        plan_id: the plan that is used up by it, unless nothing comes of it.
        undoes: the id of the change that the steps take back.
        undone_at: when it was made, in Unix seconds.
        not_restored: what of it does not come back, a sentence each.
        names: the names of the customers that are moved, by id, for the question alone: the journal does not keep them.
    """

    steps: tuple[Step, ...]
    fields: tuple[CustomField, ...] = ()
    plan_id: str | None = None
    undoes: str | None = None
    undone_at: float = 0.0
    not_restored: tuple[Message, ...] = ()
    names: tuple[tuple[int, str], ...] = ()

    @property
    def is_run(self) -> bool:
        """Whether it outlives its call where processes share the journal: a plan, an undo, or several customers moved.

        Anything else is one request.
        """
        moved = sum(len(step.customers) for step in self.steps if isinstance(step, Move))
        return self.plan_id is not None or self.undoes is not None or moved > 1


def pending_to_record(change: PendingChange) -> dict[str, Any]:
    """A pending change as JSON, losing nothing."""
    return vars(change) | {
        "steps": [to_record(step) for step in change.steps],
        "fields": [field.model_dump(mode="json", exclude_unset=True) for field in change.fields],
        "names": [list(name) for name in change.names],
        "not_restored": [left_out.to_record() for left_out in change.not_restored],
    }


def pending_from_record(record: Mapping[str, Any]) -> PendingChange:
    """The pending change of a record that `pending_to_record` made."""
    steps = tuple(map(from_record, record["steps"]))
    fields = tuple(map(CustomField.model_validate, record["fields"]))
    not_restored = tuple(map(Message.from_record, record["not_restored"]))
    names = tuple((customer_id, name) for customer_id, name in record["names"])
    return PendingChange(**{**record, "steps": steps, "fields": fields, "not_restored": not_restored, "names": names})
