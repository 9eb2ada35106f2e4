"""Where the statuses stand: put back exactly by an undo where the API allows it, and told where it does not."""

from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.api import statuses
from tests.conftest import Person, Serve, answer, error
from tests.journeys.test_concurrent_edits import moves
from tests.journeys.test_plans import NOTHING, STATUSES, apply, plan

pytestmark = pytest.mark.anyio

IGNORED = "accepted the new position, and left the status where it was"
BACK = "comes back with a new id and without its conditions."
UNSURE = "the position may be another one."


@pytest.fixture
def names(periodicity: Sandbox) -> Callable[[], list[str]]:
    """The names of the statuses by position, A to G at first; none of them is a system status."""
    periodicity.account.customers.clear()
    for position, status in enumerate(statuses.ordered(periodicity.account)):
        status.update(name="ABCDEFG"[position], color="#fff000", is_default=False)
    return lambda: [status["name"] for status in statuses.ordered(periodicity.account)]


def status_id(sandbox: Sandbox, name: str) -> int:
    return next(one for one, status in sandbox.account.statuses.items() if status["name"] == name)


def deletion(sandbox: Sandbox, name: str) -> dict[str, Any]:
    return {"action": "delete", "kind": "status", "id": status_id(sandbox, name)}


def move(sandbox: Sandbox, name: str, position: int) -> dict[str, Any]:
    return {"action": "update", "kind": "status", "id": status_id(sandbox, name), "sort": position}


def planned(sandbox: Sandbox, changes: str) -> list[dict[str, Any]]:
    """`-B` deletes, `+X3` creates at a position, `C0` moves to one."""
    made = []
    for change in changes.split():
        if change[0] == "-":
            made.append(deletion(sandbox, change[1]))
        elif change[0] == "+":
            made.append({"action": "create", "kind": "status", "name": change[1], "sort": int(change[2])})
        else:
            made.append(move(sandbox, change[0], int(change[1])))
    return made


async def carried_out(client: Client, changes: list[dict[str, Any]]) -> str:
    applied = answer(await apply(client, await plan(client, changes)))
    assert applied["status"] == "done", applied
    return str(applied["change_id"])


async def undone(client: Client, change_id: str) -> dict[str, Any]:
    return answer(await client.call_tool("undo_change", {"change_id": change_id}))


