"""A confirmed change, from the comparison with the account to what came of it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from amo_mcp.amocrm.errors import OtherAccount
from amo_mcp.changes.beside import moves_made
from amo_mcp.changes.delivery import spans
from amo_mcp.changes.execution import (
    CreatedTwice,
    Execution,
    Failed,
    LimitReached,
    NobodyMoved,
    PartlyDone,
    Stopped,
)
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.leases import NOBODY, Asked, Lease, LeaseLost
from amo_mcp.changes.means import Means
from amo_mcp.changes.membership import with_members_to_move
from amo_mcp.changes.moving import in_batches
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.readings import Readings, counts_of
from amo_mcp.changes.ready import as_pending
from amo_mcp.changes.recovery import recover
from amo_mcp.changes.room import exceeds_limit
from amo_mcp.changes.run import Run
from amo_mcp.changes.snapshot import (
    Snapshot,
    TargetChanged,
    check_definitions,
    drift,
    is_of_another_account,
    read_targets,
)
from amo_mcp.changes.steps import Create, Delete, Step
from amo_mcp.changes.turns import Turns
from amo_mcp.language import message


@dataclass(frozen=True)
class Executor(Means):
    """Carries out the changes of one account.

    Attributes:
        turns: the changes of this process, of which those of one target come one after the other.
    """

    turns: Turns = field(default_factory=Turns)

    async def execute(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Execution:
        """Do one step after the other (`Run.carry_on`), once the targets were compared with what was agreed to.

        Returns:
            What was done. `failure` is set where a change of several requests stopped after something was done.

        Raises:
            Stopped: the server ends, and no step is known to be done.
            TargetChanged: the account is no longer what a person was shown; nothing was sent.
            LimitReached: there is no room for what the steps create.
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: what the steps take back was taken back already.
            JournalUnusable: the change cannot be recorded.
            PartlyDone: something was made, or may have been, and no answer tells of it.
            OutcomeUnknown: a change of one step may have been made; the record says so.
            AmoError: any other one; nothing was done.
        """
        async with self.begin(tool, change, asked) as run:
            return concluded(await run.carry_on())

    @asynccontextmanager
    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> AsyncIterator[Run]:
        """A change that is compared with the account and recorded, its first batch about to be sent.

        Within the context no other change of its targets begins in this process. It raises what `execute` does before
        anything is sent.
        """
        async with AsyncExitStack() as stack:
            with self.stop.interruptible() as preparing:
                await recover(self.client, self.journal)
                await stack.enter_async_context(self.turns.taken(change.steps, self._report_turn))
                made = await moves_made(self.journal, change.steps)
                planned = await in_batches(self.client, change.steps)
                first = next(spans(planned)).stop
                account = partial(read_targets, self.client, change.steps, with_fields=bool(change.fields))
                shown = [step.before for step in change.steps if isinstance(step, Delete)]
                readings = Readings(self, counts=counts_of(shown))
                batch = await readings.read(planned[:first], account)
                snapshot = readings.snapshot
                self._check_targets(change, snapshot)
                check_room(change.steps, snapshot)
                await self.report_step(0, planned)
                pending = await with_members_to_move(self.client, as_pending(batch, snapshot))
                steps = [*pending, *planned[first:]]
            if preparing.cancel_called:
                raise Stopped
            # The first batch is pending with the record itself: that saves a commit for each change of one step.
            lease = await self.journal.begin(tool, replace(change, steps=tuple(steps), names=()), asked)
            yield Run(self, lease, steps, readings, made)

    @asynccontextmanager
    async def take_over(self, lease: Lease) -> AsyncIterator[Run]:
        """A change that another process began, and that this one has claimed, ready to be carried on; as `begin`."""
        async with self.turns.taken(lease.record.steps, self._report_turn):
            # The account is read when the first step is prepared.
            yield Run(self, lease, [*lease.record.steps], Readings(self))

    def _check_targets(self, change: PendingChange, snapshot: Snapshot) -> None:
        if is_of_another_account(change.steps, snapshot):
            raise OtherAccount
        if differences := drift(change.steps, snapshot, zone=self.zone):
            raise TargetChanged(differences)
        check_definitions(change.fields, snapshot.fields)

    async def _report_turn(self) -> None:
        if self.report is not None:
            await self.report(0, None, message("Waiting for another change to end"))


def concluded(execution: Execution) -> Execution:
    """What came of a change, where an answer tells it; else its failure is raised (see `Executor.execute`)."""
    failure = execution.failure
    if isinstance(failure, LeaseLost) and not execution.not_done:
        # Every step was answered; it is only recorded late.
        return replace(execution, failure=None)
    in_one_request = len([*spans(execution.record.steps)]) == 1 and not isinstance(failure, NobodyMoved)
    if failure is not None and (in_one_request or not execution.done):
        raise _error_of(execution, failure)
    return execution


def _error_of(execution: Execution, failure: Failed) -> Exception:
    """What is raised when a change stopped: the failure itself, where it says what came of the change."""
    is_unclear = len(execution.record.steps) > 1 and any(step.outcome == "unknown" for step in execution.not_done)
    if execution.done or is_unclear or isinstance(failure, (JournalUnusable, CreatedTwice)):
        return PartlyDone(execution, failure)
    return failure


def check_room(steps: Sequence[Step], snapshot: Snapshot) -> None:
    """Raise LimitReached unless the account has room for what the steps create, at every moment on the way."""
    created = Counter(step.kind for step in steps if isinstance(step, Create))
    for kind, wanted in sorted(created.items()):
        count = snapshot.count(kind)
        if exceeds_limit(kind, count, steps):
            raise LimitReached(kind, count, wanted)
