"""What the person sees. It is made from the account as it is, never from the model's words.

Names come from the CRM and may be hostile: they are quoted, stripped of invisible characters, and shortened.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Delete, Entity, Step, Update, customers_affected, title_of
from amo_mcp.confirmation.diff import headline, setting_lines
from amo_mcp.text import counted, quote_unless_code, sanitize

MAX_SHOWN_STEPS = 25
"""Steps that are shown: of a longer plan those with the most customers first, of a longer undo the first ones."""

_MAX_LINE = 600


@dataclass(frozen=True)
class Question:
    """One question to a person.

    Attributes:
        title: what will happen, as a button would say it: "Delete segment «VIP»".
        lines: what it means, a line each; every line is one line, of visible characters.
    """

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole question."""
        return "\n".join((f"{self.title}?", *self.lines))


def question_of(change: PendingChange) -> Question:
    """The question about a change."""
    lines: Iterable[str]
    if change.plan_id is not None:
        title = f"Apply a plan of {counted(len(change.steps), 'change')}"
        lines = _plan_lines(change)
    elif change.undoes is not None:
        title = f"Undo {change.undone_tool} of {datetime.fromtimestamp(change.undone_at, UTC):%Y-%m-%d %H:%M} UTC"
        lines = _undo_lines(change)
    else:
        [step] = change.steps
        title = title_of(step)
        lines = [*_about(step), *setting_lines(step, change.fields)]
    return Question(sanitize(title, _MAX_LINE), tuple(sanitize(line, _MAX_LINE) for line in lines))


def _about(step: Step) -> Iterator[str]:
    """The entity of a single change: its id, and what a deletion takes with it."""
    match step:
        case Delete(before=Segment() as segment):
            filled = len([field for field in segment.custom_fields_values if field["values"]])
            yield f"Segment id {segment.id}, colour {_color(segment)}, filled fields: {filled}."
            yield f"Customers in it: {_count(segment)}. They stay in the account, without this segment."
            yield "Its members and its conditions cannot be restored."
        case Delete(before=Status() as status):
            yield f"Status id {status.id}, position {status.sort}, colour {_color(status)}."
            yield "Its customers will be moved to other statuses by their conditions, within some time."
            if any(status.conditions):
                yield "Its conditions cannot be set again through the API."
        case Update(before=Segment() as segment):
            yield f"Segment id {segment.id}, customers: {_count(segment)}."
        case Update():
            yield f"Status id {step.before.id}."


def _plan_lines(change: PendingChange) -> Iterator[str]:
    """Counts, then every step with what it sets; of a long plan the steps with the most customers first."""
    counts = Counter(step.action for step in change.steps)
    summary = ", ".join(f"{counts[verb]} to {verb}" for verb in ("delete", "update", "create") if counts[verb])
    yield f"{summary}. Customers of the deleted segments: {customers_affected(change.steps)}."
    numbered = list(enumerate(change.steps, 1))
    if len(numbered) > MAX_SHOWN_STEPS:
        numbered.sort(key=lambda item: (item[1].action != "delete", -customers_affected([item[1]])))
    yield from _step_lines(change, numbered, "none with more customers affected")


def _undo_lines(change: PendingChange) -> Iterator[str]:
    yield from _step_lines(change, list(enumerate(change.steps, 1)), "in this order")
    yield from change.not_restored[:MAX_SHOWN_STEPS]
    if (more := len(change.not_restored) - MAX_SHOWN_STEPS) > 0:
        yield f"and {more} more that cannot be restored"


def _step_lines(change: PendingChange, numbered: Sequence[tuple[int, Step]], rest: str) -> Iterator[str]:
    for number, step in numbered[:MAX_SHOWN_STEPS]:
        yield f"{number}. {headline(step)}"
        yield from (f"– {line}" for line in setting_lines(step, change.fields))
    if (more := len(numbered) - MAX_SHOWN_STEPS) > 0:
        yield f"and {more} more, {rest}"


def _color(entity: Entity) -> str:
    return quote_unless_code(entity.color) or "none"


def _count(segment: Segment) -> str:
    return "unknown" if segment.customers_count is None else str(segment.customers_count)
