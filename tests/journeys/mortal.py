"""A journal whose process can be killed, simulated in process, before and after every record.

A process that was killed does nothing any more: its requests do not leave, and its journal is not written. The system
frees its lock, of which the file stays behind, and closes its database without having an open transaction written.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.journal import Journal, StepKey, Unsettled
from amo_mcp.changes.leases import NOBODY, Asked, Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import Plan, PlanStore
from amo_mcp.changes.records import ChangeRecord, ChangeStatus
from amo_mcp.changes.steps import Outcome, Step
from tests.storage.backends import open_sqlite


class Killed(Exception):
    """The process is dead; whoever catches this can neither send nor record anything any more."""


@dataclass
class KillSwitch:
    """Kills a process at a moment of its writing: before or after a record, or before or after a request that writes.

    Attributes:
        dead: whether it was killed.
        late: brings the request that had just been sent to its end, when that arrives after the death.
    """

    dead: bool = False
    late: Callable[[], Awaitable[None]] | None = None
    _left: int | None = None
    _arrives: bool = False

    def arm(self, moment: int | None, *, late: bool = False) -> None:
        """Kill at the `moment`-th moment from now, if there are so many; a last request may still arrive."""
        self._left, self._arrives = moment, late

    def disarm(self) -> None:
        """Leave whoever is alive alive."""
        self._left = None

    def reach(self, request: Callable[[], Awaitable[None]] | None = None) -> None:
        """Come to a moment; `request` is what is just being sent.

        Raises:
            Killed: it was the last, or is past.
        """
        if self._left == 0:
            self.dead = True
            self.late = request if self._arrives else None
        self.check()
        if self._left is not None:
            self._left -= 1

    def check(self) -> None:
        """Go on, if alive; this is no moment.

        Raises:
            Killed: the process is dead.
        """
        if self.dead:
            self._left = None
            raise Killed

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        """A record: the moment before it, and the one after it."""
        self.reach()
        yield
        self.reach()


class MortalJournal(Journal):
    """A journal in a file, of a process that can be killed.

    Args:
        folder: where the file is.
        switch: kills the process.
        clock: gives Unix seconds.
        uptime: gives the seconds of the machine's other clock.

    Attributes:
        plans: the plans of the same process.
    """

    def __init__(
        self, folder: Path, switch: KillSwitch, clock: Callable[[], float], uptime: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._switch = switch
        self._journal, plans = open_sqlite(folder, clock=clock, uptime=uptime)
        self.plans = _MortalPlanStore(plans, switch)

    @override
    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Lease:
        async with self._switch.around():
            return await self._journal.begin(tool, change, asked)

    @override
    async def note(
        self,
        lease: Lease,
        steps: Mapping[int, Step],
        status: ChangeStatus | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> bool:
        async with self._switch.around():
            return await self._journal.note(lease, steps, status, reason)

    @override
    async def settle(self, change_id: str, found: Mapping[int, Step]) -> None:
        async with self._switch.around():
            await self._journal.settle(change_id, found)

    @override
    async def changes(self, limit: int, before: int | None = None) -> list[tuple[int, ChangeRecord]]:
        self._switch.check()
        return await self._journal.changes(limit, before)

    @override
    async def moves(self, newest: int) -> Mapping[StepKey, Outcome]:
        self._switch.check()
        return await self._journal.moves(newest)

    @override
    async def steps(self, keys: Iterable[StepKey]) -> Mapping[StepKey, Step]:
        self._switch.check()
        return await self._journal.steps(keys)

    @override
    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, ChangeRecord]], int]:
        self._switch.check()
        return await self._journal.page(limit, before)

    @override
    def kept_until(self, record: ChangeRecord) -> float:
        return self._journal.kept_until(record)

    @override
    async def change(self, change_id: str) -> ChangeRecord | None:
        self._switch.check()
        return await self._journal.change(change_id)

    @override
    async def unsettled(self) -> list[Unsettled]:
        self._switch.check()
        return await self._journal.unsettled()

    @override
    async def recreated_ids(self) -> RecreatedIds:
        self._switch.check()
        return await self._journal.recreated_ids()

    @override
    async def close(self) -> None:
        """End in peace, or as a killed process does: its lock file stays."""
        locks = [*self._folder.glob("*.lock")] if self._switch.dead else []
        await self._journal.close()
        for lock in locks:
            lock.touch(mode=0o600)


class _MortalPlanStore(PlanStore):
    def __init__(self, plans: PlanStore, switch: KillSwitch) -> None:
        self._plans = plans
        self._switch = switch

    @override
    async def keep(self, plan: Plan) -> None:
        self._switch.check()
        await self._plans.keep(plan)

    @override
    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        self._switch.check()
        return await self._plans.plan(plan_id, owner)
