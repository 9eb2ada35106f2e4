"""A change on its way: recorded, sent, recorded, one batch after the other.

The life of a step is `planned → pending → done | failed | unknown`, and `undone` when a later change took it back. Each
transition is in the journal before anything else happens: a process that dies leaves at most one batch pending, and the
account tells what came of it.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import anyio
import anyio.lowlevel

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Refused, Unavailable
from amo_mcp.changes.beside import moves_made, with_others
from amo_mcp.changes.delivery import Beside, Indeterminate, deliver, spans, verify_write
from amo_mcp.changes.events import ChangeEvent, event_of
from amo_mcp.changes.execution import Execution, Failed, NobodyMoved, Stopped, nobody_moved
from amo_mcp.changes.journal import JournalUnusable, StepKey
from amo_mcp.changes.leases import Lease, LeaseLost, RunStore
from amo_mcp.changes.means import Means
from amo_mcp.changes.membership import check_members, check_merged, with_members_to_move
from amo_mcp.changes.readings import Readings
from amo_mcp.changes.ready import as_pending
from amo_mcp.changes.reasons import reason_to_record
from amo_mcp.changes.records import ChangeStatus, overall_status
from amo_mcp.changes.snapshot import TargetChanged, check_definitions, drift, read_all, read_targets
from amo_mcp.changes.steps import Create, Entity, Move, Step

logger = logging.getLogger(__name__)

_MAX_RENEWALS = 3
"""How often it is tried to renew a lease in time for a write."""


@dataclass
class Run:
    """One change on its way.

    Attributes:
        lease: under which it is carried out.
        steps: every step with what is known of it by now; the batch that is sent first is pending.
        readings: what was read last, which the next steps are compared with.
        made: the moves of customers that were done when those of the next batch were read.
        is_to_stop: whether somebody asked for it to stop.
        is_sent: whether anything of the batch that is being sent has left.
    """

    means: Means
    lease: Lease
    steps: list[Step]
    readings: Readings
    made: frozenset[StepKey] = frozenset()
    is_to_stop: bool = False
    is_sent: bool = False

    async def carry_on(self) -> Execution:
        """Send one batch after the other; the first that fails is the last. What came of them is in the journal.

        A cancellation stops between two batches: what was sent is brought to its end and recorded. So does a stop, and
        what was not answered within its seconds stays pending in the record, to be found out by the next process. Where
        processes share the journal, the next one goes on with a run that a stop or a cancellation left: "running" is
        the status of what is returned then, as it is when the lease was lost.
        """
        failure: Failed | None = None
        is_cancelled = False
        try:
            with self.means.stop.interruptible() as going_on:
                await self._look_up()
                for span in spans(self.steps):
                    if self.steps[span.start].outcome != "done":
                        await self._batch(span)
                        await anyio.lowlevel.checkpoint()
                        await self.means.report_step(span.stop, self.steps)
            if going_on.cancel_called and any(step.outcome in ("planned", "pending") for step in self.steps):
                failure = Stopped()
        except (AmoError, TargetChanged, JournalUnusable, LeaseLost, Stopped, NobodyMoved) as error:
            failure = error
        except anyio.get_cancelled_exc_class():
            is_cancelled = True
            raise
        finally:
            with anyio.CancelScope(shield=True):
                status = await self._leave(failure, is_cancelled=is_cancelled)
        return Execution(replace(self.lease.record, steps=tuple(self.steps), status=status), failure)

    async def _look_up(self) -> None:
        """Find out what came of what the process before had sent; of a run, what was surely not made is planned again.

        Raises:
            OutcomeUnknown: the account does not tell.
            TargetChanged: the definition of a custom field has changed since.
            AmoError: it cannot be read.
            Stopped: something was not made, and nobody waits for it any more.
        """
        if self.lease.epoch == 1:
            return
        for span in spans(self.steps):
            batch = self.steps[span.start : span.stop]
            if batch[0].outcome != "pending":
                continue
            failure: OutcomeUnknown | None = None
            try:
                found = await verify_write(self.means.client, batch, self._beside)
            except Indeterminate:
                found = [step.with_outcome("unknown") for step in batch]
                failure = OutcomeUnknown("does not show what came of it, and the process that sent it is gone")
            if found is None:
                found = [step.with_outcome("planned" if self.lease.change.is_run else "failed") for step in batch]
            await self._note(span, found)
            self.steps[span.start : span.stop] = found
            if failure is not None:
                raise failure
        if not self.lease.change.is_run and any(step.outcome != "done" for step in self.steps):
            raise Stopped
        if self.lease.change.fields:
            check_definitions(self.lease.change.fields, await self.means.client.segment_fields())

    async def _batch(self, span: range) -> None:
        """Compare, record, send and record the steps that go in one request.

        Raises:
            TargetChanged: somebody changed a target meanwhile.
            JournalUnusable: what came of them, or that they are sent, cannot be recorded.
            LeaseLost: another process has taken the change over.
            AmoError: why they failed, or why the account cannot be read.
            Stopped: they were not answered within the seconds of a stop, or somebody asked for the run to stop.
        """
        is_recorded = self.steps[span.start].outcome == "pending"
        if self.is_to_stop and not is_recorded:
            raise Stopped(asked=True)
        pending = None if is_recorded else await self._prepare(span)
        failure: Failed | None = None
        is_answered = False
        with anyio.CancelScope(shield=True):
            if pending is not None:
                await self._note(span, pending)
                self.steps[span.start : span.stop] = pending
            batch = self.steps[span.start : span.stop]
            self.is_sent = False
            request_ids: list[str] = []
            try:
                with self.means.stop.sending() as sending:
                    client = self._client_for(batch).hooked(on_answer=request_ids.append)
                    batch, is_answered = await deliver(client, batch, self._beside)
                    batch = await self._with_others(client, batch)
                failure = Stopped(sent=True) if sending.cancelled_caught else nobody_moved(batch[0])
            except (Refused, Unavailable, TargetChanged) as error:
                batch, failure = [step.with_outcome("failed") for step in batch], error
            except OutcomeUnknown as error:
                batch, failure = [step.with_outcome("unknown") for step in batch], error
            except LeaseLost:
                # This was a retry: the attempt before may have arrived.
                if self.is_sent:
                    await self._note_late(span, batch, is_answered=False)
                raise
            batch = [replace(step, request_id=request_ids[-1] if request_ids else None) for step in batch]
            self.steps[span.start : span.stop] = batch
            try:
                # Recorded before the event is published: who hears of a change can read it in the journal.
                await self._note(span, batch)
            except LeaseLost:
                if batch[0].outcome != "failed":
                    await self._note_late(span, batch, is_answered=is_answered)
                raise
            finally:
                if batch[0].outcome != "failed":
                    await self.means.events.publish(event_of(batch))
        if failure is not None:
            raise failure

    @property
    def _beside(self) -> Beside | None:
        shared = self.lease.shared
        return None if shared is None else partial(shared.created_beside, self.lease)

    def _client_for(self, batch: Sequence[Step]) -> AmoClient:
        fence = None if self.lease.shared is None else self._fence
        return self.means.client.hooked(before_retry=partial(self._check_again, batch), before_sending=fence)

    async def _fence(self, seconds: float) -> None:
        """Renew the lease so that it outlives a request that is about to be sent, and may take so many seconds.

        Raises:
            LeaseLost: somebody has.
            JournalUnusable: that cannot be found out now.
        """
        assert self.lease.shared is not None
        for _ in range(_MAX_RENEWALS):
            began = self.means.clock()
            self.is_to_stop = await self.lease.shared.renew(self.lease)
            if self.means.clock() - began < self.lease.shared.seconds - seconds:
                self.is_sent = True
                return
        raise JournalUnusable("the lease of a change cannot be renewed in time", begun=True)

    async def _note_late(self, span: range, batch: Sequence[Step], *, is_answered: bool) -> None:
        """Record what was made although another process had taken the change over by then."""
        assert self.lease.shared is not None
        late: dict[int, list[Step]] = {}
        for position, step in zip(span, batch, strict=True):
            late[position] = [step if step.outcome == "done" else step.with_outcome("unknown")]
            if isinstance(step, Create) and not is_answered:
                # The lost request may still arrive after this look.
                made = [step.done(one) for one in await self._namesakes(step)]
                late[position] = [*made, replace(step, after=None, outcome="unknown")]
        await self.lease.shared.note_late(self.lease, late)

    async def _namesakes(self, creation: Create) -> list[Entity]:
        """What has appeared in the account under the name of a creation, as far as it can be read."""
        try:
            listed = await read_all(self.means.client, creation.kind)
        except AmoError:
            return []
        return [one for one in listed if one.name == creation.name and one.id not in creation.existing_ids]

    async def _prepare(self, span: range) -> list[Step]:
        """The steps as they are recorded before they are sent, on the account as it is now."""
        check_merged(self.steps[span.start : span.stop], self.steps)
        batch = await self.readings.refresh(self.steps, span)
        snapshot = self.readings.snapshot
        if differences := drift(batch, snapshot, among=self.steps, zone=self.means.zone):
            raise TargetChanged(differences)
        self.made = await moves_made(self.means.journal, batch)
        return await with_members_to_move(self.means.client, as_pending(batch, snapshot, self.steps))

    async def _with_others(self, client: AmoClient, batch: Sequence[Step]) -> list[Step]:
        journal, change_id = self.means.journal, self.lease.id
        return [
            await with_others(client, journal, step, change_id, self.made) if isinstance(step, Move) else step
            for step in batch
        ]

    async def _check_again(self, batch: Sequence[Step]) -> None:
        """Compare a batch that is about to be sent again: somebody may have worked on what the lost attempt left.

        Raises:
            TargetChanged: somebody changed a target while the server waited.
            AmoError: the account cannot be read.
        """
        snapshot = await read_targets(self.means.client, batch)
        if differences := drift(batch, snapshot, among=self.steps, zone=self.means.zone):
            raise TargetChanged(differences)
        await check_members(self.means.client, batch)

    async def _note(self, span: range, steps: Sequence[Step]) -> None:
        self.is_to_stop = await self.means.journal.note(self.lease, dict(zip(span, steps, strict=True)))

    async def _leave(self, failure: Failed | None, *, is_cancelled: bool) -> ChangeStatus:
        """Record the end of the change, or leave it to the next process, where that can go on with it."""
        status, shared = overall_status(self.steps), self.lease.shared
        if isinstance(failure, LeaseLost):
            return "running"
        if shared is not None and (isinstance(failure, JournalUnusable) or _is_on_its_way(failure)):
            shared.let_lapse(self.lease)
            return "running"
        is_interrupted = is_cancelled or (isinstance(failure, Stopped) and not failure.asked)
        if shared is not None and self.lease.change.is_run and is_interrupted and status == "interrupted":
            await self._give_back(shared)
            return "running"
        try:
            reason = None if failure is None or shared is None else reason_to_record(failure)
            await self.means.journal.note(self.lease, {}, status, reason)
        except (JournalUnusable, LeaseLost) as error:
            # What came of the steps is in the journal, or is why the change stopped; recovery finds the end from them.
            logger.warning("The end of the change %s could not be recorded: %r", self.lease.id, error)
        await self.means.events.publish(ChangeEvent("journal"))
        return status

    async def _give_back(self, shared: RunStore) -> None:
        # If this fails, the lease lapses by itself.
        with suppress(JournalUnusable):
            await shared.give_back(self.lease)
            await self.means.events.publish(ChangeEvent("journal"))


def _is_on_its_way(failure: Failed | None) -> bool:
    return isinstance(failure, Stopped) and failure.sent
