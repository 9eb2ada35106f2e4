"""What came of a change, and why it stopped where it did not come to its end."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.leases import LeaseLost
from amo_mcp.changes.members import Fate
from amo_mcp.changes.parts import parts_of
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import Create, Kind, Move, Step, Update
from amo_mcp.changes.titles import summary_of, title_of_entity
from amo_mcp.text import counted

_EntityT = TypeVar("_EntityT", Segment, Status)


@dataclass(eq=False)
class LimitReached(Exception):
    """The account has no room for what was to be created; nothing was sent.

    Attributes:
        count: how many there are.
        wanted: how many were to be created.
    """

    kind: Kind
    count: int
    wanted: int


@dataclass(eq=False)
class Stopped(Exception):
    """The server ended while a change was under way, or somebody asked for the change to stop.

    Attributes:
        sent: whether a step was being sent and was not answered in time, so that it may have been made.
        asked: whether somebody asked for it.
    """

    sent: bool = False
    asked: bool = False


class CreatedTwice(Exception):
    """A process that had lost the change created something again, or may have; the steps name every id."""


@dataclass(eq=False)
class NobodyMoved(Exception):
    """The API has answered that customers were moved, and everybody of a batch is where they were.

    Attributes:
        takes_in: whether they were put into what they were to be in, and only not taken out of what they were in.
        only_out: whether they were only to be taken out of something.
    """

    takes_in: bool
    only_out: bool = False


def nobody_moved(step: Step) -> NobodyMoved | None:
    """Whether a step that was answered has moved nobody of those that it was sent for."""
    if not isinstance(step, Move):
        return None
    fates = [step.fates[member.id] for member in step.sent]
    tried = {fate for fate in fates if fate in ("moved", "elsewhere", "ignored", "stays")}
    if not tried or {"moved", "elsewhere"} & tried:
        return None
    return NobodyMoved(takes_in="stays" in tried, only_out=not step.into)


Failed = AmoError | TargetChanged | JournalUnusable | LeaseLost | Stopped | CreatedTwice | NobodyMoved
"""Why a change stops before its end."""


@dataclass(frozen=True)
class Execution:
    """What came of a change; `failure` is why it stopped before its end, if it did."""

    record: ChangeRecord
    failure: Failed | None = None

    @property
    def done(self) -> list[Step]:
        """The steps that were made."""
        return [step for step in self.record.steps if step.outcome == "done"]

    @property
    def not_done(self) -> list[Step]:
        """The others: not sent, surely not made, or undeterminable, as the outcome of each says."""
        return [step for step in self.record.steps if step.outcome != "done"]

    @property
    def differences(self) -> list[str]:
        """Where a status does not stand, and customers are not, where a step was to put them, a sentence each."""
        misplaced = [_misplaced(step) for step in self.done if isinstance(step, Create | Update) and step.misplaced]
        moves = [step for step in parts_of(self.record.steps) if isinstance(step, Move) and step.found is not None]
        return [*misplaced, *(sentence for step in moves for sentence in _not_there(step))]

    def created(self, model: type[_EntityT]) -> list[_EntityT]:
        """The segments or the statuses that were created."""
        return [step.after for step in self.done if isinstance(step, Create) and isinstance(step.after, model)]


def _misplaced(step: Create | Update) -> str:
    wanted = step.patch.to_payload().get("sort") if isinstance(step, Update) else None
    if step.place is not None or not isinstance(step.after, Status):
        return f"{title_of_entity(step)}: the position may be another one."
    return f"{title_of_entity(step)}: position was to become {wanted} and is {step.after.sort}."


_NOT_THERE: Mapping[Fate, tuple[str, str]] = {
    "gone": ("is no longer in the account", "are no longer in the account"),
    "hidden": ("could not be moved, since amoCRM does not tell where it is",) * 2,
    "refused": ("was refused by amoCRM", "were refused by amoCRM"),
    "ignored": (
        "is where it was, although amoCRM answered that it was moved",
        "are where they were, although amoCRM answered that they were moved",
    ),
    "stays": ("is still in what it was to leave", "are still in what they were to leave"),
    "elsewhere": (
        "was moved on, by a rule of the account or by somebody",
        "were moved on, by rules of the account or by somebody",
    ),
}
"""What is said of one customer, and of more than one, of whom this came (`members.Fate`)."""


def _not_there(step: Move) -> Iterator[str]:
    """Who is not where a move was to put them, by number."""
    for fate, count in Counter(step.fates.values()).items():
        if fate in _NOT_THERE and nobody_moved(step) is None:
            yield f"{summary_of(step)}: {counted(count, 'customer')} {_NOT_THERE[fate][count > 1]}."


class PartlyDone(Exception):
    """A change stopped, and something of it was made or may have been; `execution` has what, and why it stopped."""

    def __init__(self, execution: Execution, failure: Failed) -> None:
        super().__init__(str(failure))
        self.execution = execution
        self.failure = failure
