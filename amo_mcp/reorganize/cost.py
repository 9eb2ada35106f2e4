"""How many requests a plan takes, and how long they take at an account's pace."""

from collections.abc import Sequence
from dataclasses import dataclass

from amo_mcp.amocrm.ratelimit import REUSE_AFTER
from amo_mcp.changes.delivery import spans
from amo_mcp.changes.ready import MAX_SNAPSHOT_AGE, is_read_before
from amo_mcp.changes.steps import Create, Step, field_ids


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


def cost_of(steps: Sequence[Step], pace: Pace) -> tuple[int, float]:
    """How many requests carrying the steps out takes, with those for the question, and how many seconds they take.

    The account is read for the question, before the first write, before every later deletion and move, and whenever
    what was read has grown too old; the definitions of custom fields are read for the question and before the first
    write, where the steps set any; statuses that were created are read back.
    """
    asking = len({step.kind for step in steps}) + bool(field_ids(steps))
    sent, read_at = asking, 0.0
    for span in spans(steps):
        step, now = steps[span.start], pace.seconds(sent)
        if is_read_before(steps, span) or now - read_at > MAX_SNAPSHOT_AGE:
            sent, read_at = sent + len({step.kind for step in steps[span.start :]}), now
        sent += 2 if isinstance(step, Create) and step.kind == "status" else 1
    return asking + sent, pace.seconds(asking) + pace.seconds(sent)
