"""A run is carried on by another replica from wherever it was left: nothing is lost, doubled or falsely told."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from amo_mcp.amocrm.errors import OutcomeUnknown
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.changes.execution import CreatedTwice, Execution, PartlyDone, Stopped
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.leases import Lease, LeaseLost
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import Create, Step, Update
from amo_mcp.failures.explain import explain
from amo_mcp.sandbox import Fault, Sandbox
from tests.journeys.lives import Interruption
from tests.runs.life import Open, Replica

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"


@pytest.fixture
async def one(open_replica: Open) -> Replica:
    replica: Replica = await open_replica()
    return replica


@pytest.fixture
async def dead(open_replica: Open) -> Replica:
    """A replica that is held up for longer than its leases last, whatever it does."""
    replica: Replica = await open_replica(seconds=0.0)
    return replica


async def taken_over(replica: Replica) -> Execution:
    """Claim the change that is free, and carry it on."""
    lease = await replica.store.claim()
    assert lease is not None
    executor = await replica.account.executor()
    async with executor.take_over(lease) as run:
        return await run.carry_on()


def writes(sandbox: Sandbox) -> list[str]:
    return [f"{item.method} {item.path.removeprefix(SEGMENTS)}" for item in sandbox.requests if item.method != "GET"]


def named(sandbox: Sandbox, name: str) -> list[int]:
    return [number for number, segment in sandbox.account.segments.items() if segment["name"] == name]


@pytest.mark.requirement("RUN-3")
async def test_a_plan_whose_process_died_before_it_sent_anything_is_carried_out_by_another_one(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
    execution = await taken_over(one)
    assert (execution.failure, execution.record.status) == (None, "done")
    assert await one.outcomes(lease) == ("done", ["done"] * 3)
    assert writes(sandbox) == ["PATCH /51", "POST ", "DELETE /66"]


ONE_STEP = ("update", "create", "delete")


async def step_of(replica: Replica, action: str) -> Step:
    return (await replica.steps())[ONE_STEP.index(action)]


async def make(replica: Replica, action: str) -> None:
    """What the step of that action does, done without the journal."""
    match action:
        case "update":
            await replica.client.update_segment(51, SegmentPatch(name="Лучшие"))
        case "create":
            await replica.client.create_segment(SegmentDraft(name="Гости"))
        case _:
            await replica.client.delete_segment(66)


@pytest.mark.parametrize("action", ONE_STEP)
@pytest.mark.requirement("RUN-3")
async def test_a_step_whose_request_had_arrived_when_its_process_died_is_done_and_not_sent_again(
    action: str, dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan([await step_of(dead, action)]))
    await make(dead, action)
    count = len(writes(sandbox))
    assert (await taken_over(one)).failure is None
    assert await one.outcomes(lease) == ("done", ["done"])
    assert len(writes(sandbox)) == count


@pytest.mark.parametrize("action", ONE_STEP)
async def test_a_single_change_whose_process_died_is_looked_up_and_never_sent_since_nobody_waits_for_it(
    action: str, dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(PendingChange((await step_of(dead, action),)), f"{action}_segment")
    assert isinstance((await taken_over(one)).failure, Stopped)
    assert await one.outcomes(lease) == ("failed", ["failed"])
    made = await dead.die_before_sending(PendingChange((await step_of(dead, action),)), f"{action}_segment")
    await make(dead, action)
    assert (await taken_over(one)).failure is None
    assert await one.outcomes(made) == ("done", ["done"])
    assert len(writes(sandbox)) == 1


async def test_a_step_of_which_the_account_does_not_tell_whether_it_was_made_ends_the_run(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
    sandbox.account.segments[51]["color"] = "ae003f"
    execution = await taken_over(one)
    assert isinstance(execution.failure, OutcomeUnknown)
    assert await one.outcomes(lease) == ("interrupted", ["unknown", "planned", "planned"])
    assert writes(sandbox) == []


@pytest.mark.requirement("RUN-3")
async def test_what_somebody_changed_while_nobody_carried_the_run_on_ends_it(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
    sandbox.account.segments[66]["name"] = "Чужое"
    execution = await taken_over(one)
    assert isinstance(execution.failure, TargetChanged)
    assert await one.outcomes(lease) == ("interrupted", ["done", "done", "planned"])
    state = await one.store.state(lease.id)
    assert state is not None
    assert state.reason is not None
    assert (state.reason["code"], state.reason["differences"][0]["settings"]) == ("TargetChanged", ["name"])


async def test_a_custom_field_that_was_defined_anew_meanwhile_ends_the_run(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    patch = SegmentPatch(custom_fields_values=[{"field_id": 272429, "values": [{"value": 20}]}])
    fields = tuple(field for field in await dead.client.segment_fields() if field.id == 272429)
    change = await dead.plan([Update(await dead.client.segment(51), patch)])
    await dead.die_before_sending(PendingChange(change.steps, fields, plan_id=change.plan_id))
    sandbox.account.fields[272429]["name"] = "Скидка, ₽"
    assert isinstance((await taken_over(one)).failure, TargetChanged)
    assert writes(sandbox) == []


async def test_an_account_that_cannot_be_read_at_the_taking_over_ends_the_run_with_its_step_still_to_be_found_out(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
    await one.account.executor()
    sandbox.faults.add(Fault("GET", times=0, status=403))
    await taken_over(one)
    assert await one.outcomes(lease) == ("interrupted", ["pending", "planned", "planned"])
    sandbox.faults.clear()
    [unsettled] = await one.account.journal.unsettled()
    assert unsettled.record.id == lease.id


@pytest.mark.requirement("RUN-3")
async def test_a_run_whose_server_stops_while_it_looks_up_the_last_step_is_free_and_is_not_told_as_done(
    dead: Replica, one: Replica, open_replica: Open, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan((await dead.steps())[:1]))
    claimed: Lease | None = None
    stopping: Replica = await open_replica(
        app=Interruption(sandbox.app, on_request=lambda: stopping.account.stop.request(60) if claimed else None)
    )
    executor = await stopping.account.executor()
    claimed = await stopping.store.claim()
    assert claimed is not None
    async with executor.take_over(claimed) as run:
        execution = await run.carry_on()
    assert isinstance(execution.failure, Stopped)
    assert await one.outcomes(lease) == ("running", ["pending"])
    assert (await taken_over(one)).failure is None
    assert await one.outcomes(lease) == ("done", ["done"])


@pytest.mark.requirement("RUN-2")
async def test_a_run_that_somebody_asked_to_stop_stops_before_its_next_step(
    dead: Replica, one: Replica, sandbox: Sandbox
) -> None:
    lease = await dead.die_before_sending(await dead.plan(await dead.steps()))
    await one.store.request_stop(lease.id)
    execution = await taken_over(one)
    assert isinstance(execution.failure, Stopped)
    assert execution.failure.asked
    assert await one.outcomes(lease) == ("interrupted", ["planned"] * 3)
    assert writes(sandbox) == []


@pytest.mark.requirement("RUN-3")
async def test_a_run_whose_server_stops_finishes_its_step_and_is_free_at_once(
    one: Replica, open_replica: Open, sandbox: Sandbox
) -> None:
    wire = Interruption(sandbox.app, on_write=lambda _: stopping.account.stop.request(60))
    stopping: Replica = await open_replica(app=wire)
    async with stopping.begun(await stopping.plan(await stopping.steps())) as run:
        execution = await run.carry_on()
    assert (execution.record.status, writes(sandbox)) == ("running", ["PATCH /51"])
    assert (await taken_over(one)).failure is None
    assert await one.outcomes(run.lease) == ("done", ["done"] * 3)
    assert writes(sandbox) == ["PATCH /51", "POST ", "DELETE /66"]


async def test_a_run_that_is_cancelled_between_two_steps_is_free_at_once(
    one: Replica, open_replica: Open, sandbox: Sandbox
) -> None:
    with anyio.CancelScope() as scope:
        cancelled: Replica = await open_replica(app=Interruption(sandbox.app, on_write=lambda _: scope.cancel()))
        async with cancelled.begun(await cancelled.plan(await cancelled.steps())) as run:
            await run.carry_on()
    assert scope.cancelled_caught
    assert (await taken_over(one)).failure is None
    assert await one.outcomes(run.lease) == ("done", ["done"] * 3)


async def test_a_step_that_is_not_answered_before_the_server_ends_is_left_to_who_takes_over_once_its_lease_is_over(
    one: Replica, open_replica: Open, sandbox: Sandbox
) -> None:
    async def never() -> None:
        ending.account.stop.request(0)
        await anyio.sleep_forever()

    ending: Replica = await open_replica(app=Interruption(sandbox.app, on_write=lambda _: never()), seconds=0.0)
    ending.store.seconds = 30.0
    async with ending.begun(await ending.plan(await ending.steps())) as run:
        execution = await run.carry_on()
    assert (execution.record.status, await one.store.claim()) == ("running", None)
    await one.store.give_back(run.lease)
    assert (await taken_over(one)).failure is None
    assert writes(sandbox) == ["PATCH /51", "POST ", "DELETE /66"]


class Pause:
    """The way to the sandbox of a process that is held up before its first write, after it was looked whether it may
    be sent; meanwhile `happens`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._app = sandbox.app
        self._faults = sandbox.faults
        self.happens: Callable[[], Any] | None = None

    def then(self, fault: Fault) -> None:
        """Let the write that was held up meet a fault."""
        before = self.happens
        assert before is not None

        async def happens() -> None:
            await before()
            self._faults.add(fault)

        self.happens = happens

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] != "GET" and self.happens is not None:
            happens, self.happens = self.happens, None
            await happens()
        await self._app(scope, receive, send)


