"""Carrying out a confirmed change: compared with the account, recorded, sent, recorded.

The life of a step is `planned → pending → done | failed | unknown`, and `undone` when a later change took it back. Each
transition is in the journal before anything else happens: a process that dies leaves at most one batch pending, and
`recovery` finds out what came of it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import anyio
import anyio.lowlevel

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Refused, Unavailable
from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.delivery import deliver, spans
from amo_mcp.changes.events import ChangeEvent, ChangeEvents
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.recovery import recover
from amo_mcp.changes.snapshot import Snapshot, TargetChanged, drift, read_snapshot, read_targets
from amo_mcp.changes.steps import (
    LIMITS,
    ChangeRecord,
    Create,
    Delete,
    Kind,
    Step,
    exceeds_limit,
    overall_status,
    summary_of,
)

MAX_SNAPSHOT_AGE = 2.0
"""Seconds after which the account is read again before the next step is compared with it."""

Progress = Callable[[float, float, str], Awaitable[None]]
"""Is told how far a change of several steps is: steps done, steps in all, and what comes next."""


class LimitReached(Exception):
    """The account has no room for what was to be created; nothing was sent.

    Attributes:
        kind: segment or status.
        held: how many there are.
        wanted: how many were to be created.
    """

    def __init__(self, kind: Kind, held: int, wanted: int) -> None:
        super().__init__(f"{held} of {LIMITS[kind]}")
        self.kind = kind
        self.held = held
        self.wanted = wanted


@dataclass(frozen=True)
class Execution:
    """What came of a change.

    Attributes:
        record: the change as it was recorded.
        failure: why it stopped before its end; None when every step is done.
    """

    record: ChangeRecord
    failure: AmoError | TargetChanged | None = None

    @property
    def done(self) -> list[Step]:
        """The steps that were made."""
        return [step for step in self.record.steps if step.outcome == "done"]


class Executor:
    """Carries out the changes of one account.

    Args:
        client: the API.
        journal: where every change is recorded before it is sent.
        events: who is told of it.
        progress: who is told how far a change of several steps is.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        client: AmoClient,
        journal: Journal,
        events: ChangeEvents,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._journal = journal
        self._events = events
        self._progress = progress
        self._clock = clock

    async def execute(
        self,
        tool: str,
        steps: Sequence[Step],
        *,
        fields: Sequence[CustomField] = (),
        undoes: str | None = None,
        plan_id: str | None = None,
    ) -> Execution:
        """Do one step after the other; the first that fails is the last.

        A cancellation stops between two batches: what was sent is brought to its end and recorded.

        Args:
            tool: the tool that does it.
            steps: what to do, in order, each with its target as a person was shown it.
            fields: the custom fields that the steps set, as they were defined then.
            undoes: the change that the steps take back.
            plan_id: the plan that is used up, unless nothing comes of it.

        Raises:
            TargetChanged: the account is no longer what a person was shown; nothing was sent.
            LimitReached: there is no room for what the steps create.
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: what the steps take back was taken back already.
            JournalUnusable: the change cannot be recorded.
            AmoError: nothing was done, and why.
        """
        await recover(self._client, self._journal)
        read_at = self._clock()
        snapshot = await read_targets(self._client, steps, with_fields=bool(fields))
        _check_targets(steps, fields, snapshot)
        check_room(steps, snapshot)
        first, *others = spans(steps)
        # The first batch is pending with the record itself: that saves a commit for each change of one step.
        begun = [*_pending(steps[: first.stop], snapshot, ()), *steps[first.stop :]]
        record = await self._journal.begin(tool, begun, undoes=undoes, plan_id=plan_id)
        run = _Run(self._client, self._journal, self._events, record.id, begun, snapshot, read_at, self._clock)
        failure: AmoError | TargetChanged | None = None
        try:
            for span in (first, *others):
                await self._report(span.start, begun)
                failure = await run.batch(span)
                if failure is not None:
                    break
                await anyio.lowlevel.checkpoint()
            else:
                await self._report(len(begun), begun)
        finally:
            status = overall_status(run.steps)
            with anyio.CancelScope(shield=True):
                await self._journal.note(record.id, {}, status)
                await self._events.publish(ChangeEvent("journal"))
        execution = Execution(replace(record, steps=tuple(run.steps), status=status), failure)
        if failure is not None and not execution.done:
            raise failure
        return execution

    async def _report(self, place: int, steps: Sequence[Step]) -> None:
        if self._progress is not None and len(steps) > 1:
            await self._progress(place, len(steps), summary_of(steps[place]) if place < len(steps) else "Done")


