"""The contract of `PlanStore`, and of the journal that uses plans up, for every backend."""

from collections.abc import AsyncIterator

import anyio
import pytest

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.journal import Journal, UndoneMeanwhile
from amo_mcp.changes.leases import Lease
from amo_mcp.changes.plan import LIFETIME, Plan, PlanStore, PlanUsed
from amo_mcp.changes.records import ChangeStatus
from amo_mcp.changes.steps import Outcome
from tests.clock import Clock
from tests.storage.backends import Open, Opened
from tests.storage.examples import DONE, PENDING, RENAME, change_of, created, deleted

pytestmark = pytest.mark.anyio

GRIND = CustomField.model_validate(
    {"id": 7, "name": "Помол", "type": "select", "code": None, "enums": [{"id": 21, "value": "В зёрнах"}], "sort": 3}
)


@pytest.fixture
async def opened(open_backend: Open, clock: Clock) -> AsyncIterator[Opened]:
    opened = open_backend(clock=clock)
    yield opened
    await opened[0].close()


def plan_at(made: float, plan_id: str = "p1") -> Plan:
    return Plan(plan_id, made, "me", (RENAME, created(1, "A", outcome="planned"), deleted(outcome="planned")), (GRIND,))


async def begin(journal: Journal, plan_id: str = "p1") -> Lease:
    return await journal.begin("apply_plan", change_of([PENDING, RENAME], plan_id=plan_id))


async def found(plans: PlanStore, plan_id: str = "p1") -> bool:
    return await plans.plan(plan_id, "me") is not None


async def test_a_plan_is_found_whole_by_its_owner_alone(opened: Opened, clock: Clock) -> None:
    _, plans = opened
    plan = plan_at(clock.now)
    await plans.keep(plan)
    assert await plans.plan("p1", "me") == plan
    assert await plans.plan("p1", "you") is None
    for unknown in ("p2", "p1\0", ""):
        assert await plans.plan(unknown, "me") is None


@pytest.mark.requirement("PLAN-6")
async def test_a_plan_lives_for_an_hour(opened: Opened, clock: Clock) -> None:
    _, plans = opened
    await plans.keep(plan_at(clock.now))
    clock.now += LIFETIME - 1
    assert await found(plans)
    clock.now += 1
    assert not await found(plans)


async def test_a_plan_of_a_clock_that_was_far_ahead_is_dead(opened: Opened, clock: Clock) -> None:
    _, plans = opened
    await plans.keep(plan_at(clock.now + LIFETIME))
    assert not await found(plans)


async def test_plans_that_are_long_dead_are_forgotten(opened: Opened, clock: Clock) -> None:
    journal, plans = opened
    await plans.keep(plan_at(clock.now))
    clock.now += 2 * LIFETIME + 1
    await plans.keep(plan_at(clock.now, "p2"))
    with pytest.raises(PlanUsed):
        await begin(journal)
    await begin(journal, "p2")


@pytest.mark.requirement("PLAN-6")
@pytest.mark.parametrize(
    ("outcome", "status", "again"),
    [
        ("failed", "failed", True),
        ("done", "done", False),
        ("done", "failed", False),
        ("unknown", "interrupted", False),
    ],
)
async def test_a_plan_is_used_up_unless_nothing_came_of_it(
    outcome: Outcome, status: ChangeStatus, again: bool, opened: Opened, clock: Clock
) -> None:
    journal, plans = opened
    await plans.keep(plan_at(clock.now))
    lease = await begin(journal)
    assert not await found(plans)
    with pytest.raises(PlanUsed):
        await begin(journal)
    await journal.note(lease, {0: DONE if outcome == "done" else RENAME.with_outcome(outcome)}, status)
    assert await found(plans) == again
    assert len(await journal.changes(10)) == 1


@pytest.mark.parametrize(("outcome", "again"), [("failed", True), ("unknown", False)])
async def test_a_plan_whose_change_was_broken_off_can_be_applied_again_once_it_is_found_that_nothing_came_of_it(
    outcome: Outcome, again: bool, opened: Opened, clock: Clock
) -> None:
    journal, plans = opened
    await plans.keep(plan_at(clock.now))
    lease = await begin(journal)
    await journal.note(lease, {}, "interrupted")
    await journal.settle(lease.id, {0: RENAME.with_outcome(outcome)})
    assert await found(plans) == again


async def test_a_change_that_cannot_begin_does_not_use_its_plan_up(opened: Opened, clock: Clock) -> None:
    journal, plans = opened
    await plans.keep(plan_at(clock.now))
    with pytest.raises(UndoneMeanwhile):
        await journal.begin("undo_change", change_of([RENAME], undoes="c000000000000", plan_id="p1"))
    assert await found(plans)


async def test_of_ten_who_apply_a_plan_at_once_one_begins(opened: Opened, clock: Clock) -> None:
    journal, plans = opened
    await plans.keep(plan_at(clock.now))
    results: list[str] = []

    async def apply() -> None:
        try:
            await begin(journal)
        except PlanUsed:
            results.append("refused")
        else:
            results.append("begun")

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(apply)
    assert sorted(results) == ["begun", *["refused"] * 9]
