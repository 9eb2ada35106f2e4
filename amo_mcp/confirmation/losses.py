"""What a question says is lost by a change, or stops: a sentence each."""

from collections.abc import Iterator, Sequence

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Delete, Move, Step, customers_affected
from amo_mcp.language import Texts


def losses(change: PendingChange, texts: Texts, max_lines: int | None) -> Iterator[str]:
    """What is lost: first what an undo cannot restore, of which at most `max_lines` are told and the rest counted."""
    for left_out in change.not_restored[:max_lines]:
        yield texts.of(left_out)
    if more := len(change.not_restored[max_lines:] if max_lines else ()):
        yield texts("and {count} more that cannot be restored", count=more)
    if change.undoes is None and any(isinstance(step, Move) for step in change.steps):
        yield texts("Triggers and mailings of what the customers come into, or leave, may start.")
    deletions = [step for step in change.steps if isinstance(step, Delete)]
    if not deletions:
        return
    if len(change.steps) == 1:
        yield from _of_one(deletions[0], texts)
        yield texts(
            "Triggers, mailings, filters and integrations that use the id {id} stop working. "
            "What an undo brings back has another id.",
            id=deletions[0].before.id,
        )
    else:
        yield from _of_many(deletions, texts)
        yield texts(
            "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
            "What an undo brings back has another id."
        )


def segment_count(segment: Segment, texts: Texts) -> str:
    """How many customers a segment has."""
    return texts("unknown") if segment.customers_count is None else str(segment.customers_count)


def _of_one(step: Delete, texts: Texts) -> Iterator[str]:
    match step.before:
        case Segment(customers_count=0):
            yield texts("The conditions of the segment cannot be restored.")
        case Segment() as segment:
            yield texts(
                "Customers in the segment: {count}. They stay in the account, without this segment.",
                count=segment_count(segment, texts),
            )
            if step.reads_members:
                yield texts("An undo puts them back into it. The conditions of the segment cannot be restored.")
            else:
                yield texts("Who they are will not be known: the account has too many customers.")
                yield texts("The members and conditions of the segment cannot be restored.")
        case Status() as status:
            yield texts(
                "The customers of the status will be moved to other statuses by their conditions, within some time; "
                "how many is not known."
            )
            if step.reads_members:
                yield texts("An undo puts them back.")
            else:
                yield texts("Who they are will not be known: the account has too many customers.")
            if any(status.conditions):
                yield texts("The conditions of the status cannot be set again through the API.")


def _of_many(deletions: Sequence[Delete], texts: Texts) -> Iterator[str]:
    merged = [step for step in deletions if step.merged_into is not None]
    if merged:
        yield texts("What is merged is deleted only once all its customers are where they are moved to.")
    yield from _of_segments([step for step in deletions if isinstance(step.before, Segment)], texts)
    yield from _of_statuses([step for step in deletions if isinstance(step.before, Status)], texts)


def _of_segments(deletions: Sequence[Delete], texts: Texts) -> Iterator[str]:
    leaving: list[Step] = [step for step in deletions if step.merged_into is None]
    unknown = any(getattr(step.before, "customers_count", None) is None for step in leaving if isinstance(step, Delete))
    if (count := customers_affected(leaving)) or unknown:
        if any(isinstance(step, Delete) and step.reads_members for step in leaving):
            yield texts(
                "Customers of the deleted segments: {count}. An undo puts them back, but not the conditions.",
                count=count,
            )
        else:
            yield texts(
                "Customers of the deleted segments: {count}. Their members and conditions cannot be restored.",
                count=count,
            )
    elif deletions:
        yield texts("The conditions of the deleted segments cannot be restored.")
    if unknown:
        yield texts("Of some of these segments the number of customers is unknown.")


def _of_statuses(deletions: Sequence[Delete], texts: Texts) -> Iterator[str]:
    leaving = [step for step in deletions if step.merged_into is None]
    if leaving:
        yield texts(
            "The customers of the deleted statuses will be moved to other statuses by their conditions; "
            "how many is not known."
        )
        if all(step.reads_members for step in leaving):
            yield texts("An undo puts them back.")
    if any(any(getattr(step.before, "conditions", ())) for step in deletions):
        yield texts("The conditions of the deleted statuses cannot be set again through the API.")