@pytest.mark.requirement("RUN-4")
async def test_who_was_held_up_before_the_look_sends_nothing(dead: Replica, one: Replica, sandbox: Sandbox) -> None:
    async with dead.begun(await dead.plan(await dead.steps())) as run:
        await taken_over(one)
        execution = await run.carry_on()
    assert isinstance(execution.failure, LeaseLost)
    assert execution.record.status == "running"
    assert await one.outcomes(run.lease) == ("done", ["done"] * 3)
    assert writes(sandbox) == ["PATCH /51", "POST ", "DELETE /66"]


@pytest.fixture
async def held_up(open_replica: Open, sandbox: Sandbox, one: Replica) -> AsyncIterator[tuple[Replica, Pause]]:
    """A replica that is held up at its first write, so that its run is taken over and carried out meanwhile."""
    pause = Pause(sandbox)
    replica: Replica = await open_replica(app=pause)

    async def take_over() -> None:
        [(_, newest)] = await one.account.journal.changes(1)
        await one.store.give_back(Lease(newest, PendingChange(newest.steps)))
        assert (await taken_over(one)).failure is None

    pause.happens = take_over
    yield replica, pause


@pytest.mark.parametrize("action", ["update", "delete"])
@pytest.mark.requirement("RUN-4")
async def test_a_change_or_deletion_that_was_held_up_and_sent_twice_comes_to_the_same(
    action: str, held_up: tuple[Replica, Pause], one: Replica, sandbox: Sandbox
) -> None:
    replica, _ = held_up
    async with replica.begun(await replica.plan([await step_of(replica, action)])) as run:
        execution = await run.carry_on()
    assert isinstance(execution.failure, LeaseLost)
    assert await one.outcomes(run.lease) == ("done", ["done"])
    assert len(writes(sandbox)) == 2
    assert (named(sandbox, "Лучшие"), 66 in sandbox.account.segments) == (
        ([51], True) if action == "update" else ([], False)
    )


