"""What the page of a team's question says of it once it does not wait any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amo_mcp.changes.parts import made
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.confirmation.outcomes import outcome_words
from amo_mcp.confirmation.waiting import Stage
from amo_mcp.language import Texts
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.people import Person
from amo_mcp.text import quote


@dataclass(frozen=True)
class Where:
    """Where a question is.

    Attributes:
        done: steps that were made, of a `total` of its change.
    """

    stage: Stage | Literal["running"]
    done: int = 0
    total: int = 0


def where(question: Question, record: ChangeRecord | None, now: float) -> Where:
    """Where a question is at a moment; `record` is its change, where one was begun."""
    if record is None:
        return Where(question.stage(now))
    outcomes: Sequence[str] = [step.outcome for step in record.steps]
    done, total = made(record.steps)
    if record.status == "running":
        return Where("running", done, total)
    if {"unknown", "pending"} & {*outcomes}:
        return Where("unknown", done, total)
    if done == total:
        return Where("done", done, total)
    return Where("stopped" if {"done", "undone"} & {*outcomes} else "failed", done, total)


def words_of(question: Question, found: Where, viewer: Person, texts: Texts) -> tuple[str, str]:
    """A heading, and what is to be said below it, to somebody."""
    by = question.answered_by
    name = "" if by is None else quote(by.name)
    is_own, is_asker = by is not None and by.id == viewer.id, question.asker.id == viewer.id
    match found.stage:
        case "running":
            return texts("It is being carried out."), texts(
                "Steps that were made: {done} of {total}. This page reloads by itself.",
                done=found.done,
                total=found.total,
            )
        case "agreed":
            heading = texts("Your yes is recorded.") if is_own else texts("{name} has said yes.", name=name)
            if is_asker:
                return heading, outcome_words("agreed", texts)[1]
            return heading, texts(
                "Now the assistant of {name} has to go on. This page reloads by itself and will say what was done.",
                name=quote(question.asker.name),
            )
        case "refused" if not is_own:
            return texts("{name} has said no.", name=name), texts("Nothing was changed.")
        case "uncollected" if not is_own:
            return texts("Too late."), texts("The assistant did not go on in time. Nothing was changed.")
        case stage:
            return outcome_words(stage, texts, found.done, found.total)