@dataclass
class _Run:
    """One change on its way, batch by batch.

    Attributes:
        steps: every step with what is known of it by now.
        snapshot: the account as it was read last.
        read_at: when reading it began, in monotonic seconds.
        clock: gives them.
    """

    client: AmoClient
    journal: Journal
    events: ChangeEvents
    change_id: str
    steps: list[Step]
    snapshot: Snapshot
    read_at: float
    clock: Callable[[], float]

    async def batch(self, span: range) -> AmoError | TargetChanged | None:
        """Compare, record, send and record the steps that go in one request; why they failed, if they did."""
        if span.start:
            try:
                await self._prepare(span)
            except (AmoError, TargetChanged) as error:
                return error
        with anyio.CancelScope(shield=True):
            if span.start:
                await self._note(span)
            failure = await self._send(span)
            try:
                # Recorded before anybody is told: who hears of a change can read it in the journal.
                await self._note(span)
            finally:
                if self.steps[span.start].outcome != "failed":
                    await self.events.publish(_event(self.steps[span.start : span.stop]))
        return failure

    async def _prepare(self, span: range) -> None:
        """Let the steps stand on the account as it is now.

        Raises:
            TargetChanged: somebody changed a target meanwhile.
            AmoError: the account cannot be read.
        """
        batch = self.steps[span.start : span.stop]
        now = self.clock()
        if now - self.read_at > MAX_SNAPSHOT_AGE or isinstance(batch[0], Delete):
            self.read_at = now
            self.snapshot = await read_snapshot(self.client, sorted({step.kind for step in self.steps}))
        if differences := drift(batch, self.snapshot):
            raise TargetChanged(differences)
        self.steps[span.start : span.stop] = _pending(batch, self.snapshot, self.steps)

    async def _send(self, span: range) -> AmoError | None:
        batch = self.steps[span.start : span.stop]
        failure: AmoError | None = None
        try:
            results = await deliver(self.client, batch)
        except (Refused, Unavailable) as error:
            results, failure = [step.with_outcome("failed") for step in batch], error
        except OutcomeUnknown as error:
            results, failure = [step.with_outcome("unknown") for step in batch], error
        self.steps[span.start : span.stop] = results
        return failure

    async def _note(self, span: range) -> None:
        await self.journal.note(self.change_id, {position: self.steps[position] for position in span})


def check_room(steps: Sequence[Step], snapshot: Snapshot) -> None:
    """Look whether the account has room for what the steps create, at every moment on the way.

    Raises:
        LimitReached: it has not.
    """
    for kind in sorted({step.kind for step in steps if isinstance(step, Create)}):
        held = len(snapshot.ids(kind))
        if exceeds_limit(kind, held, steps):
            raise LimitReached(
                kind, held, len([step for step in steps if isinstance(step, Create) and step.kind == kind])
            )


def _check_targets(steps: Sequence[Step], fields: Sequence[CustomField], snapshot: Snapshot) -> None:
    if differences := drift(steps, snapshot, positions=len(steps) == 1):
        raise TargetChanged(differences)
    definitions = {field.id: field for field in snapshot.fields}
    if any(definitions.get(field.id) != field for field in fields):
        raise TargetChanged(reason="The definition of a custom field has changed.")


def _pending(batch: Sequence[Step], snapshot: Snapshot, earlier: Sequence[Step]) -> list[Step]:
    """The steps as they are recorded before they are sent: with what is really there now."""
    created = [step.after.id for step in earlier if isinstance(step, Create) and step.after is not None]
    pending: list[Step] = []
    for step in batch:
        if isinstance(step, Create):
            existing = tuple({*snapshot.ids(step.kind), *created})
            pending.append(replace(step, existing_ids=existing, outcome="pending"))
        else:
            pending.append(
                replace(step, before=snapshot.find(step.before, step.kind) or step.before, outcome="pending")
            )
    return pending


def _event(batch: Sequence[Step]) -> ChangeEvent:
    ids = tuple(step.target_id for step in batch if step.target_id is not None)
    return ChangeEvent(batch[0].kind, ids, adds_or_removes=batch[0].action != "update")
