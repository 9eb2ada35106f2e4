"""What the person sees. It is made from the account as it is, never from the model's words, and in their language.

Names come from the CRM and may be hostile: they are quoted, stripped of invisible characters, and shortened.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Create, Delete, Move, Step, Update, customers_affected, kind_of
from amo_mcp.changes.titles import title_of
from amo_mcp.confirmation.diff import Setting, color_of_deleted, headline, settings_of
from amo_mcp.confirmation.whom import settings_of_move
from amo_mcp.language import Texts
from amo_mcp.text import quote, sanitize

MAX_SHOWN_STEPS = 25
"""Steps that are shown where there is little room: of a longer plan those with the most customers first, of a longer
undo the first ones."""

_MAX_LINE = 600


@dataclass(frozen=True)
class ShownStep:
    """One step of a plan or an undo.

    Attributes:
        number: its place, from 1.
        action: `create`, `update` or `delete`.
        headline: what it does to what.
        settings: what it sets.
    """

    number: int
    action: str
    headline: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Question:
    """One question to a person; every text is one line of visible characters, in their language.

    Attributes:
        title: what will happen: "Delete segment «VIP»".
        asked: the title as a question.
        verb: what a button says that agrees: "Delete".
        refusal: what a button says that does not: "Do not delete".
        losses: what is lost or stops, a sentence each.
        facts: what else there is to know, a sentence each; the account's name is among them.
        settings: what a single change sets; of a deletion the colour that goes with it.
        steps: what a plan or an undo does, as far as it is shown.
        more: how many more steps there are; empty when all are shown.
    """

    title: str
    asked: str
    verb: str
    refusal: str
    losses: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    steps: tuple[ShownStep, ...] = ()
    more: str = ""

    @property
    def text(self) -> str:
        """The whole question."""
        lines = [self.asked, *self.losses, *self.facts, *(setting.line for setting in self.settings)]
        for step in self.steps:
            lines += [f"{step.number}. {step.headline}", *(f"– {setting.line}" for setting in step.settings)]
        return "\n".join([*lines, self.more] if self.more else lines)


def question_of(change: PendingChange, reader: Reader, *, max_steps: int | None = MAX_SHOWN_STEPS) -> Question:
    """The question about a change, with as many of its steps as are to be shown; with None all of them."""
    texts = reader.texts
    losses = tuple(line[:1].upper() + line[1:] for line in _losses(change, texts, max_steps))
    losses, facts = (tuple(sanitize(line, _MAX_LINE) for line in lines) for lines in (losses, _facts(change, reader)))
    settings: tuple[Setting, ...] = ()
    steps: tuple[ShownStep, ...] = ()
    more = ""
    if change.plan_id is not None:
        title = texts.plural("Apply a plan of {count} change", "Apply a plan of {count} changes", len(change.steps))
        verb, refusal = texts("Apply"), texts("Do not apply")
        steps, more = _steps(change, reader, texts("none with more customers affected"), max_steps)
    elif change.undoes is not None:
        title = texts("Undo the change of {moment}", moment=reader.zone.words(int(change.undone_at) // 60 * 60))
        verb, refusal = texts("Undo"), texts("Do not undo")
        steps, more = _steps(change, reader, texts("in this order"), max_steps)
    else:
        [step] = change.steps
        title, (verb, refusal) = texts.of(title_of(step)), _verbs(step, texts)
        if isinstance(step, Move):
            settings = tuple(settings_of_move(step, dict(change.names), reader, max_steps))
        else:
            settings = tuple(settings_of(step, change.fields, reader)) or tuple(color_of_deleted(step, reader))
    title = sanitize(title, _MAX_LINE)
    return Question(title, texts("{title}?", title=title), verb, refusal, losses, facts, settings, steps, more)


def _verbs(step: Step, texts: Texts) -> tuple[str, str]:
    match step:
        case Create():
            return texts("Create"), texts("Do not create")
        case Update():
            return texts("Change"), texts("Do not change")
        case Delete():
            return texts("Delete"), texts("Do not delete")
        case Move():
            return texts("Move"), texts("Do not move")


def _losses(change: PendingChange, texts: Texts, max_lines: int | None) -> Iterator[str]:
    """What is lost by a change, or stops: first what an undo cannot restore."""
    for left_out in change.not_restored[:max_lines]:
        yield texts.of(left_out)
    if more := len(change.not_restored[max_lines:] if max_lines else ()):
        yield texts("and {count} more that cannot be restored", count=more)
    if any(isinstance(step, Move) and change.undoes is None for step in change.steps):
        yield texts("Triggers and mailings of what the customers come into, or leave, may start.")
    deleted = [step.before for step in change.steps if isinstance(step, Delete)]
    match deleted:
        case []:
            return
        case [Segment(customers_count=0)] if len(change.steps) == 1:
            yield texts("The conditions of the segment cannot be restored.")
        case [Segment() as segment] if len(change.steps) == 1:
            count = _count(segment, texts)
            yield texts(
                "Customers in the segment: {count}. They stay in the account, without this segment.", count=count
            )
            yield texts("The members and conditions of the segment cannot be restored.")
        case [Status() as status] if len(change.steps) == 1:
            yield texts(
                "The customers of the status will be moved to other statuses by their conditions, within some time; "
                "how many is not known."
            )
            if any(status.conditions):
                yield texts("The conditions of the status cannot be set again through the API.")
        case _:
            yield from _losses_of_many(change.steps, texts)
    if len(change.steps) == 1:
        yield texts(
            "Triggers, mailings, filters and integrations that use the id {id} stop working. "
            "What an undo brings back has another id.",
            id=deleted[0].id,
        )
    else:
        yield texts(
            "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
            "What an undo brings back has another id."
        )


def _losses_of_many(steps: Iterable[Step], texts: Texts) -> Iterator[str]:
    deleted = [step.before for step in steps if isinstance(step, Delete)]
    kinds = {*map(kind_of, deleted)}
    unknown = any(isinstance(gone, Segment) and gone.customers_count is None for gone in deleted)
    if (count := customers_affected(steps)) or unknown:
        yield texts(
            "Customers of the deleted segments: {count}. Their members and conditions cannot be restored.", count=count
        )
    elif "segment" in kinds:
        yield texts("The conditions of the deleted segments cannot be restored.")
    if unknown:
        yield texts("Of some of these segments the number of customers is unknown.")
    if "status" in kinds:
        yield texts(
            "The customers of the deleted statuses will be moved to other statuses by their conditions; "
            "how many is not known."
        )
    if any(isinstance(one, Status) and any(one.conditions) for one in deleted):
        yield texts("The conditions of the deleted statuses cannot be set again through the API.")


def _facts(change: PendingChange, reader: Reader) -> Iterator[str]:
    """What the change is about, and in which account."""
    texts = reader.texts
    if change.plan_id is not None:
        counts = Counter(step.action for step in change.steps)
        parts = (
            (counts["delete"], texts("{count} to delete", count=counts["delete"])),
            (counts["update"], texts("{count} to update", count=counts["update"])),
            (counts["create"], texts("{count} to create", count=counts["create"])),
        )
        yield texts("In all: {counts}.", counts=", ".join(text for count, text in parts if count))
    elif change.undoes is None:
        [step] = change.steps
        yield from _about(step, texts)
    if reader.account:
        yield texts("Account: {name}.", name=quote(reader.account))
    if not reader.zone.is_known and any(definition.type in ("date", "date_time") for definition in change.fields):
        yield texts("The account's time zone is not known: days and times are in UTC.")


def _about(step: Step, texts: Texts) -> Iterator[str]:
    """The entity of a single change."""
    match step:
        case Delete(before=Segment() as segment):
            filled = len([field for field in segment.custom_fields_values if field["values"]])
            count = _count(segment, texts)
            yield texts(
                "Segment id {id}, customers: {count}, filled fields: {filled}.",
                id=segment.id,
                count=count,
                filled=filled,
            )
        case Delete(before=Status() as status):
            yield texts("Status id {id}, position {sort}.", id=status.id, sort=status.sort)
        case Update(before=Segment() as segment):
            yield texts("Segment id {id}, customers: {count}.", id=segment.id, count=_count(segment, texts))
        case Update():
            yield texts("Status id {id}.", id=step.before.id)
        case Move(kind="segment"):
            yield texts("They stay in all their other segments.")


def _steps(
    change: PendingChange, reader: Reader, rest: str, max_steps: int | None
) -> tuple[tuple[ShownStep, ...], str]:
    """The steps that are shown, and how many more there are."""
    numbered = list(enumerate(change.steps, 1))
    if change.plan_id is not None and max_steps is not None and len(numbered) > max_steps:
        numbered.sort(key=lambda item: (item[1].action != "delete", -customers_affected([item[1]])))
    shown = tuple(shown_step(number, step, change, reader) for number, step in numbered[:max_steps])
    left_out = len(numbered) - len(shown)
    return shown, reader.texts("and {count} more, {rest}", count=left_out, rest=rest) if left_out else ""


def shown_step(number: int, step: Step, change: PendingChange, reader: Reader) -> ShownStep:
    """A step of `change`, with its place in it."""
    settings = tuple(settings_of(step, change.fields, reader))
    return ShownStep(number, step.action, headline(step, reader.texts), settings)


def _count(segment: Segment, texts: Texts) -> str:
    return texts("unknown") if segment.customers_count is None else str(segment.customers_count)
