"""The journal: every change is recorded, with entities whole as they were, before anything is sent.

Undo stands on it, and so does "nothing is lost". It belongs to an account, by its id, and is shared by every process
that serves the account. `amo_mcp.storage` has the backends.

A change is begun (`begin`: durable before the first request leaves), noted as its steps are sent and answered (`note`),
and ends with a status. A process that dies leaves its changes unfinished; whoever looks next finds them (`unsettled`),
reads the account, and records what came of them (`settle`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.leases import NOBODY, Asked, Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord, ChangeStatus
from amo_mcp.changes.steps import Outcome, Step

StepKey = tuple[str, int]
"""A step in the journal: the id of its change, and its position."""

AT_REST = 60.0
"""Seconds after which a request that was broken off is surely not being worked on any more (assumed)."""


@dataclass(eq=False)
class JournalUnusable(Exception):
    """The journal cannot be read or written, and without it nothing is changed.

    Attributes:
        reason: what is wrong with it, in the system's words.
        begun: whether it was usable when a change was begun, of which something may have been sent.
    """

    reason: str
    begun: bool = field(default=False, kw_only=True)


class StorageUnavailable(JournalUnusable):
    """What keeps the journal, or anything else, cannot be reached for now, and comes back by itself.

    What was being written then is not there, unless its end was being told at that very moment.
    """


class UndoneMeanwhile(Exception):
    """What was to be undone is undone already, or is being undone at this moment."""


@dataclass(frozen=True)
class Unsettled:
    """A change that was left unfinished.

    Attributes:
        record: the change; what is to be found out are its pending steps.
        at_rest: whether whatever it sent has arrived, or never will: `AT_REST` seconds have passed, by both clocks.
    """

    record: ChangeRecord
    at_rest: bool


class Instant(NamedTuple):
    """A moment, by two clocks.

    Attributes:
        at: Unix seconds, of a clock that can be set.
        uptime: seconds since the machine was started, of a clock that cannot, and that all processes share.
    """

    at: float
    uptime: float


def is_at_rest(noted: Instant, now: Instant) -> bool:
    """Whether a change of which something was last recorded at `noted` is at rest.

    The clock that can be set may have jumped, and a moment that is far in its future is as good as long ago. By the
    other one at least as much has passed as it shows more now; when it shows less, the machine was started since, and
    at least as much as it shows.
    """
    passed = now.uptime - noted.uptime if noted.uptime <= now.uptime else now.uptime
    return min(passed, abs(now.at - noted.at)) > AT_REST


@dataclass(frozen=True)
class Retention:
    """How long changes are kept. What is recent is told by the journal's order: a clock alone drops nothing.

    Attributes:
        max_changes: no more changes than these are kept, counted from the newest.
        max_age: seconds; an older change goes, unless it is one of the newest.
        newest: how many of the newest changes are kept whatever their age.
        at_once: how many changes go at most when one is begun, so that forgetting never delays a change.
    """

    max_changes: int = 10_000
    max_age: float = 400 * 86_400.0
    newest: int = 1_000
    at_once: int = 10

    def is_over(self, number: int, at: float, *, last: int, now: float) -> bool:
        """Whether the change `number`, begun at `at`, is to go when the newest has the number `last`."""
        return number <= last - self.max_changes or (number <= last - self.newest and at < now - self.max_age)


class Journal(Protocol):
    """The journal of one account.

    Every method can raise `JournalUnusable`, and, where a backend has to ask for the account's id, what asking raises.
    Each write is atomic: it is recorded whole, or not at all. A write that was begun is finished, and a cancellation
    comes after it. Writes of several processes come one after the other, and each sees what the one before it left.
    """

    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Lease:
        """Record a change that is about to be made; it is durable when this returns, so that its steps may be sent.

        The plan is used up atomically with the record: of several processes that apply one plan at once, one begins.
        So it is with an undo: while one undo of a change is running, no other begins.
        The oldest changes are forgotten here, a few at a time (`Retention`).

        Args:
            tool: the tool that does it.
            change: what was agreed to; the steps that are sent first are pending.
            asked: who asked for it; kept where several people share the journal.

        Raises:
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: a step that is to be taken back cannot be taken back any more.
        """
        ...

    async def note(
        self,
        lease: Lease,
        steps: Mapping[int, Step],
        status: ChangeStatus | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record what is known now of some steps, by position; durable when this returns. With a status it has ended.

        The plan of a change that failed and of which no step is done can be applied again, atomically with this.

        Args:
            lease: under which the change is carried out.
            steps: what is known.
            status: what it ended with.
            reason: why it stopped before its end (`changes.reasons`); kept where processes share the journal.

        Returns:
            Whether somebody asked for it to stop.

        Raises:
            JournalUnusable: as everywhere, here with `begun`; also when the change is not in the journal any more, or
                is not as this journal left it, as when an old copy has taken the file's place.
            LeaseLost: another process has taken the change over.
        """
        ...

    async def settle(self, change_id: str, found: Mapping[int, Step]) -> None:
        """Record what was found out of the pending steps of an unfinished change, by position.

        Steps that are not pending any more are left alone: of several processes that find out, the first is heard.
        A change of which nothing was found is not running any more, but interrupted.
        """
        ...

    async def changes(self, limit: int, before: int | None = None) -> list[tuple[int, ChangeRecord]]:
        """The newest changes first, at most `limit`, each with its place in the journal.

        The place is the cursor of a page: the next page is what comes `before` the place of the last one. A change
        keeps its place; new ones are above it.
        """
        changes, _ = await self.page(limit, before)
        return changes

    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, ChangeRecord]], int]:
        """`changes`, and how many changes were forgotten while they could still have been undone."""
        ...

    async def moves(self, newest: int) -> Mapping[StepKey, Outcome]:
        """The moves of customers between segments in the `newest` changes, the older first, and how far they are."""
        ...

    async def steps(self, keys: Iterable[StepKey]) -> Mapping[StepKey, Step]:
        """These steps as they stand, in this order, without those that are not there any more."""
        ...

    def kept_until(self, record: ChangeRecord) -> float:
        """Until when a change is kept at least, in Unix seconds, unless it comes to be too many changes ago."""
        ...

    async def change(self, change_id: str) -> ChangeRecord | None:
        """One change, as it stands after whatever undid it; None when the journal has no such change."""
        ...

    async def unsettled(self) -> list[Unsettled]:
        """Changes that nobody works on any more, and that still have to be found out about.

        Their process is gone, or it is this one, and its own recording failed; or they have pending steps left.
        """
        ...

    async def recreated_ids(self) -> RecreatedIds:
        """Under which ids entities came back that had been deleted."""
        ...

    async def close(self) -> None:
        """Let go of whatever is open; nothing that was recorded is lost. It may be called more than once."""
        ...
