"""What became of a change since it was made: an undo takes its steps back, and the undo's own undo brings them again.

A record says what happened when; nothing in it is rewritten by what happens later. What holds now is derived.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from amo_mcp.changes.steps import ChangeStatus, Entity, Kind, Outcome, Step

_AGAIN: Mapping[Outcome, Outcome] = {"done": "undone", "undone": "done"}


@dataclass(frozen=True)
class Recorded:
    """A change as it was recorded.

    Attributes:
        number: its place in the journal.
        at: when it was begun, in Unix seconds.
        noted: when something was last found out about it.
        undos: the changes that took it back, oldest first.
    """

    number: int
    at: float
    noted: float
    status: ChangeStatus
    steps: tuple[Step, ...]
    undos: tuple["Recorded", ...] = ()


class RecreatedIds:
    """Which thing stands for another that was deleted and made again under a new id.

    Args:
        made_again: of each thing that was made again, oldest first: the number of the change that did it, the kind, the
            id of what had been deleted, and the new id.
    """

    def __init__(self, made_again: Iterable[tuple[int, Kind, int, int]] = ()) -> None:
        self._first: dict[tuple[Kind, int], int] = {}
        self._latest: dict[tuple[Kind, int], tuple[int, int]] = {}
        for number, kind, old, new in made_again:
            first = self._first.get((kind, old), old)
            self._first[kind, new] = first
            self._latest[kind, first] = number, new

    def of(self, kind: Kind, thing_id: int) -> int:
        """The id under which the thing is to be found now, if anywhere."""
        return self._found(kind, thing_id)[1]

    def came_back(self, kind: Kind, thing_id: int, number: int) -> bool:
        """Whether the thing was made again by a change after that `number`."""
        return self._found(kind, thing_id)[0] > number

    def _found(self, kind: Kind, thing_id: int) -> tuple[int, int]:
        return self._latest.get((kind, self._first.get((kind, thing_id), thing_id)), (0, thing_id))


@dataclass(frozen=True)
class _Event:
    """What a later change made of a step; an idle one sent nothing, as there was nothing to take away."""

    number: int
    position: int
    became: Outcome
    after: Entity | None = None
    idle: bool = False


def steps_now(change: Recorded, successors: RecreatedIds) -> list[Step]:
    """The steps of a change with what became of them; the latest that happened to a step counts."""
    steps = [*change.steps]
    for event in sorted(_events(change), key=lambda event: event.number):
        step = steps[event.position]
        if not (event.idle and (step.outcome not in _AGAIN or _is_back(step, event.number, successors))):
            steps[event.position] = step.came(event.became, event.after)
    return steps


def _is_back(step: Step, number: int, successors: RecreatedIds) -> bool:
    """Whether what was gone when there was nothing to take away has come back since."""
    return step.after is not None and successors.came_back(step.kind, step.after.id, number)


def _events(change: Recorded) -> Iterator[_Event]:
    for undo in change.undos:
        for step in undo.steps:
            if step.undoes is not None and step.outcome == "done":
                yield _Event(undo.number, step.undoes, "undone", step.after)
            elif step.undoes is not None and step.action == "create" and step.outcome in ("intent", "unknown"):
                # It may have been made again: a second undo would double it.
                yield _Event(undo.number, step.undoes, "unknown")
        for event in _events(undo):
            position = undo.steps[event.position].undoes
            if position is not None:
                became = _AGAIN.get(event.became, event.became)
                yield _Event(event.number, position, became, event.after, event.idle)
        yield from _idle(change, undo)


def _idle(change: Recorded, undo: Recorded) -> Iterator[_Event]:
    """What an undo had nothing to do for, if it is done: not for what was found out only after it had begun."""
    if undo.status == "done" and change.noted <= undo.at:
        covered = {step.undoes for step in undo.steps}
        for position, step in enumerate(change.steps):
            if step.outcome == "done" and position not in covered:
                yield _Event(undo.number, position, "undone", idle=True)
