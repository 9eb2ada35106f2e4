"""A run does not live in its call: the call watches it, another call watches on, and whoever asked can stop it."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable
from amo_mcp.changes.leases import Asked, Lease, RunState
from amo_mcp.changes.pending import PendingChange
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.postgres.database import Database
from tests.conftest import Person, answer, error
from tests.journeys.lives import Interruption
from tests.runs.life import ASKED, Gate, Open, Replica, replica

pytestmark = pytest.mark.anyio

CHANGES = [
    {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"},
    {"action": "create", "kind": "segment", "name": "Гости"},
    {"action": "delete", "kind": "segment", "id": 66},
]
ERA = "2026-07-28"
GOES_ON = "It goes on without this call. Call again with the same arguments to wait for its end."
RENAMED, CREATED = "Change segment «VIP» (id 51)", "Create segment «Гости» (id 96)"
DELETED = "Delete segment «новички» (id 66)"
DONE = [RENAMED.replace("VIP", "VIP"), CREATED, DELETED]


async def planned(client: Any) -> str:
    return str(answer(await client.call_tool("plan_changes", {"changes": CHANGES}))["plan_id"])


@pytest.mark.requirement("RUN-1")
async def test_a_run_that_ends_in_time_is_answered_like_any_plan_with_its_progress(
    serving: Open, sandbox: Sandbox
) -> None:
    told: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, _: str | None) -> None:
        told.append((done, total))

    async with serving() as one, one.served().client(ERA, Person()) as client:
        plan_id = await planned(client)
        applied = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}, progress_callback=progress))
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
        again = error(await client.call_tool("apply_plan", {"plan_id": plan_id}))
    assert applied == {"change_id": change["change_id"], "status": "done", "done": DONE}
    assert (change["status"], change["tool"]) == ("done", "apply_plan")
    assert again["code"] == "not_found"
    assert told == sorted(told)
    assert {total for _, total in told} == {3}


@pytest.mark.requirement("RUN-1")
async def test_a_call_answers_that_the_run_goes_on_and_the_same_call_anywhere_watches_on_and_is_told_the_end_once(
    serving: Open, gate: Gate
) -> None:
    person = Person()
    async with (
        serving(app=gate, watch_seconds=0) as one,
        serving() as other,
        one.served().client(ERA, person) as client,
        other.served().client(ERA, person) as elsewhere,
    ):
        plan_id = await planned(client)
        running = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
        again = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
        [listed] = answer(await elsewhere.call_tool("list_changes", {}))["changes"]
        gate.opened.set()
        told = answer(await elsewhere.call_tool("apply_plan", {"plan_id": plan_id}))
        over = error(await elsewhere.call_tool("apply_plan", {"plan_id": plan_id}))
    change_id = running["change_id"]
    assert running == again == {"change_id": change_id, "status": "running", "done": [], "message": GOES_ON}
    assert (listed["change_id"], listed["status"]) == (change_id, "running")
    assert told == {"change_id": change_id, "status": "done", "done": DONE}
    assert (over["code"], len(person.asked)) == ("not_found", 1)


@pytest.mark.requirement("RUN-1", "PLAN-6")
async def test_of_several_yeses_to_one_plan_at_once_one_begins_it_and_all_are_told_what_came_of_it(
    serving: Open, sandbox: Sandbox
) -> None:
    asked, answers = 0, list[Any]()
    all_asked = anyio.Event()

    async def say_yes(context: Any, params: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            all_asked.set()
        await all_asked.wait()
        return await Person()(context, params)

    async def apply(client: Any, plan_id: str) -> None:
        answers.append(answer(await client.call_tool("apply_plan", {"plan_id": plan_id})))

    async with (
        serving() as one,
        serving() as other,
        one.served().client(ERA, say_yes) as client,
        other.served().client(ERA, say_yes) as elsewhere,
    ):
        plan_id = await planned(client)
        async with anyio.create_task_group() as group:
            for caller in (client, client, elsewhere):
                group.start_soon(apply, caller, plan_id)
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
    assert answers == [{"change_id": change["change_id"], "status": "done", "done": DONE}] * 3
    assert len([one for one in sandbox.requests if one.method != "GET"]) == 3


@pytest.mark.requirement("RUN-1")
async def test_a_run_goes_on_when_the_client_that_asked_for_it_has_gone(
    serving: Open, gate: Gate, sandbox: Sandbox
) -> None:
    async with serving(app=gate) as one, one.served().client(ERA, Person()) as client:
        plan_id = await planned(client)
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "apply_plan", {"plan_id": plan_id})
            await gate.arrived.wait()
            group.cancel_scope.cancel()
        gate.opened.set()
        told = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
    assert (told["status"], told["done"]) == ("done", DONE)


@pytest.mark.requirement("RUN-1")
async def test_an_undo_of_several_steps_is_watched_on_by_the_same_call(serving: Open, gate: Gate) -> None:
    async with (
        serving() as one,
        serving(app=gate, watch_seconds=0) as slow,
        one.served().client(ERA, Person()) as client,
        slow.served().client(ERA, Person()) as elsewhere,
    ):
        change_id = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))["change_id"]
        running = answer(await elsewhere.call_tool("undo_change", {"change_id": change_id}))
        gate.opened.set()
        told = answer(await client.call_tool("undo_change", {"change_id": change_id}))
        over = error(await client.call_tool("undo_change", {"change_id": change_id}))
    assert (running["status"], running["not_restored"]) == ("running", told["not_restored"])
    assert (told["status"], len(told["done"]), over["code"]) == ("done", 3, "conflict")


@pytest.mark.requirement("RUN-2")
async def test_a_run_that_is_asked_to_stop_stops_between_two_steps_and_says_what_was_done(
    serving: Open, gate: Gate
) -> None:
    async with (
        serving(app=gate, watch_seconds=0) as one,
        serving() as other,
        one.served().client(ERA, Person()) as client,
        other.served().client(ERA, Person()) as elsewhere,
    ):
        plan_id = await planned(client)
        change_id = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))["change_id"]
        await other.runs.request_stop(change_id)
        gate.opened.set()
        told = answer(await elsewhere.call_tool("apply_plan", {"plan_id": plan_id}))
    assert told == {
        "change_id": change_id,
        "status": "stopped",
        "done": DONE[:1],
        "not_done": ["Create segment «Гости»: planned", f"{DELETED}: planned"],
        "reason": "declined",
        "message": "It stopped there: A person stopped it before this step. That step changed nothing. "
        "What was done stays; undo_change takes it back, plan the rest anew.",
    }


@pytest.mark.requirement("RUN-3")
async def test_a_run_whose_replica_ends_is_carried_on_by_another_one_at_once(serving: Open, sandbox: Sandbox) -> None:
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serving())
        wire = Interruption(sandbox.app, on_write=lambda _: ending.account.stop.request(60))
        ending = await stack.enter_async_context(serving(app=wire))
        client = await stack.enter_async_context(ending.served().client(ERA, Person()))
        elsewhere = await stack.enter_async_context(other.served().client(ERA, Person()))
        plan_id = await planned(client)
        running = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
        told = answer(await elsewhere.call_tool("apply_plan", {"plan_id": plan_id}))
    assert (running["status"], running["message"]) == ("running", GOES_ON)
    assert told == {"change_id": running["change_id"], "status": "done", "done": DONE}


@pytest.mark.requirement("RUN-3")
async def test_a_run_of_a_replica_that_died_is_found_and_carried_on(
    serving: Open, sandbox: Sandbox, database: Database
) -> None:
    async with serving() as other, replica(sandbox, database, MemoryChangeEvents(), seconds=0.0) as dead:
        lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
        await ended(other, lease)
    assert await other.outcomes(lease) == ("done", ["done"] * 3)


@pytest.mark.requirement("RUN-3")
async def test_a_run_waits_while_the_account_cannot_be_read(
    serving: Open, sandbox: Sandbox, database: Database
) -> None:
    async with serving() as other, replica(sandbox, database, MemoryChangeEvents(), seconds=0.0) as dead:
        lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
        sandbox.faults.add(Fault("GET", "/api/v4/account", times=5, status=503))
        await ended(other, lease)
    assert await other.outcomes(lease) == ("done", ["done"] * 3)


@pytest.mark.requirement("RUN-3")
async def test_a_run_that_waits_for_amocrm_keeps_its_lease(serving: Open, gate: Gate) -> None:
    async with (
        serving(app=gate, seconds=0.3, timeout=0.1, watch_seconds=0) as one,
        serving() as other,
        one.served().client(ERA, Person()) as client,
    ):
        plan_id = await planned(client)
        change_id = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))["change_id"]
        lasts = anyio.current_time() + 3 * one.store.seconds
        while anyio.current_time() < lasts:
            assert await other.store.claim() is None
        gate.opened.set()
        await ended(other, change_id)
    assert await other.outcomes(change_id) == ("done", ["done"] * 3)


async def test_a_run_that_fails_unexpectedly_ends_interrupted_and_nobody_takes_it_over(
    serving: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("amo_mcp.changes.run.deliver", broken)
    async with serving(watch_seconds=0) as one, serving() as other:
        executor = await one.account.executor()
        change_id = await one.runs.begin(executor, "apply_plan", await one.plan(await one.steps()), ASKED)
        await ended(other, change_id)
        assert await other.store.claim() is None
    assert await other.outcomes(change_id) == ("interrupted", ["pending", "planned", "planned"])
    assert f"The run {change_id} failed unexpectedly: ZeroDivisionError" in caplog.messages


async def test_a_run_that_ended_without_a_reason_and_has_steps_left_is_not_told_as_done(
    serving: Open, database: Database
) -> None:
    async with serving() as one, one.served().client(ERA, Person()) as client:
        plan_id = await planned(client)
        plan = PendingChange(tuple(step.with_outcome("planned") for step in await one.steps()), plan_id=plan_id)
        [(owner,)] = await database.fetch("SELECT owner FROM plans")
        lease = await one.account.journal.begin("apply_plan", plan, Asked(owner))
        await one.account.journal.note(lease, {0: plan.steps[0].with_outcome("done")}, "interrupted")
        told = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
    assert (told["status"], told["reason"], len(told["done"]), len(told["not_done"])) == (
        "stopped",
        "unavailable",
        1,
        2,
    )


async def test_a_run_that_is_in_no_journal_cannot_be_watched(serving: Open) -> None:
    async with serving() as one:
        with pytest.raises(JournalUnusable, match="the change is not in it any more"):
            await one.runs.watch("c000000000000", await one.account.profile.zone(), None)


async def test_a_call_that_watches_while_the_database_is_away_answers_how_far_the_run_was(
    serving: Open, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(app=gate, watch_seconds=1.2) as one, one.served().client(ERA, Person()) as client:
        plan_id = await planned(client)
        state, looks = one.store.state, 0

        async def away(change_id: str) -> RunState | None:
            nonlocal looks
            looks += 1
            if looks > 1:
                raise StorageUnavailable("away")
            found: RunState | None = await state(change_id)
            return found

        monkeypatch.setattr(one.store, "state", away)
        running = answer(await client.call_tool("apply_plan", {"plan_id": plan_id}))
        gate.opened.set()
    assert (running["status"], looks > 1) == ("running", True)


async def ended(replica: Replica, lease: Lease | str) -> None:
    """Wait until a change is not running any more."""
    with anyio.fail_after(20):
        while (await replica.outcomes(lease))[0] == "running":
            await anyio.lowlevel.checkpoint()
