"""What a change has read of the account, and for how long it relies on that."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.means import Means
from amo_mcp.changes.members import NOBODY, Crowd
from amo_mcp.changes.membership import needs_crowd, read_crowd, with_members_to_lose
from amo_mcp.changes.ready import MAX_SNAPSHOT_AGE, is_read_before
from amo_mcp.changes.snapshot import Snapshot, read_snapshot
from amo_mcp.changes.steps import Entity, Move, Step

MAX_CROWD_AGE = 8.0
"""Seconds after which the customers are looked through again before the next segment is deleted."""

MAX_LOOKS = 3
"""How often the customers are looked through for one deletion, where its segment's count changes meanwhile."""

Counts = Mapping[int, int | None]
ReadAccount = Callable[[], Awaitable[Snapshot]]


@dataclass
class Readings:
    """What a change read last.

    All customers are looked through before a segment is deleted, again where its count has changed meanwhile. The next
    deletions use the same look while it is young and the change moves nobody, where the count of their segment was what
    was found before it and after it, and still is right before the deletion. Assumed: amoCRM counts whoever enters or
    leaves a segment at once.

    Attributes:
        snapshot: the account.
        read_at: when reading it began, in monotonic seconds.
        counts: how many customers each segment had then, by its id; before that, as a person was shown it. Nothing once
            the change has moved customers.
        crowd: the customers.
        looked_at: when looking through them began, in monotonic seconds.
        steady: the counts that were the same before and after.
    """

    means: Means
    snapshot: Snapshot = field(default_factory=lambda: Snapshot({}))
    read_at: float = -math.inf
    counts: Counts = field(default_factory=dict)
    crowd: Crowd = NOBODY
    looked_at: float = -math.inf
    steady: Counts = field(default_factory=dict)

    async def refresh(self, steps: Sequence[Step], span: range) -> list[Step]:
        """Read again what is too old for the steps that are sent next; it returns and raises what `read` does."""
        step, batch = steps[span.start], steps[span.start : span.stop]
        kinds = sorted({step.kind for step in steps[span.start :]})
        reading = partial(read_snapshot, self.means.client, kinds)
        prepared = await self.read(batch, reading, is_due=is_read_before(steps, span))
        if isinstance(step, Move) and step.customers:
            # It may let in as many as it takes out, and the counts would not show it.
            self.looked_at, self.counts = -math.inf, {}
        return prepared

    async def read(self, batch: Sequence[Step], account: ReadAccount, *, is_due: bool = True) -> list[Step]:
        """The steps of a batch, deletions with the customers in what they delete; and then the account.

        Args:
            batch: what is sent next.
            account: reads the account as far as the steps need it.
            is_due: whether it is read however young the last reading is.

        Raises:
            TargetChanged: the customers cannot be told, or some are not where they were to be.
            AmoError: something cannot be read.
        """
        if needs_crowd(batch[0]):
            return await self._read_crowd(batch, batch[0].before.id, account)
        prepared = await with_members_to_lose(self.means.client, batch, NOBODY)
        if is_due or self.means.clock() - self.read_at > MAX_SNAPSHOT_AGE:
            await self._read_account(account)
        return prepared

    async def _read_crowd(self, batch: Sequence[Step], segment_id: int, account: ReadAccount) -> list[Step]:
        if self._is_young() or segment_id not in self.counts:
            await self._read_account(account)
            if self._is_young() and self._is_counted(segment_id):
                return await with_members_to_lose(self.means.client, batch, self.crowd)
        for _ in range(MAX_LOOKS):
            before, self.looked_at = self.counts, self.means.clock()
            self.crowd = await read_crowd(self.means.client)
            prepared = await with_members_to_lose(self.means.client, batch, self.crowd)
            await self._read_account(account)
            self.steady = dict(before.items() & self.counts.items())
            if segment_id in self.steady or segment_id not in self.counts:
                break
        return prepared

    async def _read_account(self, account: ReadAccount) -> None:
        self.read_at = self.means.clock()
        self.snapshot = await account()
        self.counts = counts_of(self.snapshot.entities.get("segment", {}).values())

    def _is_young(self) -> bool:
        return self.means.clock() - self.looked_at <= MAX_CROWD_AGE

    def _is_counted(self, segment_id: int) -> bool:
        """Whether as many were in the segment before the look and after it, and are now, as were found in it."""
        found = self.crowd.count(segment_id, is_status=False)
        return self.steady.get(segment_id) == self.counts.get(segment_id) == found


def counts_of(entities: Iterable[Entity]) -> Counts:
    """How many customers the account counts in each segment, by its id."""
    return {one.id: one.customers_count for one in entities if isinstance(one, Segment)}
