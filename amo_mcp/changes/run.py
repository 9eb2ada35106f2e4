"""A change on its way: recorded, sent, recorded, one batch after the other.

The life of a step is `planned → pending → done | failed | unknown`, and `undone` when a later change took it back. Each
transition is in the journal before anything else happens: a process that dies leaves at most one batch pending, and the
account tells what came of it.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.lowlevel

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Refused, Unavailable
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.delivery import deliver, spans
from amo_mcp.changes.events import ChangeEvent, ChangeEvents
from amo_mcp.changes.execution import Execution, Failed, Stopped
from amo_mcp.changes.journal import Journal, JournalUnusable, Lease
from amo_mcp.changes.positions import Place, can_be_told, position_back
from amo_mcp.changes.records import ChangeStatus, overall_status
from amo_mcp.changes.snapshot import Snapshot, TargetChanged, drift, on_account, read_snapshot, read_targets
from amo_mcp.changes.steps import Create, Delete, Step, Update, moves_status, summary_of
from amo_mcp.changes.stop import Stop
from amo_mcp.language import Message, message
from amo_mcp.text import quote

logger = logging.getLogger(__name__)

MAX_SNAPSHOT_AGE = 2.0
"""Seconds after which the account is read again before the next step is compared with it."""

Report = Callable[[float, float | None, Message], Awaitable[None]]
"""Reports how far a call is: progress, its total where that is known, and a message."""


@dataclass(frozen=True)
class Means:
    """What the changes of one account are carried out with.

    Attributes:
        client: the API, which answers for that account alone (`AmoClient.meaning`).
        report: reports how far a change is; None when nobody listens.
        clock: gives monotonic seconds.
        stop: no step is begun once it is requested.
        zone: where the account's days begin.
    """

    client: AmoClient
    journal: Journal
    events: ChangeEvents
    report: Report | None = None
    clock: Callable[[], float] = time.monotonic
    stop: Stop = field(default_factory=Stop)
    zone: Zone = UNKNOWN

    async def report_step(self, place: int, steps: Sequence[Step]) -> None:
        """Report that the step at `place` is next; with only one step there is nothing to report."""
        if self.report is not None and len(steps) > 1:
            await self.report(place, len(steps), summary_of(steps[place]) if place < len(steps) else message("Done"))


@dataclass
class Run:
    """One change on its way.

    Attributes:
        lease: under which it is carried out.
        steps: every step with what is known of it by now; the batch that is sent first is pending.
        snapshot: the account as it was read last.
        read_at: when reading it began, in monotonic seconds.
    """

    means: Means
    lease: Lease
    steps: list[Step]
    snapshot: Snapshot
    read_at: float

    async def carry_on(self) -> Execution:
        """Send one batch after the other; the first that fails is the last. What came of them is in the journal.

        A cancellation stops between two batches: what was sent is brought to its end and recorded. So does a stop, and
        what was not answered within its seconds stays pending in the record, to be found out by the next process.
        """
        failure: Failed | None = None
        try:
            with self.means.stop.interruptible() as going_on:
                for span in spans(self.steps):
                    await self._batch(span)
                    await anyio.lowlevel.checkpoint()
                    await self.means.report_step(span.stop, self.steps)
            if going_on.cancel_called and any(step.outcome == "planned" for step in self.steps):
                failure = Stopped()
        except (AmoError, TargetChanged, JournalUnusable, Stopped) as error:
            failure = error
        finally:
            status = overall_status(self.steps)
            with anyio.CancelScope(shield=True):
                await self._end(status)
        return Execution(replace(self.lease.record, steps=tuple(self.steps), status=status), failure)

    async def _batch(self, span: range) -> None:
        """Compare, record, send and record the steps that go in one request.

        Raises:
            TargetChanged: somebody changed a target meanwhile.
            JournalUnusable: what came of them, or that they are sent, cannot be recorded.
            AmoError: why they failed, or why the account cannot be read.
            Stopped: they were not answered within the seconds of a stop.
        """
        is_recorded = self.steps[span.start].outcome == "pending"
        pending = None if is_recorded else await self._prepare(span)
        failure: AmoError | TargetChanged | Stopped | None = None
        with anyio.CancelScope(shield=True):
            if pending is not None:
                await self._note(span, pending)
                self.steps[span.start : span.stop] = pending
            batch = self.steps[span.start : span.stop]
            try:
                with self.means.stop.sending() as sending:
                    client = self.means.client.checking(partial(self._check_again, batch))
                    batch = await deliver(client, batch)
                if sending.cancelled_caught:
                    failure = Stopped(sent=True)
            except (Refused, Unavailable, TargetChanged) as error:
                batch, failure = [step.with_outcome("failed") for step in batch], error
            except OutcomeUnknown as error:
                batch, failure = [step.with_outcome("unknown") for step in batch], error
            self.steps[span.start : span.stop] = batch
            try:
                # Recorded before the event is published: who hears of a change can read it in the journal.
                await self._note(span, batch)
            finally:
                if batch[0].outcome != "failed":
                    ids = tuple(step.target_id for step in batch if step.target_id is not None)
                    event = ChangeEvent(batch[0].kind, ids, adds_or_removes=batch[0].action != "update")
                    await self.means.events.publish(event)
        if failure is not None:
            raise failure

    async def _prepare(self, span: range) -> list[Step]:
        """The steps as they are recorded before they are sent, on the account as it is now."""
        batch = self.steps[span.start : span.stop]
        now = self.means.clock()
        if now - self.read_at > MAX_SNAPSHOT_AGE or is_read_before(self.steps, span):
            self.read_at = now
            kinds = sorted({step.kind for step in self.steps[span.start :]})
            self.snapshot = await read_snapshot(self.means.client, kinds)
        if differences := drift(batch, self.snapshot, among=self.steps, zone=self.means.zone):
            raise TargetChanged(differences)
        return as_pending(batch, self.snapshot, self.steps)

    async def _check_again(self, batch: Sequence[Step]) -> None:
        """Compare a batch that is about to be sent again: a deletion always, else once its picture has grown old.

        Raises:
            TargetChanged: somebody changed a target while the server waited.
            AmoError: the account cannot be read.
        """
        if not isinstance(batch[0], Delete) and self.means.clock() - self.read_at <= MAX_SNAPSHOT_AGE:
            return
        snapshot = await read_targets(self.means.client, batch)
        if differences := drift(batch, snapshot, among=self.steps, zone=self.means.zone):
            raise TargetChanged(differences)

    async def _note(self, span: range, steps: Sequence[Step]) -> None:
        await self.means.journal.note(self.lease, dict(zip(span, steps, strict=True)))

    async def _end(self, status: ChangeStatus) -> None:
        try:
            await self.means.journal.note(self.lease, {}, status)
        except JournalUnusable as error:
            # What came of the steps is in the journal, or is why the change stopped; recovery finds the end from them.
            logger.warning("The end of the change %s could not be recorded: %s", self.lease.id, error.reason)
        await self.means.events.publish(ChangeEvent("journal"))


def is_read_before(steps: Sequence[Step], span: range) -> bool:
    """Whether the account is read right before these steps, however young the last reading is.

    Customers may have entered a segment that is to be deleted, and our own changes give the statuses other positions.
    """
    step = steps[span.start]
    others = any(earlier.kind == "status" for earlier in steps[: span.start])
    return span.start > 0 and (isinstance(step, Delete) or (moves_status(step) and others))


def as_pending(batch: Sequence[Step], snapshot: Snapshot, earlier: Sequence[Step] = ()) -> list[Step]:
    """The steps as they are recorded before they are sent: with what is really there now, and with today's positions.

    Raises:
        TargetChanged: where a status is to come back to cannot be told any more.
    """
    created = [step.after.id for step in earlier if isinstance(step, Create) and step.after is not None]
    pending: list[Step] = []
    for step in on_account(batch, snapshot):
        if isinstance(step, Create):
            hidden = (one for one in snapshot.unreadable.get(step.kind, ()) if one is not None)
            existing = tuple({*snapshot.ids(step.kind), *hidden, *created})
            pending.append(replace(step, existing_ids=existing, outcome="pending"))
        elif isinstance(step, Update) and step.place is not None:
            pending.append(_placed(step, snapshot, step.place).with_outcome("pending"))
        else:
            pending.append(step.with_outcome("pending"))
    return pending


def _placed(step: Update, snapshot: Snapshot, place: Place) -> Update:
    """The step with the position that leads to its place among the statuses as they are."""
    if not can_be_told(snapshot.places, place):
        raise TargetChanged(reason=f"What stood around the status {quote(step.name)} was moved or deleted since.")
    position = position_back(snapshot.places, step.before.id, place, getattr(step.patch, "sort", None) or 0)
    return replace(step, patch=step.patch.model_copy(update={"sort": position}))
