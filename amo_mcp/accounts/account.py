"""One amoCRM account as the server holds it: fresh reads, reads of a moment ago, and writes made safe."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from amo_mcp.accounts.cache import CachedReads, ReadCache
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OtherAccount
from amo_mcp.changes.events import ChangeEvents
from amo_mcp.changes.execution import Execution, LimitReached
from amo_mcp.changes.executor import Executor
from amo_mcp.changes.journal import Journal, UndoneMeanwhile
from amo_mcp.changes.leases import NOBODY, Asked, RunState
from amo_mcp.changes.means import Report
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import PlanStore, PlanUsed
from amo_mcp.changes.recovery import recover
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.stop import Stop
from amo_mcp.changes.turns import Turns
from amo_mcp.language import Message, message

if TYPE_CHECKING:
    from amo_mcp.changes.runs import Runs


@dataclass(frozen=True)
class AmoAccount:
    """One account. Every method can raise `amo_mcp.amocrm.errors.AmoError`, and `JournalUnusable` where it uses it.

    Attributes:
        client: the API; what is read through it is fresh.
        cached: what was read a moment ago, shared by all calls.
        profile: its id, its time zone and its person.
        requests_per_second: the pace that the account is kept to.
        report: reports how far the current call is; None when nobody listens.
        clock: gives monotonic seconds, by which what was read grows old.
        stop: requested when the server ends.
        turns: in which the changes of this process are made.
        runs: the runs of this process, where plans and undos outlive their calls; None where they end with them.
        asked: who makes the current call.
        names_customers: whether names of customers are shown, to models and people.
        whose: gives the account as who calls works on it, where each has rights of their own.
    """

    client: AmoClient
    journal: Journal
    plans: PlanStore
    events: ChangeEvents
    cached: CachedReads
    profile: AccountProfile
    requests_per_second: int = 7
    report: Report | None = None
    clock: Callable[[], float] = time.monotonic
    stop: Stop = field(default_factory=Stop)
    turns: Turns = field(default_factory=Turns)
    runs: "Runs | None" = None
    asked: Asked = NOBODY
    names_customers: bool = True
    whose: "Callable[[], AmoAccount] | None" = None

    @classmethod
    def of(
        cls,
        client: AmoClient,
        journal: Journal,
        plans: PlanStore,
        events: ChangeEvents,
        profile: AccountProfile | None = None,
        *,
        requests_per_second: int = 7,
        clock: Callable[[], float] = time.monotonic,
        names_customers: bool = True,
    ) -> Self:
        """The account behind `client`, whose reads of a moment ago are dropped with every change."""
        cached = CachedReads(client, ReadCache(clock))
        events.subscribe(cached.on_change)
        profile = profile or AccountProfile(client, clock=clock)
        return cls(
            client,
            journal,
            plans,
            events,
            cached,
            profile,
            requests_per_second,
            clock=clock,
            names_customers=names_customers,
        )

    @property
    def host(self) -> str:
        """The account's host, such as `example.amocrm.ru`."""
        return urlsplit(self.client.base_url).netloc

    @property
    def of_caller(self) -> "AmoAccount":
        """The account as who calls works on it."""
        return self if self.whose is None else self.whose()

    def for_call(self, report: Report, asked: Asked) -> Self:
        """The account for one call of somebody: `report` is called when it waits, and when it goes on."""

        async def on_wait(seconds: float, reason: Message) -> None:
            if whole := round(seconds):
                await report(0, None, message("Waiting {seconds} s for {reason}", seconds=whole, reason=reason))

        return replace(self, client=self.client.reporting(on_wait), report=report, asked=asked)

    async def executor(self) -> Executor:
        """What carries out changes of the account."""
        zone = await self.profile.zone()
        return Executor(
            self.client.meaning(await self.profile.account_id()),
            self.journal,
            self.events,
            self.report,
            self.clock,
            self.stop,
            zone,
            self.turns,
        )

    async def execute(self, tool: str, change: PendingChange, approval_id: str | None = None) -> Execution:
        """Carry out a change; see `Executor.execute`. A run may be "running" still when this returns (`Runs.watch`)."""
        executor, asked = await self.executor(), replace(self.asked, approval_id=approval_id)
        try:
            if self.runs is None or not change.is_run:
                execution = await executor.execute(tool, change, asked)
            else:
                change_id = await self._begun(self.runs, executor, tool, change, asked)
                execution = await self.runs.watch(change_id, executor.zone, self.report)
        except OtherAccount:
            self.profile.forget()
            raise
        if isinstance(execution.failure, OtherAccount):
            self.profile.forget()
        return execution

    async def begin_run(self, tool: str, change: PendingChange, approval_id: str) -> RunState | None:
        """Begin a run that its call does not watch; None, with nothing begun, where changes end with their calls."""
        if self.runs is None or not change.is_run:
            return None
        asked = replace(self.asked, approval_id=approval_id)
        return await self.runs.state(await self._begun(self.runs, await self.executor(), tool, change, asked))

    async def _begun(self, runs: "Runs", executor: Executor, tool: str, change: PendingChange, asked: Asked) -> str:
        """The id of the run of a change; of several yeses to one plan or undo one begins it, the others find it."""
        try:
            return await runs.begin(executor, tool, change, asked)
        except (PlanUsed, UndoneMeanwhile, TargetChanged, LimitReached):
            run = await runs.find(asked.owner, plan_id=change.plan_id, undoes=change.undoes, told=True)
            if run is None or run.record.status not in ("running", "done"):
                raise
            return run.record.id

    async def watch(self, run: RunState) -> Execution:
        """Wait for the end of a run that was begun before; see `Runs.watch`."""
        assert self.runs is not None
        return await self.runs.watch(run.record.id, await self.profile.zone(), self.report)

    async def run(self, change_id: str) -> RunState | None:
        """A run by its id, whoever asked for it."""
        return None if self.runs is None else await self.runs.state(change_id)

    async def stop_run(self, run: RunState) -> None:
        """Let a run stop between two of its steps."""
        assert self.runs is not None
        await self.runs.request_stop(run.record.id)

    async def run_of(self, **by: Any) -> RunState | None:
        """A run of who makes the call (`RunStore.find`); None also where runs end with their calls."""
        return None if self.runs is None else await self.runs.find(self.asked.owner, **by)

    async def recover(self) -> None:
        """Find out what came of changes that were left unfinished."""
        try:
            client = self.client.meaning(await self.profile.account_id())
        except AmoError:
            client = None
        await recover(client, self.journal)