@pytest.mark.requirement("UNDO-1", "UNDO-2")
@pytest.mark.parametrize("reading", ["after", "before"])
@pytest.mark.parametrize(
    "changes",
    [
        "-C -D",
        "-D -C",
        "-A -B",
        "-B -A",
        "-F -G",
        "-A -G -D",
        "-A -B -C -D -E -F",
        "-C D0 -E",
        "F1 -B A4 -C",
        "-B +X1 -C",
    ],
)
async def test_deleted_statuses_come_back_in_the_old_order_however_the_account_counts(
    changes: str, reading: Any, era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    periodicity.unknowns.taken_position = reading
    before = names()
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        change_id = await carried_out(client, planned(periodicity, changes))
        assert names() != before
        answered = await undone(client, change_id)
    assert names() == before
    assert answered["status"] == "done"
    assert not [sentence for sentence in answered["not_restored"] if not sentence.endswith(BACK)]


@pytest.mark.requirement("UNDO-1", "UNDO-2")
@pytest.mark.parametrize("reading", ["after", "before"])
async def test_deletions_of_neighbours_that_are_taken_back_one_by_one_from_the_last_on_restore_the_order(
    reading: Any, era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    periodicity.unknowns.taken_position = reading
    before, changes = names(), []
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        for name in "BCD":
            deleted = await client.call_tool("delete_status", {"status_id": status_id(periodicity, name)})
            changes.append(answer(deleted)["change_id"])
        for change_id in reversed(changes):
            answered = await undone(client, change_id)
            assert not [sentence for sentence in answered["not_restored"] if sentence.endswith(UNSURE)]
    assert names() == before


@pytest.mark.requirement("UNDO-2")
async def test_a_status_whose_old_place_has_become_two_may_stand_in_the_other_one_and_that_is_told(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    changes = []
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        for name in "BC":
            deleted = await client.call_tool("delete_status", {"status_id": status_id(periodicity, name)})
            changes.append(answer(deleted))
        first, second = [await undone(client, change["change_id"]) for change in changes]
    told = [f"status «{change['deleted']['name']}» (id {change['deleted']['id']})" for change in changes]
    assert first["not_restored"] == [f"{told[0]} {BACK}"]
    assert second["not_restored"] == [f"{told[1]} {BACK}", f"{told[1]}: {UNSURE}"]
    assert sorted(names()) == [*"ABCDEFG"]


@pytest.mark.requirement("UNDO-2")
@pytest.mark.parametrize("fault", [None, Fault("PATCH", status=400)])
async def test_a_status_that_came_back_elsewhere_and_cannot_be_moved_is_told(
    fault: Fault | None, era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    periodicity.unknowns.taken_position = "before"
    periodicity.unknowns.status_moves = fault is not None
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        change_id = await carried_out(client, planned(periodicity, "-C"))
        if fault is not None:
            periodicity.faults.add(fault)
        answered = await undone(client, change_id)
    assert names() == [*"ACBDEFG"]
    back = status_id(periodicity, "C")
    assert (answered["status"], answered["not_restored"][1:]) == ("done", [f"status «C» (id {back}): {UNSURE}"])


@pytest.mark.requirement("UNDO-2")
async def test_where_the_neighbours_have_changed_places_a_status_comes_back_at_its_old_number_and_that_is_told(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        change_id = await carried_out(client, planned(periodicity, "-C"))
        moves(periodicity, status_id(periodicity, "D"), 0)()
        answered = await undone(client, change_id)
    assert names() == [*"DABCEFG"]
    assert [sentence.endswith(UNSURE) for sentence in answered["not_restored"]] == [False, True]


@pytest.mark.requirement("UNDO-2")
async def test_a_neighbour_that_goes_between_the_question_and_the_undo_leaves_the_position_unsure(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    def meanwhile(question: str) -> str:
        if question.count("Create status"):
            statuses.delete(periodicity.account, status_id(periodicity, "B"))
        return "yes"

    async with serve(periodicity) as served, served.client(era, Person(meanwhile)) as client:
        change_id = await carried_out(client, planned(periodicity, "-C"))
        answered = await undone(client, change_id)
    assert names() == [*"ADECFG"]
    back = status_id(periodicity, "C")
    assert answered["not_restored"][-1] == f"status «C» (id {back}): {UNSURE}"


@pytest.mark.requirement("TOOL-9", "ERROR-8")
async def test_a_move_that_amocrm_answers_and_does_not_make_is_told_as_not_made(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    periodicity.unknowns.status_moves = False
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        moved = error(await client.call_tool("update_status", {"status_id": status_id(periodicity, "B"), "sort": 4}))
        stays = answer(await client.call_tool("update_status", {"status_id": status_id(periodicity, "G"), "sort": 99}))
        applied = error(await apply(client, await plan(client, planned(periodicity, "B4 -C"))))
        listed = answer(await client.call_tool("list_changes", {}))["changes"]
    assert (moved["code"], moved["message"]) == ("unavailable", f"amoCRM {IGNORED}. {NOTHING}")
    assert (stays["after"]["sort"], "differences" in stays) == (6, False)
    assert (applied["code"], applied["message"]) == ("unavailable", f"amoCRM {IGNORED}. {NOTHING}")
    assert [change["status"] for change in listed] == ["failed", "done", "failed"]
    assert names() == [*"ABCDEFG"]


@pytest.mark.requirement("TOOL-9", "PLAN-4")
async def test_of_a_change_that_amocrm_makes_but_for_the_position_that_is_told(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    periodicity.unknowns.status_moves = False
    two, three = (status_id(periodicity, name) for name in "BC")
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        changed = answer(await client.call_tool("update_status", {"status_id": two, "name": "Я", "sort": 4}))
        change = {"action": "update", "kind": "status", "id": three, "name": "Ю", "sort": 0}
        applied = answer(await apply(client, await plan(client, [change])))
    assert (changed["after"]["name"], changed["after"]["sort"]) == ("Я", 1)
    assert changed["differences"] == [f"status «B» (id {two}): position was to become 4 and is 1."]
    assert applied["differences"] == [f"status «C» (id {three}): position was to become 0 and is 2."]
    assert (applied["status"], names()) == ("done", [*"AЯЮDEFG"])


async def test_a_move_is_told_as_it_was_read_back_and_not_as_it_was_answered(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    two = status_id(periodicity, "B")
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        answered = answer(await client.call_tool("update_status", {"status_id": two, "sort": 100}))
    assert names() == [*"ACDEFGB"]
    assert (answered["after"]["sort"], "differences" in answered) == (6, False)
    assert served.requests() == [*[f"GET {STATUSES}"] * 2, f"PATCH {STATUSES}/{two}", f"GET {STATUSES}"]


@pytest.mark.requirement("UNDO-3")
async def test_a_created_status_that_somebody_only_moved_is_not_deleted_by_an_undo(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        created = answer(await client.call_tool("create_statuses", {"statuses": [{"name": "X", "sort": 1}]}))
        new = created["statuses"][0]["id"]
        moves(periodicity, new, 5)()
        refused = error(await client.call_tool("undo_change", {"change_id": created["change_id"]}))
        assert names() == [*"ABCDEXFG"]
        moves(periodicity, new, 2)()
        answered = await undone(client, created["change_id"])
    assert (refused["code"], refused["differences"]) == (
        "conflict",
        [f"status «X» (id {new}): position was set to after «B» and before «C» and is now after «E» and before «F»."],
    )
    assert answered["done"] == [f"Delete status «X» (id {new})"]
    assert names() == [*"ABCDEFG"]


@pytest.mark.requirement("UNDO-3")
async def test_a_created_status_around_which_others_were_moved_is_deleted_by_an_undo(
    era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        created = answer(await client.call_tool("create_statuses", {"statuses": [{"name": "X", "sort": 1}]}))
        moves(periodicity, status_id(periodicity, "B"), 7)()
        moves(periodicity, status_id(periodicity, "F"), 0)()
        assert names() == [*"FAXCDEGB"]
        await undone(client, created["change_id"])
    assert names() == [*"FACDEGB"]


@pytest.mark.requirement("CONFIRM-11", "UNDO-3")
@pytest.mark.parametrize("tool", ["undo_change", "delete_status"])
async def test_a_status_that_somebody_moves_while_a_person_reads_that_it_will_be_deleted_stays(
    tool: str, era: str, periodicity: Sandbox, names: Callable[[], list[str]], serve: Serve
) -> None:
    def meanwhile(_: str) -> str:
        moves(periodicity, status_id(periodicity, "X"), 5)()
        return "yes"

    async with serve(periodicity) as served, served.client(era, Person(meanwhile)) as client:
        created = answer(await client.call_tool("create_statuses", {"statuses": [{"name": "X", "sort": 1}]}))
        new = created["statuses"][0]["id"]
        arguments = {"status_id": new} if tool == "delete_status" else {"change_id": created["change_id"]}
        refused = error(await client.call_tool(tool, arguments))
    assert (refused["code"], refused["differences"]) == (
        "target_changed",
        [f"status «X» (id {new}): position was after «B» and before «C» and is now after «E» and before «F»."],
    )
    assert names() == [*"ABCDEXFG"]
