"""What is answered of customers that were moved: who is where they were to be, who is not, and why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from pydantic import BaseModel
from typing_extensions import override

from amo_mcp.changes.execution import Execution
from amo_mcp.changes.members import Fate
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Move, Outcome
from amo_mcp.failures.explain import explain
from amo_mcp.failures.failure import NOTHING_CHANGED, internal_error
from amo_mcp.text import counted, sanitize
from amo_mcp.tools.runtime.tool import ExecutedOutput

_MAX_NAMED = 20

_REASONS: Mapping[Fate, str] = {
    "gone": "It is no longer in the account.",
    "hidden": "amoCRM does not tell where it is, so nothing was sent for it.",
    "ignored": "amoCRM answered that it was done, and the customer is where it was.",
    "stays": "It is in what it was put into, and still in what it was to leave.",
    "elsewhere": "It is neither where it was nor where it was to be: a rule of the account, or somebody, moved it on.",
}

_NOT_YET = "Its turn has not come yet."
_GOES_ON = "It goes on without this call: list_changes shows when it has ended, and list_customers who is where."

_UNREAD: Mapping[Outcome, str] = {
    "pending": "It was sent, and what came of it is not known.",
    "unknown": "It was sent, and what came of it is not known.",
}


class NotMoved(BaseModel):
    """A customer that is not where it was to be."""

    id: int
    reason: str


class MovedCustomers(ExecutedOutput):
    """Who was moved, as amoCRM was read afterwards; `message` says what else there is to know."""

    moved: list[int]
    not_moved: list[NotMoved]
    change_id: str
    message: str | None = None

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        steps = [step for step in execution.record.steps if isinstance(step, Move)]
        goes_on = execution.record.status == "running"
        moved, not_moved = list[int](), list[NotMoved]()
        for step in steps:
            for customer_id, reason in _reasons(step, _NOT_YET if goes_on else "It was not sent."):
                if reason:
                    not_moved.append(NotMoved(id=customer_id, reason=reason))
                else:
                    moved.append(customer_id)
        told = " ".join([*([_GOES_ON] if goes_on else []), *_stopped(execution), *_missed(steps)])
        return cls(moved=moved, not_moved=not_moved, change_id=execution.record.id, message=told or None)


def _reasons(step: Move, unsent: str) -> Iterator[tuple[int, str]]:
    """Why each customer is not where it was to be, `unsent` where nothing was sent for it; empty when it is."""
    if step.found is None:
        reason = unsent if step.outcome == "planned" else _UNREAD.get(step.outcome, "It was not moved.")
        yield from ((member.id, reason) for member in step.customers)
        return
    refused = dict(step.refused)
    for customer_id, fate in step.fates.items():
        if fate == "refused":
            yield customer_id, f"amoCRM refused it: {sanitize(refused[customer_id], 200)}"
        else:
            yield customer_id, _REASONS.get(fate, "")


def _stopped(execution: Execution) -> Iterator[str]:
    if execution.failure is not None:
        worded = explain(execution.failure) or internal_error()
        effect = "" if worded.effect == NOTHING_CHANGED else f" {worded.effect}"
        yield f"It stopped there: {worded.what}{effect}"


def _missed(steps: Sequence[Move]) -> Iterator[str]:
    """Who was missing where they were to stay, and whether they could be put back."""
    lost = dict[int, frozenset[int]]()
    for step in steps:
        before = {member.id: member for member in step.customers}
        lost |= {member.id: step.placement.lost(before[member.id], member) for member in step.found or ()}
    back = [one for step in steps for one in step.missed if not lost.get(one)]
    if back:
        who = counted(len(back), "customer")
        yield f"{who} had left segments that they were to stay in, and were put back: {_ids(back)}."
    for customer_id, segments in lost.items():
        if segments:
            yield f"Customer {customer_id} has left segments that it was to stay in: {_ids(sorted(segments))}."


def _ids(ids: Sequence[int]) -> str:
    more = len(ids) - _MAX_NAMED
    return ", ".join(map(str, ids[:_MAX_NAMED])) + (f" and {more} more" if more > 0 else "")