@pytest.mark.requirement("RUN-4")
async def test_a_creation_that_was_held_up_and_sent_twice_is_unknown_and_told_with_both_ids(
    held_up: tuple[Replica, Pause], one: Replica, sandbox: Sandbox
) -> None:
    replica, _ = held_up
    async with replica.begun(await replica.plan((await replica.steps())[1:2])) as run:
        assert isinstance((await run.carry_on()).failure, LeaseLost)
    both = named(sandbox, "Гости")
    assert len(both) == 2
    record = await one.account.journal.change(run.lease.id)
    assert record is not None
    [step] = record.steps
    assert isinstance(step, Create)
    assert (record.status, step.outcome, [step.target_id, *step.also]) == ("interrupted", "unknown", both)
    with pytest.raises(PartlyDone) as told:
        await one.runs.watch(run.lease.id, await one.account.profile.zone(), None)
    assert isinstance(told.value.failure, CreatedTwice)
    failure = explain(told.value)
    assert failure is not None
    assert failure.answer["error"] == {
        "code": "outcome_unknown",
        "message": "A server that was held up sent a creation again after another one had taken the change over. "
        "It was made, perhaps twice.",
        "retryable": False,
        "hint": "list_changes shows the change. Read its targets before anything is sent again.",
        "change_id": run.lease.id,
        "done": [],
        "not_done": [f"Create segment «Гости» (created twice, ids {both[0]}, {both[1]}): unknown"],
    }


