"""For how long the deletions of a change rely on one look through the customers."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from amo_mcp.changes.members import Member
from amo_mcp.changes.membership import read_crowd
from amo_mcp.changes.readings import MAX_LOOKS
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import Delete, Move, Step
from amo_mcp.reorganize.cost import Pace, cost_of
from amo_mcp.sandbox import Sandbox
from tests.changes.test_executor import Workshop, full_account, rename, workshop

pytestmark = pytest.mark.anyio

CUSTOMERS = "GET /api/v4/customers"
LOOK = [CUSTOMERS] * 2
"""The customers of the sandbox are on two pages."""

READ = "GET segments"


async def deletion(shop: Workshop, segment_id: int) -> Delete:
    return Delete(await shop.segment(segment_id), reads_members=True)


async def deletions(shop: Workshop, *segment_ids: int) -> list[Delete]:
    return [await deletion(shop, segment_id) for segment_id in segment_ids]


def requests(shop: Workshop) -> list[str]:
    """What amoCRM was asked for."""
    return [line for line in shop.log if line.split()[0] in ("GET", "PATCH", "DELETE")]


async def carried_out(shop: Workshop, steps: list[Step] | list[Delete]) -> list[str]:
    """What carrying out the steps asks amoCRM for."""
    shop.log.clear()
    assert (await shop.execute("apply_plan", steps)).failure is None
    return requests(shop)


async def recorded(shop: Workshop) -> dict[int, set[int]]:
    """Whom the newest change has recorded in each segment that it deleted."""
    steps = (await shop.newest()).steps
    return {step.before.id: {one.id for one in step.members or ()} for step in steps if isinstance(step, Delete)}


def members(sandbox: Sandbox, segment_id: int) -> set[int]:
    return {one["id"] for one in sandbox.account.customers.values() if segment_id in one["segments"]}


def leave(sandbox: Sandbox, segment_id: int) -> None:
    """Somebody takes one customer out of a segment."""
    sandbox.account.customers[min(members(sandbox, segment_id))]["segments"].remove(segment_id)
    sandbox.account.segments[segment_id]["customers_count"] -= 1


def enter(sandbox: Sandbox, segment_id: int) -> None:
    """Somebody puts one customer into a segment."""
    new = max(sandbox.account.customers.keys() - members(sandbox, segment_id))
    sandbox.account.customers[new]["segments"].append(segment_id)
    sandbox.account.segments[segment_id]["customers_count"] += 1


def after_the_first(do: Callable[[], object]) -> Callable[[int], None]:
    """What happens after the first write."""

    def happens(write: int) -> None:
        if write == 1:
            do()

    return happens


def after(line: str, times: int, do: Callable[[], object], shop: Workshop) -> Callable[[], None]:
    """What happens when the next request comes after so many of these; once."""
    done: list[object] = []

    def happens() -> None:
        if not done and shop.log.count(line) == times:
            done.append(do())

    return happens


@pytest.mark.requirement("CUSTOMER-9")
async def test_the_deletions_of_a_change_rely_on_one_look_and_each_records_everybody(sandbox: Sandbox) -> None:
    before = {number: members(sandbox, number) for number in (54, 60, 87)}
    async with workshop(sandbox) as shop:
        assert await carried_out(shop, await deletions(shop, *before)) == [
            *LOOK,
            *[READ, "DELETE segments/54"],
            *[READ, "DELETE segments/60"],
            *[READ, "DELETE segments/87"],
        ]
        assert await recorded(shop) == before


@pytest.mark.requirement("CUSTOMER-9")
async def test_a_deletion_looks_again_where_somebody_left_its_segment_since_the_last_look(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        shop.on_write = after_the_first(lambda: leave(sandbox, 60))
        steps, left = await deletions(shop, 54, 60, 87), members(sandbox, 60) - {min(members(sandbox, 60))}
        assert await carried_out(shop, steps) == [
            *[*LOOK, READ, "DELETE segments/54"],
            *[READ, *LOOK, READ, "DELETE segments/60"],
            *[READ, "DELETE segments/87"],
        ]
        assert (await recorded(shop))[60] == left


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize(("seconds", "looks"), [(8.0, 0), (8.1, 2)])
async def test_a_deletion_looks_again_when_the_last_look_is_more_than_eight_seconds_old(
    seconds: float, looks: int, sandbox: Sandbox
) -> None:
    """One customer has come for another, so the count is the same."""
    before, now = members(sandbox, 60), set[int]()

    def swap() -> None:
        shop.monotonic.now += seconds
        leave(sandbox, 60)
        enter(sandbox, 60)
        now.update(members(sandbox, 60))

    async with workshop(sandbox) as shop:
        shop.on_write = after_the_first(swap)
        asked = await carried_out(shop, await deletions(shop, 54, 60))
        found = (await recorded(shop))[60]
    assert asked == [*LOOK, READ, "DELETE segments/54", *LOOK[:looks], READ, "DELETE segments/60"]
    assert found == (now if looks else before)


@pytest.mark.requirement("CUSTOMER-9")
async def test_a_look_that_has_grown_old_while_the_account_was_read_is_not_relied_on(sandbox: Sandbox) -> None:
    def pass_time() -> None:
        shop.monotonic.now += 9
        leave(sandbox, 60)
        enter(sandbox, 60)

    async with workshop(sandbox) as shop:
        steps = await deletions(shop, 54, 60)
        shop.wire.on_request = after("DELETE segments/54", 1, pass_time, shop)
        asked = await carried_out(shop, steps)
        found = (await recorded(shop))[60]
    assert asked == [*LOOK, READ, "DELETE segments/54", READ, *LOOK, READ, "DELETE segments/60"]
    assert len(found - members(sandbox, 60)) == len(found)


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize("count", [None, 40])
async def test_where_the_account_counts_otherwise_than_it_lists_every_deletion_looks(
    count: int | None, sandbox: Sandbox
) -> None:
    before = {number: members(sandbox, number) for number in (54, 60, 87)}
    for number in before:
        sandbox.account.segments[number]["customers_count"] = count
    async with workshop(sandbox) as shop:
        crowd, steps = await read_crowd(shop.client), await deletions(shop, *before)
        asked = await carried_out(shop, steps)
        assert await recorded(shop) == before
    assert asked == [
        *[*LOOK, READ, "DELETE segments/54"],
        *[READ, *LOOK, READ, "DELETE segments/60"],
        *[READ, *LOOK, READ, "DELETE segments/87"],
    ]
    assert cost_of(steps, Pace(10**6), crowd)[0] == 1 + len(asked)


@pytest.mark.requirement("CUSTOMER-9")
async def test_a_count_that_becomes_by_a_leave_what_was_found_does_not_hide_that_leave(sandbox: Sandbox) -> None:
    sandbox.account.segments[60]["customers_count"] += 1
    async with workshop(sandbox) as shop:
        shop.on_write = after_the_first(lambda: leave(sandbox, 60))
        steps, left = await deletions(shop, 54, 60), members(sandbox, 60) - {min(members(sandbox, 60))}
        await carried_out(shop, steps)
        assert (await recorded(shop))[60] == left


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize("first", [54, 60])
async def test_a_customer_who_comes_to_another_page_during_a_look_is_not_lost(first: int, sandbox: Sandbox) -> None:
    """Somebody on the first page is deleted: the others move up, and one of them is on no page that is read."""
    account = sandbox.account
    customers = [*account.customers]
    for one in account.customers.values():
        one["segments"] = [number for number in one["segments"] if number != 60]
    for member in (customers[0], customers[250]):
        account.customers[member]["segments"].append(60)
    account.segments[60]["customers_count"] = 2

    def delete_customer() -> None:
        del account.customers[customers[0]]
        account.segments[60]["customers_count"] -= 1

    async with workshop(sandbox) as shop:
        steps = await deletions(shop, first, 54 + 60 - first)
        shop.wire.on_request = after(CUSTOMERS, 1, delete_customer, shop)
        await carried_out(shop, steps)
        assert (await recorded(shop))[60] == {customers[250]}


@pytest.mark.requirement("CUSTOMER-9")
async def test_a_segment_whose_count_changes_all_the_time_is_looked_through_three_times_and_then_deleted(
    sandbox: Sandbox,
) -> None:
    async with workshop(sandbox) as shop:
        steps = await deletions(shop, 75)
        shop.wire.on_request = lambda: leave(sandbox, 75)
        asked = await carried_out(shop, steps)
    assert asked == [*[*LOOK, "GET segments/75"] * MAX_LOOKS, "DELETE segments/75"]


@pytest.mark.requirement("CUSTOMER-9")
async def test_a_segment_that_is_gone_at_the_second_look_is_told_as_gone(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        steps = await deletions(shop, 54, 60)
        shop.on_write = after_the_first(lambda: sandbox.account.segments.pop(60))
        shop.log.clear()
        failure = (await shop.execute("apply_plan", steps)).failure
        asked = requests(shop)
    assert isinstance(failure, TargetChanged)
    assert [one.now for one in failure.differences] == [None]
    assert asked == [*LOOK, READ, "DELETE segments/54", READ, *LOOK, READ]


@pytest.mark.requirement("CUSTOMER-9")
async def test_where_a_second_look_cannot_tell_everybody_the_segment_is_kept(sandbox: Sandbox) -> None:
    def spoil() -> None:
        leave(sandbox, 60)
        sandbox.account.customers[min(members(sandbox, 75))]["segments"] = "many"

    async with workshop(sandbox) as shop:
        shop.on_write = after_the_first(spoil)
        failure = (await shop.execute("apply_plan", await deletions(shop, 54, 60))).failure
    assert str(failure) == (
        "The customers of the segment «Постояные покупатели» cannot all be read any more, so it is kept."
    )
    assert 60 in sandbox.account.segments


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize(("seconds", "reads"), [(0.0, 0), (3.0, 1)])
async def test_a_deletion_after_a_move_looks_again_and_after_another_step_it_does_not(
    seconds: float, reads: int, sandbox: Sandbox
) -> None:
    """Also where the account was read right before the move, as it was not for three seconds."""

    def pass_time(write: int) -> None:
        shop.monotonic.now += seconds if write == 3 else 0.0

    before = members(sandbox, 60)
    customer = min(before)
    async with workshop(sandbox) as shop:
        one = Member.of(await shop.client.customer(customer))
        vip, other = await shop.segment(51), await shop.segment(60)
        nobody = Move("segment", (), (vip,), (other,))
        steps: list[Step] = [
            await deletion(shop, 54),
            await rename(shop, 63, "А"),
            nobody,
            await deletion(shop, 87),
            replace(nobody, customers=(one,)),
            await deletion(shop, 60),
        ]
        shop.on_write = pass_time
        asked = await carried_out(shop, steps)
        found = (await recorded(shop))[60]
    assert asked == [
        f"GET {customer}",
        *[*LOOK, READ, "DELETE segments/54"],
        "PATCH segments/63",
        *[READ, "DELETE segments/87"],
        *[*[READ] * reads, f"GET {customer}", "PATCH /api/v4/customers", f"GET {customer}"],
        *[READ, *LOOK, READ, "DELETE segments/60"],
    ]
    assert found == before - {customer}


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize(("count", "looks"), [(1, 1), (2, 1), (26, 1), (40, 2), (100, 4)])
async def test_a_plan_of_deletions_looks_once_in_eight_seconds_and_costs_what_it_says(count: int, looks: int) -> None:
    async with full_account(0.143) as shop:
        for number, segment in shop.sandbox.account.segments.items():
            segment["customers_count"] = len(members(shop.sandbox, number))
        crowd = await read_crowd(shop.client)
        steps = await deletions(shop, *range(1, count + 1))
        asked = await carried_out(shop, steps)
    assert asked.count(CUSTOMERS) == 2 * looks
    assert cost_of(steps, Pace(10**6, 0.143), crowd)[0] == 1 + len(asked)
