"""Customers moved by a replica that dies at any moment of it: another one finishes, and nobody is lost on the way."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.changes.leases import Lease
from amo_mcp.changes.members import Member
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Delete, Entity, Move
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.postgres.database import Database
from tests.conftest import Person, answer
from tests.journeys.test_merges import (
    MERGE,
    STATUSES,
    Places,
    account_for,
    check_nobody_is_lost,
    merged,
    places,
    watched,
)
from tests.runs.life import Gate, Open, Replica, replica
from tests.runs.test_runs import taken_over

pytestmark = pytest.mark.anyio

MANY: dict[str, Any] = {"add_to": [51], "remove_from": [57]}


class Death:
    """The way to the sandbox of a replica that dies before a request, or once one that writes has had its effect.

    Args:
        moment: how many such moments it lives.
        heirs: what happens before anybody hears of its death.
    """

    def __init__(self, sandbox: Sandbox, moment: int, heirs: Callable[[], Awaitable[None]]) -> None:
        self._app = sandbox.app
        self._left = moment
        self._heirs = heirs
        self.dead = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._come()
        if scope["method"] == "GET":
            return await self._app(scope, receive, send)
        response: list[Message] = []

        async def keep(message: Message) -> None:
            response.append(message)

        await self._app(scope, receive, keep)
        await self._come()
        for message in response:
            await send(message)

    async def _come(self) -> None:
        if self._left == 0 and not self.dead:
            self.dead = True
            await self._heirs()
        if self.dead:
            raise ConnectionResetError
        self._left -= 1


async def merge(one: Replica, change: dict[str, Any]) -> PendingChange:
    """The plan of a merge."""
    read = one.client.segment if change["kind"] == "segment" else one.client.status
    source: Entity = await read(change["id"])
    into: Entity = await read(change["into"])
    return await one.plan([Move(change["kind"], (), (into,), source=source), Delete(source, merged_into=into)])


async def move(one: Replica, _: object) -> PendingChange:
    """A move of sixty customers, who go in batches of 1, 50 and 9."""
    ids = sorted(who for who, (held, _) in places(one.sandbox).items() if 57 in held)[:60]
    members = [Member.of(await one.client.customer(who)) for who in ids]
    into, out_of = await one.client.segment(51), await one.client.segment(57)
    return PendingChange((Move("segment", tuple(members), (into,), (out_of,)),))


def moved(before: Places, change: PendingChange) -> Places:
    ids = [member.id for step in change.steps if isinstance(step, Move) for member in step.customers]
    return {who: (held - {57} | {51} if who in ids else held, status) for who, (held, status) in before.items()}


@pytest.mark.exhaustive
@pytest.mark.requirement("RUN-3", "PLAN-7", "CUSTOMER-5", "CUSTOMER-7")
@pytest.mark.parametrize(
    ("made", "reading"),
    [(MERGE, "replaces"), (MERGE, "adds"), (STATUSES, "replaces"), (MANY, "replaces")],
    ids=["segments", "segments where the API only adds", "statuses", "a move"],
)
async def test_whenever_a_replica_dies_while_it_moves_customers_another_one_finishes_and_it_can_be_undone(
    made: dict[str, Any], reading: Any, database: Database
) -> None:
    died = 0
    for moment in range(60):
        await database.execute("DELETE FROM changes")
        sandbox = Sandbox() if made is MANY else account_for(made)
        sandbox.unknowns.segments_patch = reading
        before, seen = places(sandbox), list[Places]()
        sandbox.app = watched(sandbox, seen)
        events = MemoryChangeEvents()
        async with replica(sandbox, database, events) as heir:

            async def inherit(heir: Replica = heir) -> None:
                for _, newest in await heir.account.journal.changes(1):
                    await heir.store.give_back(Lease(newest, PendingChange(newest.steps)))
                    assert (await taken_over(heir)).failure is None

            change = await (move if made is MANY else merge)(heir, made)
            expected = moved(before, change) if made is MANY else merged(before, made)
            wire = Death(sandbox, moment, inherit)
            async with replica(sandbox, database, events, app=wire) as one:
                tool = "move_customers" if made is MANY else "apply_plan"
                begun = await carried_out(one, tool, change)
            died += wire.dead
            if made is MERGE:
                for now in seen:
                    check_nobody_is_lost(before, now, deleted=now is seen[-1])
            if begun is None:
                assert (moment, places(sandbox)) == (moment, before)
                continue
            status, outcomes = await heir.outcomes(begun)
            assert (moment, status, {*outcomes}) == (moment, "done", {"done"})
            assert (moment, places(sandbox)) == (moment, expected)
            assert sum(one.method == "DELETE" for one in sandbox.requests) == (made is not MANY)
            await check_undone(heir, begun, before, takes_out=reading == "replaces")
        if not wire.dead:
            break
    assert died > 12


async def carried_out(one: Replica, tool: str, change: PendingChange) -> str | None:
    """The id of the change that a replica began, however it ended."""
    try:
        async with one.begun(change, tool) as run:
            await run.carry_on()
    except Exception as error:
        assert type(error).__name__ == "Unavailable", error
        return None
    return run.lease.id


async def check_undone(one: Replica, change_id: str, before: Places, *, takes_out: bool) -> None:
    """Let a change be undone, and check that everybody is where they were, also in what has another id by now.

    Where the API takes nobody out, they stay in what they were put into, too.
    """
    async with one.serving(), one.served().client("2026-07-28", Person()) as client:
        undone = answer(await client.call_tool("undo_change", {"change_id": change_id}))
    assert undone["status"] == ("done" if takes_out else "stopped"), undone
    segments, statuses = (
        {place["id"]: place["name"] for place in known.values()}
        for known in (one.sandbox.account.segments, one.sandbox.account.statuses)
    )
    again = {number: 21 for number, name in segments.items() if name == "ВИП-клиенты"}
    anew = {number: 4740013 for number, name in statuses.items() if name == "Напомнить о помоле"}
    for who, (held, status) in places(one.sandbox).items():
        now = frozenset(again.get(place, place) for place in held)
        assert (now if takes_out else now - ({51} - before[who][0]), anew.get(status, status)) == before[who]


@pytest.mark.requirement("RUN-1", "CUSTOMER-4")
async def test_a_move_that_outlives_its_call_says_who_was_moved_by_then_and_goes_on(
    serving: Open, gate: Gate, sandbox: Sandbox
) -> None:
    lev, anton = 1299433, 1299435
    async with serving(app=gate, watch_seconds=0) as one, one.served().client("2026-07-28", Person()) as client:
        arguments = {"customer_ids": [lev, anton], "add_to": [51]}
        running = answer(await client.call_tool("move_customers", arguments))
        gate.opened.set()
        while (listed := answer(await client.call_tool("list_changes", {}))["changes"])[0]["status"] == "running":
            pass
    unknown, later = "It was sent, and what came of it is not known.", "Its turn has not come yet."
    assert running == {
        "moved": [],
        "not_moved": [{"id": lev, "reason": unknown}, {"id": anton, "reason": later}],
        "change_id": listed[0]["change_id"],
        "message": "It goes on without this call: list_changes shows when it has ended, and list_customers who is "
        "where.",
    }
    assert listed[0]["status"] == "done"
    assert all(51 in sandbox.account.customers[one]["segments"] for one in (lev, anton))
