"""The steps of a change as a person counts them: the batches of one move are one step."""

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from amo_mcp.changes.steps import Move, Step


def in_parts(steps: Sequence[Step], *, by_outcome: bool = True) -> Iterator[tuple[int, Step]]:
    """The parts, each with the position of its first step: batches that follow each other are one again.

    Args:
        steps: the steps as they are sent.
        by_outcome: whether batches of which not the same came are parts of their own.
    """
    part: tuple[int, Step] | None = None
    for position, step in enumerate(steps):
        if part is not None and (whole := _joined(part[1], step, by_outcome=by_outcome)) is not None:
            part = part[0], whole
            continue
        if part is not None:
            yield part
        part = position, step
    if part is not None:
        yield part


def _joined(one: Step, other: Step, *, by_outcome: bool) -> Step | None:
    """Two batches of one move as one; None where they are not."""
    if not (isinstance(one, Move) and isinstance(other, Move)):
        return None
    if (one.placement, one.undoes, one.source) != (other.placement, other.undoes, other.source):
        return None
    if by_outcome and one.outcome != other.outcome:
        return None
    return replace(
        one,
        customers=one.customers + other.customers,
        found=None if one.found is None or other.found is None else one.found + other.found,
        refused=one.refused + other.refused,
        missed=one.missed + other.missed,
    )


def parts_of(steps: Sequence[Step], *, by_outcome: bool = True) -> list[Step]:
    """The parts alone (see `in_parts`)."""
    return [part for _, part in in_parts(steps, by_outcome=by_outcome)]


def progress(steps: Sequence[Step], done: int) -> tuple[float, int, Step | None]:
    """How far a change is of which so many steps are done: in parts, of how many, and at which; None at its end.

    A change that is one move is counted in its batches.
    """
    parts = [*in_parts(steps, by_outcome=False)]
    if done >= len(steps):
        return len(_units(steps)), len(_units(steps)), None
    starts = [*(position for position, _ in parts), len(steps)]
    at = bisect(starts, done) - 1
    within = (done - starts[at]) / (starts[at + 1] - starts[at])
    return done if len(parts) == 1 else round(at + within, 2), len(_units(steps)), parts[at][1]


def made(steps: Sequence[Step]) -> tuple[int, int]:
    """How much of a change is made, of how much; counted as `progress` counts it."""
    units = _units(steps)
    return sum({step.outcome for step in unit} <= {"done", "undone"} for unit in units), len(units)


def _units(steps: Sequence[Step]) -> list[Sequence[Step]]:
    starts = [position for position, _ in in_parts(steps, by_outcome=False)]
    if len(starts) == 1:
        starts = [*range(len(steps))]
    return [steps[start:end] for start, end in pairwise([*starts, len(steps)])]
