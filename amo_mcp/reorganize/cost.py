"""How many requests a plan takes, and how long they take at an account's pace."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amo_mcp.amocrm.ratelimit import REUSE_AFTER
from amo_mcp.changes.delivery import spans
from amo_mcp.changes.members import NOBODY, Crowd
from amo_mcp.changes.membership import needs_crowd
from amo_mcp.changes.moving import BATCH, batched
from amo_mcp.changes.readings import MAX_CROWD_AGE
from amo_mcp.changes.ready import MAX_SNAPSHOT_AGE, is_read_before
from amo_mcp.changes.steps import Create, Delete, Move, Step, customers_affected, field_ids, moves_status


@dataclass(frozen=True)
class Pace:
    """How fast requests go that are sent one after the other.

    Attributes:
        per_second: how many slots there are; one is free again a second after the answer to its request began.
        round_trip: seconds from the sending of a request to its answer.
    """

    per_second: int
    round_trip: float = 0.0

    def seconds(self, requests: int) -> float:
        """Seconds from the sending of the first request to the answer to the last, when all slots were free."""
        rounds, rest = divmod(requests - 1, self.per_second)
        return (
            rounds * max(REUSE_AFTER + self.round_trip, self.per_second * self.round_trip)
            + (rest + 1) * self.round_trip
        )


def cost_of(steps: Sequence[Step], pace: Pace, crowd: Crowd = NOBODY) -> tuple[int, float]:
    """How many requests carrying the steps out takes, with those for the question, and how many seconds they take.

    The account is read for the question, before the first write, before every later deletion and move, and whenever
    what was read has grown too old; the definitions of custom fields are read for the question and before the first
    write, where the steps set any; statuses that were created or moved are read back. The customers of a merge are
    looked through, and each batch of them is read before and after. The customers of what is deleted are looked
    through; one look may serve several segments (`Readings`).

    Args:
        steps: the steps.
        pace: how fast requests go.
        crowd: the customers, where any are moved, or may be in what is deleted.
    """
    asking = len({step.kind for step in steps}) + bool(field_ids(steps))
    merges = [step for step in steps if isinstance(step, Move)]
    batches = [batch for step in steps for batch in _in_batches(step, crowd)]
    sent, read_at, looked_at, are_counted = asking + crowd.pages * len(merges), 0.0, -math.inf, True
    for span in spans(batches):
        step, reading = batches[span.start], len({step.kind for step in batches[span.start :]})
        if needs_crowd(step) and span.start == 0:
            # Before the reading that is counted already.
            sent, looked_at, read_at = sent + crowd.pages, 0.0, pace.seconds(crowd.pages)
        elif needs_crowd(step):
            if pace.seconds(sent) - looked_at <= MAX_CROWD_AGE or not are_counted:
                sent, read_at, are_counted = sent + reading, pace.seconds(sent), True
            is_young = pace.seconds(sent) - looked_at <= MAX_CROWD_AGE
            if not is_young or crowd.count(step.before.id, is_status=False) != customers_affected([step]):
                looked_at, read_at = pace.seconds(sent), pace.seconds(sent + crowd.pages)
                sent += crowd.pages + reading
        elif is_read_before(batches, span) or pace.seconds(sent) - read_at > MAX_SNAPSHOT_AGE:
            sent, read_at, are_counted = sent + reading, pace.seconds(sent), True
        if isinstance(step, Move):
            looked_at, are_counted = -math.inf, False
        sent += _requests(step, crowd.pages)
    return asking + sent, pace.seconds(asking) + pace.seconds(sent)


def _in_batches(step: Step, crowd: Crowd) -> list[Step]:
    """A step as it is sent."""
    if not isinstance(step, Move) or step.source is None:
        return [step]
    located = crowd.to_move(step.placement, step.source.id)
    return [replace(step, customers=tuple(batch)) for _, batch in batched(located, alone=1, most=BATCH)]


def _requests(step: Step, pages: int) -> int:
    """The requests of a step, without the looks that several deletions share."""
    match step:
        case Move():
            return 3
        case Delete() if needs_crowd(step):
            return 1
        case Delete():
            return 1 + pages * (step.reads_members or step.merged_into is not None)
        case Create(kind="status"):
            return 2
    return 1 + moves_status(step)
