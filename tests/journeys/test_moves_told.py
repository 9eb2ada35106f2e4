"""What is told of moves is what came of them: how many, of whom, and what stands in the way of the rest."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from amo_mcp.sandbox import Rule, Sandbox
from amo_mcp.tools.runtime.fitting import MAX_ANSWER_BYTES, bytes_of
from tests.conftest import Person, Serve, answer
from tests.journeys.lives import serving
from tests.journeys.test_merges import MERGE, applied
from tests.journeys.test_moves import ANTON, LEV, YURI, moved, segments_of
from tests.storage.backends import open_memory

pytestmark = pytest.mark.anyio

RENAME = {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"}


class Leaving:
    """The way to an account that customers leave right before a write arrives, of those that there are from one on."""

    def __init__(self, sandbox: Sandbox, customer_id: int, *, skip: int) -> None:
        self._sandbox, self._app, self._customer_id, self._skip = sandbox, sandbox.app, customer_id, skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "PATCH":
            if not self._skip:
                self._sandbox.account.customers.pop(self._customer_id, None)
            self._skip -= 1
        await self._app(scope, receive, send)


@pytest.mark.requirement("CUSTOMER-4")
@pytest.mark.parametrize(("ids", "skip", "gone"), [([LEV], 0, LEV), ([LEV, ANTON, YURI], 1, ANTON)])
async def test_who_is_deleted_right_before_the_write_is_told_as_gone(
    ids: list[int], skip: int, gone: int, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.app = Leaving(sandbox, gone, skip=skip)
    answered = await moved(serve, sandbox, customer_ids=ids, add_to=[51])
    assert answered["moved"] == [one for one in ids if one != gone]
    assert answered["not_moved"] == [{"id": gone, "reason": "It is no longer in the account."}]


@pytest.mark.requirement("CUSTOMER-4", "CUSTOMER-5")
async def test_one_who_is_put_in_and_not_taken_out_is_told_as_that_and_not_as_moved(
    sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = "adds"
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        arguments = {"customer_ids": [ANTON], "add_to": [51], "remove_from": [57]}
        answered = answer(await client.call_tool("move_customers", arguments))
        [listed] = answer(await client.call_tool("list_changes", {}))["changes"]
    assert answered["moved"] == []
    assert [one["reason"] for one in answered["not_moved"]] == [
        "It is in what it was put into, and still in what it was to leave."
    ]
    assert (listed["summary"], segments_of(sandbox, ANTON)) == ("Put 1 customer into «VIP»", [[51, 57]])


@pytest.mark.requirement("CUSTOMER-6", "PLAN-7")
async def test_who_was_moved_on_by_a_rule_is_not_counted_as_moved(sandbox: Sandbox, serve: Serve) -> None:
    sandbox.unknowns.rules = [Rule("segment", 51, 54)]
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, MERGE)
    merged = "Move 0 customers of «ВИП-клиенты» (id 21) to «VIP» (id 51)"
    assert done["done"] == [merged]
    assert done["differences"] == [f"{merged}: 25 customers were moved on, by rules of the account or by somebody."]


@pytest.mark.requirement("UNDO-2", "CUSTOMER-7")
async def test_an_undo_where_the_api_only_adds_does_all_it_can_and_does_not_promise_the_rest(
    sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = "adds"
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, RENAME, MERGE)
        undone = answer(await client.call_tool("undo_change", {"change_id": done["change_id"]}))
    assert undone["done"] == [
        "Create segment «ВИП-клиенты» (id 96)",
        "Put 37 customers into «ВИП-клиенты»",
        "Change segment «Лучшие» (id 51)",
    ]
    assert undone["message"] == (
        "It stopped there: amoCRM answered that it had taken the customers out, and they are still in it: its API "
        "ignores this here. That step changed nothing. What was done stays; undo_change would stop there again: the "
        "customers can be moved in amoCRM itself."
    )
    assert sandbox.account.segments[51]["name"] == "VIP"


@pytest.mark.requirement("UNDO-2", "CUSTOMER-7")
async def test_an_undo_tells_by_number_who_stays_in_the_last_segment_that_the_api_does_not_let_them_leave(
    sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.empty_list = sandbox.unknowns.null = False
    sandbox.account.customers[ANTON]["segments"] = []
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        arguments = {"customer_ids": [ANTON, LEV, YURI], "add_to": [51]}
        change_id = answer(await client.call_tool("move_customers", arguments))["change_id"]
        undone = answer(await client.call_tool("undo_change", {"change_id": change_id}))
    assert segments_of(sandbox, ANTON, LEV, YURI) == [[51], [57, 81], [57, 75]]
    assert undone["done"] == ["Take 2 customers out of «VIP»"]
    assert undone["not_restored"] == [
        "Take 2 customers out of «VIP»: 1 customer is where it was, although amoCRM answered that it was moved."
    ]


class Hurried:
    """A clock by which more than the age of a snapshot passes between two looks at it."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2.5
        return self.now


