"""The runs of one process among several: those that its calls begin, and those that it takes over.

A run lives as long as the process, not as long as the call that asked for it. A call watches it for a while, in
whichever process it comes to, and reads from the journal how far it is.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup, TaskStatus

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.zones import Zone
from amo_mcp.changes.events import ChangeEvent, ChangeEvents
from amo_mcp.changes.execution import CreatedTwice, Execution, Failed, Stopped
from amo_mcp.changes.executor import Executor, concluded
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.leases import Asked, Lease, LeaseLost, RunState, RunStore
from amo_mcp.changes.means import Report
from amo_mcp.changes.parts import progress
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reasons import reason_from_record
from amo_mcp.changes.run import Run
from amo_mcp.changes.stop import Stop
from amo_mcp.changes.titles import summary_of
from amo_mcp.language import message

WATCH_SECONDS = 45.0
"""Seconds for which a call watches a run: some clients give up after sixty."""

_LOOK_SECONDS = 1.0
"""Seconds between two looks for a run to take over, or at how far one is, while no event comes; fewer where the lease
is short."""

_LOOKS = 5
_RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

logger = logging.getLogger(__name__)


class Runs:
    """Begins, watches, stops and takes over runs. It works while `serve` does.

    Args:
        store: the runs of all processes.
        events: tell when a run has come further, or is free.
        executor: gives what carries out a change that another process began, by its lease.
        stop: requested when the server ends: nothing more is taken over then.
        watch_seconds: see `WATCH_SECONDS`.
    """

    def __init__(
        self,
        store: RunStore,
        events: ChangeEvents,
        executor: Callable[[Lease], Awaitable[Executor]],
        stop: Stop,
        *,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._store = store
        self._executor = executor
        self._stop = stop
        self._watch_seconds = watch_seconds
        self._news = anyio.Event()
        self._under_way = 0
        self._at_rest = anyio.Event()
        self._group: TaskGroup
        events.subscribe(self._on_change)

    async def serve(self) -> None:
        """Carry on what was begun or taken over, until this is cancelled; what is under way is given back then."""
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._keep_leases)
            self._group.start_soon(self._take_over)

    async def begin(self, executor: Executor, tool: str, change: PendingChange, asked: Asked) -> str:
        """Begin a run, which goes on whatever becomes of the call; its id.

        It raises what `Executor.begin` does; where this is cancelled before the change is recorded, nothing begins.
        """
        begun: str = await self._group.start(self._run, executor.begin(tool, change, asked))
        return begun

    async def at_rest(self) -> None:
        """Wait until this process carries nothing on: after a stop that is soon, and the rest is free for others."""
        while self._under_way:
            self._at_rest = anyio.Event()
            await self._at_rest.wait()

    async def find(self, owner: str, *, told: bool = False, **by: str | None) -> RunState | None:
        """See `RunStore.find`."""
        return await self._store.find(owner, told=told, **by)

    async def state(self, change_id: str) -> RunState | None:
        """See `RunStore.state`."""
        return await self._store.state(change_id)

    async def request_stop(self, change_id: str) -> None:
        """See `RunStore.request_stop`."""
        await self._store.request_stop(change_id)

    async def watch(self, change_id: str, zone: Zone, report: Report | None) -> Execution:
        """Wait for the end of a run, for a while.

        While the storage is away, how far the run was last is answered.

        Returns:
            What came of it, as `Executor.execute` says, and raises; while it goes on, what was done by now, and
            "running" as the status of the record.

        Raises:
            JournalUnusable: the run cannot be read.
            AmoError: whose it is cannot be found out.
        """
        state = await self._state(change_id)
        with self._stop.interruptible(), anyio.move_on_after(self._watch_seconds):
            reported = None
            while state.record.status == "running":
                done = sum(step.outcome == "done" for step in state.record.steps)
                if done != reported:
                    reported = done
                    await _report(state, done, report)
                await self._wait_for_news()
                with suppress(JournalUnusable, AmoError):
                    state = await self._state(change_id)
        if state.record.status == "running":
            return Execution(state.record)
        await self._store.mark_told(change_id)
        return concluded(Execution(state.record, failure_of(state, zone)))

    async def _state(self, change_id: str) -> RunState:
        state = await self._store.state(change_id)
        if state is None:
            raise JournalUnusable("the change is not in it any more", begun=True)
        return state

    async def _run(
        self, begun: AbstractAsyncContextManager[Run], *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with self._counted():
            await self._carry_on(begun, task_status)

    async def _carry_on(self, begun: AbstractAsyncContextManager[Run], task_status: TaskStatus[str]) -> None:
        async with begun as run:
            # The call that began it may be gone: from now on only those who watch are told.
            run.means = replace(run.means, client=run.means.client.reporting(None), report=None)
            task_status.started(run.lease.id)
            try:
                execution = await run.carry_on()
            except Exception as error:
                logger.error("The run %s failed unexpectedly: %s", run.lease.id, type(error).__name__)
                return
        if isinstance(execution.failure, LeaseLost):
            logger.warning("The run %s was taken over by another process", run.lease.id)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._at_rest.set()

    async def _take_over(self) -> None:
        with self._stop.interruptible():
            while True:
                lease = None
                with suppress(JournalUnusable, AmoError):
                    lease = await self._store.claim()
                if lease is None:
                    await self._wait_for_news()
                else:
                    logger.info("Taking over the run %s, epoch %d", lease.id, lease.epoch)
                    self._group.start_soon(self._taken_over, lease)

    async def _taken_over(self, lease: Lease) -> None:
        executor, is_told = None, False
        with self._stop.interruptible():
            while executor is None:
                try:
                    executor = await self._executor(lease)
                except AmoError as error:
                    if not is_told:
                        name = type(error).__name__
                        logger.warning("The run %s waits: the account cannot be read (%s)", lease.id, name)
                    is_told = True
                    await self._wait_for_news()
        if executor is not None:
            await self._run(executor.take_over(lease))
        else:
            with suppress(JournalUnusable):
                await self._store.give_back(lease)

    async def _keep_leases(self) -> None:
        while True:
            await anyio.sleep(self._store.seconds / _RENEWALS)
            # Until the storage is back, each lease is renewed right before something is sent, or nothing is.
            with suppress(JournalUnusable):
                await self._store.renew_all()

    async def _on_change(self, _: ChangeEvent) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _wait_for_news(self) -> None:
        with anyio.move_on_after(min(_LOOK_SECONDS, self._store.seconds / _LOOKS)):
            await self._news.wait()


def failure_of(state: RunState, zone: Zone) -> Failed | None:
    """Why a run stopped, or turned out otherwise after its end; None where it came to its end."""
    if state.reason is not None:
        return reason_from_record(state.reason, zone)
    outcomes = {step.outcome for step in state.record.steps}
    if "unknown" in outcomes:
        return CreatedTwice()
    return None if outcomes <= {"done", "undone"} else Stopped()


async def _report(state: RunState, done: int, report: Report | None) -> None:
    steps = state.record.steps
    if report is not None and len(steps) > 1:
        place, total, part = progress(steps, done)
        await report(place, total, message("Done") if part is None else summary_of(part))
