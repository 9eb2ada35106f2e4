"""What the person sees. It is made from the account as it is, never from the model's words, and in their language.

Names come from the CRM and may be hostile: they are quoted, stripped of invisible characters, and shortened.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Create, Delete, Move, Step, Update, customers_affected
from amo_mcp.changes.titles import title_of
from amo_mcp.confirmation.diff import Setting, color_of_deleted, headline, settings_of
from amo_mcp.confirmation.losses import losses, segment_count
from amo_mcp.confirmation.whom import settings_of_move
from amo_mcp.language import Texts
from amo_mcp.text import quote, sanitize

MAX_SHOWN_STEPS = 25
"""Steps that are shown where there is little room: of a longer plan those with the most customers first, of a longer
undo the first ones."""

MAX_SHOWN_BYTES = 30_000
"""Bytes of the steps that are shown there; the first one is, however long it is."""

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

    @property
    def lines(self) -> list[str]:
        """The step in words."""
        return [f"{self.number}. {self.headline}", *(f"– {setting.line}" for setting in self.settings)]


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
            lines += step.lines
        return "\n".join([*lines, self.more] if self.more else lines)


def question_of(change: PendingChange, reader: Reader, *, max_steps: int | None = MAX_SHOWN_STEPS) -> Question:
    """The question about a change, with as many of its steps as are to be shown; with None all of them."""
    texts = reader.texts
    sentences = (line[:1].upper() + line[1:] for line in losses(change, texts, max_steps))
    lost, facts = (tuple(sanitize(line, _MAX_LINE) for line in lines) for lines in (sentences, _facts(change, reader)))
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
    return Question(title, texts("{title}?", title=title), verb, refusal, lost, facts, settings, steps, more)


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


def _facts(change: PendingChange, reader: Reader) -> Iterator[str]:
    """What the change is about, and in which account."""
    texts = reader.texts
    if change.plan_id is not None:
        counts = Counter(step.action for step in change.steps)
        parts = (
            (counts["move"], texts("{count} to move", count=counts["move"])),
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
            count = segment_count(segment, texts)
            yield texts(
                "Segment id {id}, customers: {count}, filled fields: {filled}.",
                id=segment.id,
                count=count,
                filled=filled,
            )
        case Delete(before=Status() as status):
            yield texts("Status id {id}, position {sort}.", id=status.id, sort=status.sort)
        case Update(before=Segment() as segment):
            yield texts("Segment id {id}, customers: {count}.", id=segment.id, count=segment_count(segment, texts))
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
    if max_steps is not None:
        sizes = accumulate(len("\n".join(step.lines).encode()) + 1 for step in shown)
        shown = shown[: max(1, sum(size <= MAX_SHOWN_BYTES for size in sizes))]
    left_out = len(numbered) - len(shown)
    return shown, reader.texts("and {count} more, {rest}", count=left_out, rest=rest) if left_out else ""


def shown_step(number: int, step: Step, change: PendingChange, reader: Reader) -> ShownStep:
    """A step of `change`, with its place in it."""
    settings = tuple(settings_of(step, change.fields, reader))
    return ShownStep(number, step.action, headline(step, reader.texts), settings)