@pytest.mark.requirement("PLAN-5", "PLAN-7")
@pytest.mark.parametrize("changes", [[RENAME, MERGE], [MERGE, RENAME]])
async def test_a_plan_that_renames_what_it_merges_into_is_not_stopped_by_itself_nor_is_its_undo(
    changes: list[Any], sandbox: Sandbox
) -> None:
    journal, plans = open_memory()
    async with (
        serving(sandbox, journal, plans, monotonic=Hurried()) as served,
        served.client("2026-07-28", Person()) as client,
    ):
        done = await applied(client, *changes)
        undone = answer(await client.call_tool("undo_change", {"change_id": done["change_id"]}))
    await journal.close()
    assert (done["status"], undone["status"]) == ("done", "done")
    assert sandbox.account.segments[51]["name"] == "VIP"


@pytest.mark.requirement("PLAN-3", "PLAN-7")
async def test_a_plan_is_told_in_as_many_changes_as_were_shown(sandbox: Sandbox, serve: Serve) -> None:
    told: list[tuple[float, float | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    for customer in sandbox.account.customers.values():
        customer["segments"] = [one for one in customer["segments"] if one != 54]
    changes = [MERGE, {**MERGE, "id": 54}, RENAME]
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
        done = answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}, progress_callback=hear))
        [listed] = answer(await client.call_tool("list_changes", {}))["changes"]
    assert len(plan["steps"]) == len(done["done"]) == len(listed["steps"]) == 5
    assert {total for _, total in told} == {5}
    assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})
    assert told[-1] == (5, 5)


@pytest.mark.requirement("UNDO-2")
async def test_an_undo_says_that_somebody_has_made_one_of_the_same_name_meanwhile(
    sandbox: Sandbox, serve: Serve
) -> None:
    person = Person()
    async with serve(sandbox) as served, served.client("2026-07-28", person) as client:
        deleted = answer(await client.call_tool("delete_segment", {"segment_id": 21}))
        await client.call_tool("create_segment", {"name": "ВИП-клиенты"})
        undone = answer(await client.call_tool("undo_change", {"change_id": deleted["change_id"]}))
    told = (
        "segment «ВИП-клиенты» (id 21): one of this name is there already (id 96); it stays, beside the one that "
        "comes back."
    )
    assert told in undone["not_restored"]
    assert "S" + told[1:] in person.asked[-1].message.splitlines()


@pytest.mark.requirement("CUSTOMER-1", "CUSTOMER-2")
async def test_of_a_segment_that_is_not_there_no_account_is_too_large_to_be_told_so(
    sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.account.customers = {
        number: {"id": number, "name": "А", "status_id": 4740010, "segments": [51], "updated_at": 0}
        for number in range(1, 5_252)
    }
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        first = answer(await client.call_tool("list_customers", {"segment_id": 1}))
        arguments = {"segment_id": 1, "cursor": first["next_cursor"]}
        second = answer(await client.call_tool("list_customers", arguments))
    assert (first["customers"], first["complete"], second["error"]["code"]) == ([], False, "not_found")


@pytest.mark.requirement("CUSTOMER-2")
@pytest.mark.parametrize("other", [{}, {"segment_id": 54}, {"segment_id": 51, "search": "а"}])
async def test_a_cursor_is_good_for_the_query_alone_that_it_was_given_for(
    other: dict[str, Any], sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        cursor = answer(await client.call_tool("list_customers", {"segment_id": 51, "limit": 5}))["next_cursor"]
        refused = answer(await client.call_tool("list_customers", {**other, "cursor": cursor}))
        rest = answer(await client.call_tool("list_customers", {"segment_id": 51, "cursor": cursor}))
    assert refused["error"]["fields"] == [
        {
            "path": "cursor",
            "detail": "belongs to another query: repeat the other arguments, or leave it out to start from the "
            "beginning",
        }
    ]
    assert (len(rest["customers"]), rest["complete"]) == (43, True)


@pytest.mark.requirement("PLAN-1", "ANSWER-7")
async def test_a_plan_is_told_within_the_bound_and_carried_out_whole(sandbox: Sandbox, serve: Serve) -> None:
    like = {**sandbox.account.segments[51], "customers_count": 0}
    sandbox.account.segments = {number: {**like, "id": number, "name": "ф" * 250} for number in range(1, 101)}
    fields = {"name": "ы" * 250, "available_products_price_types": []}
    changes = [{"action": "update", "kind": "segment", "id": number, **fields} for number in range(1, 101)]
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
        done = answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
    assert 49_000 < bytes_of(plan) <= MAX_ANSWER_BYTES
    assert len(plan["steps"]) + plan["left_out"]["steps"] == 100
    assert len(done["done"]) + done.get("left_out", {}).get("done", 0) == 100
    assert {segment["name"] for segment in sandbox.account.segments.values()} == {"ы" * 250}
