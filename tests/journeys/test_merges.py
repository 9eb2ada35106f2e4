"""Twins merged in a plan: nobody is lost, nothing is deleted before everybody is elsewhere, and it can be undone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from starlette.types import ASGIApp

from amo_mcp.sandbox import Fault, Rule, Sandbox
from tests.conftest import Person, Serve, answer, error
from tests.journeys.lives import AT_REST, Interruption
from tests.journeys.test_move_faults import call

pytestmark = pytest.mark.anyio

CUSTOMERS = "/api/v4/customers"
MERGE = {"action": "merge", "kind": "segment", "id": 21, "into": 51}
STATUSES = {"action": "merge", "kind": "status", "id": 4740013, "into": 4740016}
Places = dict[int, tuple[frozenset[int], int]]


def places(sandbox: Sandbox) -> Places:
    """Where every customer is: its segments and its status."""
    return {one["id"]: (frozenset(one["segments"]), one["status_id"]) for one in sandbox.account.customers.values()}


def merged(before: Places, change: dict[str, Any]) -> Places:
    """Where everybody is to be after a merge."""
    gone, into = change["id"], change["into"]
    if change["kind"] == "status":
        return {one: (segments, into if status == gone else status) for one, (segments, status) in before.items()}
    return {
        one: (segments - {gone} | {into} if gone in segments else segments, status)
        for one, (segments, status) in before.items()
    }


async def applied(client: Client, *changes: dict[str, Any]) -> dict[str, Any]:
    """What applying a plan of these changes is answered with."""
    plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
    return answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))


@pytest.fixture(params=[MERGE, STATUSES], ids=["segments", "statuses"])
def change(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    yield request.param


def account_for(change: dict[str, Any]) -> Sandbox:
    return Sandbox(mode="segments" if change["kind"] == "segment" else "periodicity")


@pytest.mark.requirement("PLAN-7", "PLAN-1")
async def test_a_merge_moves_everybody_and_then_deletes_what_is_empty(
    era: str, change: dict[str, Any], serve: Serve
) -> None:
    sandbox, person = account_for(change), Person()
    before = places(sandbox)
    is_segment = change["kind"] == "segment"
    count, gone, into = (37, "ВИП-клиенты", "VIP") if is_segment else (12, "Напомнить о помоле", "Ждут новый урожай")
    async with serve(sandbox) as served, served.client(era, person) as client:
        plan = answer(await client.call_tool("plan_changes", {"changes": [change]}))
        sandbox.requests.clear()
        done = answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
    moves = [f"Move {count} customers of «{gone}» (id {change['id']}) to «{into}» (id {change['into']})"]
    delete = f"Delete {change['kind']} «{gone}» (id {change['id']})"
    assert plan["steps"] == [f"1. {moves[0]}", f"2. {delete}, once they are all there"]
    assert plan["warnings"] == [
        f"All {count} customers of «{gone}» move to «{into}»; it is deleted only once all of them are there."
    ]
    assert plan["customers_affected"] == count
    assert len(served.requests()) == plan["requests"] == 17
    # Twelve of the segment are in the other already.
    assert (done["status"], done["done"]) == ("done", [moves[0].replace("37", "25"), delete])
    assert places(sandbox) == merged(before, change)
    assert change["id"] not in (sandbox.account.segments if is_segment else sandbox.account.statuses)
    [question] = person.asked
    assert question.message.splitlines()[:3] == [
        "Apply a plan of 2 changes?",
        "Triggers and mailings of what the customers come into, or leave, may start.",
        "What is merged is deleted only once all its customers are where they are moved to.",
    ]


@pytest.mark.requirement("PLAN-7")
@pytest.mark.parametrize("reading", ["replaces", "adds", "ignored"])
async def test_in_every_reading_of_the_api_a_merge_ends_in_the_truth(
    reading: Any, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = reading
    before = places(sandbox)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, MERGE)
    if reading == "ignored":
        assert done["error"]["code"] == "rejected"
        assert "its API ignores this here. Nothing was changed." in done["error"]["message"]
        assert (places(sandbox), 21 in sandbox.account.segments) == (before, True)
        assert len(served.writes()) == 1
    else:
        assert done["status"] == "done"
        assert (places(sandbox), 21 in sandbox.account.segments) == (merged(before, MERGE), False)


@pytest.mark.requirement("PLAN-7", "CUSTOMER-6")
async def test_a_source_is_kept_when_a_rule_takes_its_customers_out_of_the_target(
    change: dict[str, Any], serve: Serve
) -> None:
    sandbox = account_for(change)
    is_segment = change["kind"] == "segment"
    sandbox.unknowns.rules = [Rule("segment", 51, 54), Rule("status", 4740016, 4740010)]
    before = places(sandbox)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, change)
    assert done["status"] == "stopped"
    assert done["reason"] == "target_changed"
    who = "25 customers of the segment «ВИП-клиенты» are not in «VIP»"
    if not is_segment:
        who = "12 customers of the status «Напомнить о помоле» are not in «Ждут новый урожай»"
    assert f"{who}, so it is kept." in done["message"]
    assert change["id"] in (sandbox.account.segments if is_segment else sandbox.account.statuses)
    assert all(before[one][0] <= segments for one, (segments, _) in places(sandbox).items())


@pytest.mark.requirement("PLAN-7")
async def test_a_source_is_kept_when_somebody_comes_into_it_at_the_last_moment(
    era: str, change: dict[str, Any], serve: Serve
) -> None:
    sandbox = account_for(change)
    late = next(iter(sandbox.account.customers.values()))
    writes = iter(range(9))

    def come(_: str) -> None:
        if next(writes) == 2:
            late.update(segments=[21], status_id=4740013)

    sandbox.app = Interruption(sandbox.app, on_write=come)
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        done = await applied(client, change)
    assert (done["status"], done["reason"], len(done["done"])) == ("stopped", "target_changed", 1)
    assert "1 customer of the " in done["message"]
    assert change["id"] in (sandbox.account.segments if change["kind"] == "segment" else sandbox.account.statuses)
    assert not [write for write in served.writes() if write.startswith("DELETE")]


@pytest.mark.requirement("PLAN-7", "UNDO-1", "CUSTOMER-7")
async def test_an_undone_merge_gives_everybody_back_to_the_one_that_comes_back(
    era: str, change: dict[str, Any], serve: Serve
) -> None:
    sandbox = account_for(change)
    before = places(sandbox)
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        done = await applied(client, change)
        undone = answer(await client.call_tool("undo_change", {"change_id": done["change_id"]}))
        again = answer(await client.call_tool("undo_change", {"change_id": undone["change_id"]}))
        back = answer(await client.call_tool("undo_change", {"change_id": again["change_id"]}))
    new = max(sandbox.account.segments if change["kind"] == "segment" else sandbox.account.statuses)
    renamed = {
        one: (
            frozenset(21 if segment_id == new else segment_id for segment_id in segments),
            4740013 if status == new else status,
        )
        for one, (segments, status) in places(sandbox).items()
    }
    assert [one["status"] for one in (undone, again, back)] == ["done"] * 3
    assert renamed == before


@pytest.mark.requirement("UNDO-1", "CUSTOMER-7")
@pytest.mark.parametrize(("kind", "ids"), [("segment", (54, 21, 51)), ("status", (4740016, 4740013, 4740019))])
async def test_a_merge_into_what_was_merged_itself_and_came_back_is_undone_whole(
    kind: str, ids: tuple[int, int, int], serve: Serve
) -> None:
    sandbox = account_for({"kind": kind})
    entities = sandbox.account.segments if kind == "segment" else sandbox.account.statuses

    def named() -> dict[int, tuple[list[str], str]]:
        found = places(sandbox).items()
        if kind == "segment":
            return {
                one: (sorted(entities[held]["name"].strip() for held in segments), "") for one, (segments, _) in found
            }
        return {one: ([], entities[status]["name"]) for one, (_, status) in found}

    before = named()
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        first = await applied(client, {"action": "merge", "kind": kind, "id": ids[0], "into": ids[1]})
        second = await applied(client, {"action": "merge", "kind": kind, "id": ids[1], "into": ids[2]})
        undone = [
            answer(await client.call_tool("undo_change", {"change_id": change["change_id"]}))
            for change in (second, first)
        ]
    assert [one["status"] for one in undone] == ["done", "done"]
    assert not any("moved on" in line for one in undone for line in one["not_restored"])
    assert named() == before


@pytest.mark.requirement("UNDO-1", "CUSTOMER-7")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_an_undone_deletion_brings_its_members_back_and_says_how_many_do_not_come(
    era: str, mode: str, serve: Serve
) -> None:
    sandbox, person = Sandbox(mode=mode), Person()
    is_segment = mode == "segments"
    tool, arguments = (
        ("delete_segment", {"segment_id": 54}) if is_segment else ("delete_status", {"status_id": 4740013})
    )
    gone = next(iter(arguments.values()))
    members = [one for one, (segments, status) in places(sandbox).items() if gone in segments or gone == status]
    async with serve(sandbox) as served, served.client(era, person) as client:
        change_id = answer(await client.call_tool(tool, arguments))["change_id"]
        del sandbox.account.customers[members[0]]
        undone = answer(await client.call_tool("undo_change", {"change_id": change_id}))
    new = max(sandbox.account.segments if is_segment else sandbox.account.statuses)
    now = [one for one, (segments, status) in places(sandbox).items() if new in segments or new == status]
    assert now == members[1:]
    assert undone["not_restored"][-1] == "1 customer is no longer in the account."
    assert (
        person.asked[-1]
        .message.splitlines()[-1]
        .endswith(
            f"{len(now)} customers into «vip клиенты»"
            if is_segment
            else f"{len(now)} customers to status «Напомнить о помоле»"
        )
    )


def crowd(sandbox: Sandbox, customers: int) -> None:
    """So many customers, all in one segment."""
    sandbox.account.customers = {
        number: {"id": number, "name": "А", "status_id": 4740010, "segments": [51], "updated_at": 0}
        for number in range(1, customers + 1)
    }


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize(("customers", "extra"), [(4_000, 1 + 16), (4_750, 1 + 19), (4_751, 1), (20_000, 1)])
async def test_a_deletion_reads_its_members_where_that_takes_at_most_twenty_requests_and_else_says_so(
    customers: int, extra: int, sandbox: Sandbox, serve: Serve
) -> None:
    crowd(sandbox, customers)
    person = Person()
    async with serve(sandbox) as served, served.client("2026-07-28", person) as client:
        answer(await client.call_tool("delete_segment", {"segment_id": 51}))
    assert served.requests()[-1] == f"DELETE {CUSTOMERS}/segments/51"
    assert len(served.requests()) == 3 + extra <= 23
    assert ("Who they are will not be known" in person.asked[0].message) is (extra == 1)


@pytest.mark.requirement("UNDO-1", "CUSTOMER-9")
@pytest.mark.parametrize(("customers", "are_known"), [(300, True), (4_751, False)])
async def test_an_undone_deletion_puts_back_the_members_that_were_read_and_says_where_none_were(
    customers: int, are_known: bool, sandbox: Sandbox, serve: Serve
) -> None:
    crowd(sandbox, customers)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        deleted = answer(await client.call_tool("delete_segment", {"segment_id": 51}))
        undone = answer(await client.call_tool("undo_change", {"change_id": deleted["change_id"]}))
    assert ("without its conditions and its members" in undone["not_restored"][0]) is not are_known
    assert sum(96 in one["segments"] for one in sandbox.account.customers.values()) == (customers if are_known else 0)


@pytest.mark.exhaustive
@pytest.mark.requirement("PLAN-7", "CHANGE-2", "ERROR-8")
@pytest.mark.parametrize("reading", ["replaces", "adds"])
async def test_whenever_a_merge_is_killed_nobody_is_lost_and_it_can_be_gone_on_with_or_undone(
    reading: Any, tmp_path: Path
) -> None:
    moments = 0
    for moment in range(30):
        sandbox = Sandbox()
        sandbox.unknowns.segments_patch = reading
        before = places(sandbox)
        seen: list[Places] = []
        sandbox.app = watched(sandbox, seen)
        folder = tmp_path / f"{moment}"
        folder.mkdir()
        plan = await call(sandbox, folder, "plan_changes", changes=[MERGE])
        ended = await call(sandbox, folder, "apply_plan", moment=moment, plan_id=plan["plan_id"])
        for now in seen:
            check_nobody_is_lost(before, now, deleted=now is seen[-1] and 21 not in sandbox.account.segments)
        listed = (await call(sandbox, folder, "list_changes", later=AT_REST))["changes"]
        done = sum(step["status"] == "done" for change in listed for step in change["steps"])
        assert done == (len(seen) > 0) + (21 not in sandbox.account.segments)
        if 21 in sandbox.account.segments:
            again = await call(sandbox, folder, "plan_changes", changes=[MERGE])
            assert (await call(sandbox, folder, "apply_plan", plan_id=again["plan_id"]))["status"] == "done"
        assert (moment, places(sandbox)) == (moment, merged(before, MERGE))
        if ended is not None:
            break
        moments += 1
    assert moments > 8


def watched(sandbox: Sandbox, seen: list[Places]) -> ASGIApp:
    """The way to the sandbox on which is noted where everybody is after each write."""
    return Interruption(sandbox.app, on_write=lambda _: seen.append(places(sandbox)))


def check_nobody_is_lost(before: Places, now: Places, *, deleted: bool) -> None:
    """Check that everybody is in all that they were in, but for the one that is merged, once they are in the other."""
    for one, (segments, _) in before.items():
        left = segments - now[one][0]
        assert left <= ({21} if deleted else set())
        assert not left or 51 in now[one][0]


TROUBLES: dict[str, dict[str, Any]] = {
    "a reset before the effect": {"drop": "before"},
    "a reset after the effect": {"drop": "after"},
    "503": {"status": 503, "html": True},
    "504 after the effect": {"status": 504, "html": True, "after_effect": True},
    "400": {"status": 400},
    "403": {"status": 403},
    "429 for long": {"retry_after": 300},
    "a lie": {"body": "{}"},
}


@pytest.mark.exhaustive
@pytest.mark.requirement("PLAN-7", "ERROR-8")
@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("times", [1, 0], ids=["once", "for ever"])
@pytest.mark.parametrize("request_", [0, 1, 2], ids=["the first customer", "the others", "the deletion"])
async def test_under_every_fault_a_merge_loses_nobody_and_deletes_only_what_everybody_has_left(
    name: str, times: int, request_: int, sandbox: Sandbox, serve: Serve
) -> None:
    before = places(sandbox)
    method, path = ("DELETE", f"{CUSTOMERS}/segments/21") if request_ == 2 else ("PATCH", CUSTOMERS)
    sandbox.faults.add(Fault(method, path, times, skip=request_ % 2, **TROUBLES[name]))
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, MERGE)
    sandbox.faults.clear()
    is_deleted = 21 not in sandbox.account.segments
    check_nobody_is_lost(before, places(sandbox), deleted=is_deleted)
    assert (done.get("status") == "done") is (is_deleted and done.get("error") is None)
    if not is_deleted:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            assert (await applied(client, MERGE))["status"] == "done"
    assert places(sandbox) == merged(before, MERGE)


@pytest.mark.requirement("PLAN-7", "PLAN-2")
@pytest.mark.parametrize(
    ("change", "path", "detail"),
    [
        ({"id": 21}, "into", "is required to merge"),
        ({"id": 21, "into": 21}, "into", "21 is what is merged"),
        ({"id": 21, "into": 1}, "into", "1 is no segment of this account"),
        ({"into": 51}, "id", "is required to merge"),
        ({"id": 1, "into": 51}, "id", "1 is no segment of this account"),
        ({"id": 21, "into": 51, "name": "А"}, "", "merge takes no fields"),
        ({"id": 21, "into": 51, "action": "delete"}, "into", "is only for a merge"),
    ],
)
async def test_a_merge_that_cannot_be_made_is_refused_at_its_place(
    change: dict[str, Any], path: str, detail: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        changes = [{"action": "merge", "kind": "segment", **change}]
        failure = error(await client.call_tool("plan_changes", {"changes": changes}))
    assert failure["fields"][0] == {"path": f"changes.0.{path}".rstrip("."), "detail": detail}


@pytest.mark.requirement("PLAN-7", "PLAN-2")
@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({"action": "delete", "id": 51}, ["changes.0.into 51 is deleted by another change of this plan"]),
        (
            {"action": "merge", "id": 51, "into": 21},
            [
                f"changes.{place}.into {one} is deleted by another change of this plan"
                for place, one in ((0, 51), (1, 21))
            ],
        ),
        ({"action": "merge", "id": 51, "into": 54}, ["changes.0.into 51 is deleted by another change of this plan"]),
        ({"action": "merge", "id": 54, "into": 21}, ["changes.1.into 21 is deleted by another change of this plan"]),
        ({"action": "delete", "id": 21}, ["changes.1.id 21 is changed by another change of this plan"]),
        ({"action": "merge", "id": 21, "into": 54}, ["changes.1.id 21 is changed by another change of this plan"]),
    ],
    ids=["deleted", "each into the other", "a chain", "a chain backwards", "and deleted", "into two"],
)
async def test_nothing_is_merged_into_what_the_same_plan_deletes_and_nothing_twice(
    other: dict[str, Any], wrong: list[str], sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        changes = [MERGE, {"kind": "segment", **other}]
        failure = error(await client.call_tool("plan_changes", {"changes": changes}))
    assert [f"{field['path']} {field['detail']}" for field in failure["fields"]] == wrong


@pytest.mark.requirement("PLAN-7")
async def test_two_are_merged_into_one_that_the_same_plan_renames(sandbox: Sandbox, serve: Serve) -> None:
    before = places(sandbox)
    second = {"action": "merge", "kind": "segment", "id": 54, "into": 51}
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        renamed = {"action": "update", "kind": "segment", "id": 51, "name": "Все VIP"}
        done = await applied(client, MERGE, second, renamed)
    assert (done["status"], sandbox.account.segments[51]["name"]) == ("done", "Все VIP")
    assert places(sandbox) == merged(merged(before, MERGE), second)


@pytest.mark.requirement("PLAN-7")
async def test_twins_are_merged_as_the_audit_suggests(sandbox: Sandbox, serve: Serve) -> None:
    before = places(sandbox)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        findings = answer(await client.call_tool("audit_segments", {}))["findings"]
        [suggested] = [one for found in findings for one in found["suggested_changes"] if one["action"] == "merge"]
        assert suggested == {"action": "merge", "kind": "segment", "id": 72, "into": 69}
        assert (await applied(client, suggested))["status"] == "done"
    assert places(sandbox) == merged(before, suggested)


@pytest.mark.requirement("PLAN-7")
async def test_who_moves_up_to_a_page_that_was_read_is_found_before_the_source_is_deleted(
    sandbox: Sandbox, serve: Serve
) -> None:
    """Somebody comes into the source at the last moment, and is hidden by somebody who is deleted between two pages."""
    first, *others = sorted(sandbox.account.customers.values(), key=lambda one: int(one["id"]))
    late, leaving = others[249], next(one for one in others if 21 in one["segments"])
    assert not {21, 51} & {*late["segments"]}
    writes = iter(range(9))

    def swap(_: str) -> None:
        if next(writes) == 2:
            late["segments"], leaving["segments"] = [21], [51]

    def leave() -> None:
        if 21 in late["segments"] and sandbox.requests[-1].path.startswith(f"{CUSTOMERS}?page=1&"):
            sandbox.account.customers.pop(first["id"], None)

    sandbox.app = Interruption(sandbox.app, on_request=leave, on_write=swap)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        done = await applied(client, MERGE)
    assert first["id"] not in sandbox.account.customers
    assert (done["status"], done["reason"], 21 in sandbox.account.segments) == ("stopped", "target_changed", True)
    assert "1 customer of the segment «ВИП-клиенты» is not in «VIP», so it is kept." in done["message"]