@pytest.mark.requirement("RUN-4")
async def test_a_creation_that_was_held_up_and_whose_answer_was_lost_too_is_unknown_and_told_with_every_namesake(
    held_up: tuple[Replica, Pause], one: Replica, sandbox: Sandbox
) -> None:
    replica, pause = held_up
    pause.then(Fault("POST", drop="after"))
    async with replica.begun(await replica.plan((await replica.steps())[1:2])) as run:
        assert isinstance((await run.carry_on()).failure, LeaseLost)
    record = await one.account.journal.change(run.lease.id)
    assert record is not None
    [step] = record.steps
    assert isinstance(step, Create)
    assert (step.outcome, [step.target_id, *step.also]) == ("unknown", [*named(sandbox, "Гости"), None])


async def test_a_creation_that_was_refused_after_it_was_held_up_leaves_the_record_as_it_is(
    held_up: tuple[Replica, Pause], one: Replica, sandbox: Sandbox
) -> None:
    replica, pause = held_up
    pause.then(Fault("POST", status=400))
    async with replica.begun(await replica.plan((await replica.steps())[1:2])) as run:
        assert isinstance((await run.carry_on()).failure, LeaseLost)
    assert await one.outcomes(run.lease) == ("done", ["done"])


@pytest.mark.requirement("RUN-4")
async def test_nothing_is_sent_under_a_lease_that_cannot_be_renewed_in_time(one: Replica, sandbox: Sandbox) -> None:
    one.store.seconds = 19.0  # less than a request may take
    async with one.begun(await one.plan(await one.steps())) as run:
        execution = await run.carry_on()
    assert isinstance(execution.failure, JournalUnusable)
    assert (execution.record.status, writes(sandbox)) == ("running", [])


@pytest.mark.requirement("RUN-4")
@pytest.mark.parametrize("action", ONE_STEP)
@pytest.mark.parametrize("answered", [True, False])
async def test_a_single_change_that_was_held_up_and_made_after_all_is_recorded_as_done_and_told_as_far_as_it_is_known(
    answered: bool, action: str, held_up: tuple[Replica, Pause], one: Replica, sandbox: Sandbox
) -> None:
    """Another replica had found in the meantime that it was not made, and nobody sends a single change again."""
    replica, pause = held_up

    async def settle() -> None:
        [(_, newest)] = await one.account.journal.changes(1)
        await one.store.give_back(Lease(newest, PendingChange(newest.steps)))
        await taken_over(one)
        assert (await one.outcomes(newest.id))[0] == "failed"
        if not answered:
            sandbox.faults.add(Fault(status=504, after_effect=True))
            sandbox.faults.add(Fault("GET", status=403, times=3))

    pause.happens = settle
    change = PendingChange((await step_of(replica, action),))
    try:
        execution = await replica.account.execute(f"{action}_segment", change)
    except LeaseLost as lost:
        failure = explain(lost)
        assert failure is not None
        assert (answered, failure.code, failure.effect) == (
            *(False, "outcome_unknown", "It may or may not have been made."),
        )
        sandbox.faults.clear()
        expected = "interrupted", ["unknown"]
    else:
        assert (answered, execution.failure, len(execution.done)) == (True, None, 1)
        expected = "done", ["done"]
    [(_, newest)] = await one.account.journal.changes(1)
    assert (newest.status, [step.outcome for step in newest.steps]) == expected
