"""What was changed is listed, and taken back after a person's yes: through a real client, in both eras."""

import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import TextResourceContents

from amo_mcp.compose.local import open_server
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running
from tests.conftest import ERAS, Person, Serve, answer, error
from tests.environment import serving

pytestmark = pytest.mark.anyio

NOTHING = "Nothing was changed."
SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def done(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answer(await client.call_tool(tool, arguments))


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return error(await client.call_tool(tool, arguments))


async def undo(client: Client, change: dict[str, Any]) -> dict[str, Any]:
    return await done(client, "undo_change", change_id=change["change_id"])


async def listed(client: Client, **arguments: Any) -> list[dict[str, Any]]:
    """The changes, their times checked and left out: what can be undone, and nothing else, is kept for 400 days."""
    changes = (await done(client, "list_changes", **arguments))["changes"]
    for change in changes:
        at = change.pop("at")
        assert MOMENT.fullmatch(at)
        kept = (datetime.fromisoformat(at) + timedelta(days=400)).isoformat().replace("+00:00", "Z")
        is_done = any(step["status"] == "done" for step in change.get("steps", [change]))
        assert change.pop("undo_until", None) == (kept if is_done else None)
    return list(changes)


def without_time(entity: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entity.items() if name != "updated_at"}


@pytest.mark.requirement("TOOL-22", "CHANGE-1")
async def test_every_write_gives_the_id_under_which_it_is_listed_newest_first(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        assert await done(client, "list_changes") == {"changes": []}
        created = await done(client, "create_segment", name="Новые")
        updated = await done(client, "update_segment", segment_id=96, name="Новее")
        deleted = await done(client, "delete_segment", segment_id=96)
        changes = await done(client, "list_changes")
        resource = await client.read_resource("amo://changes")
        undone = await undo(client, deleted)
        after = await listed(client)
    [content] = resource.contents
    assert isinstance(content, TextResourceContents)
    assert json.loads(content.text) == changes
    expected = [
        {
            "change_id": deleted["change_id"],
            "tool": "delete_segment",
            "summary": "Delete segment «Новее» (id 96)",
            "status": "done",
        },
        {
            "change_id": updated["change_id"],
            "tool": "update_segment",
            "summary": "Change segment «Новые» (id 96)",
            "status": "done",
        },
        {
            "change_id": created["change_id"],
            "tool": "create_segment",
            "summary": "Create segment «Новые» (id 96)",
            "status": "done",
        },
    ]
    times = ("at", "undo_until")
    assert [
        {name: value for name, value in change.items() if name not in times} for change in changes["changes"]
    ] == expected
    assert after == [
        {
            "change_id": undone["change_id"],
            "tool": "undo_change",
            "summary": "Create segment «Новее» (id 99)",
            "status": "done",
        },
        {**expected[0], "status": "undone"},
        *expected[1:],
    ]


@pytest.mark.requirement("CHANGE-1")
async def test_the_list_comes_in_pages_that_neither_skip_nor_repeat(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        ids = [(await done(client, "create_segment", name=f"S{number}"))["change_id"] for number in range(5)]
        first = await done(client, "list_changes", limit=2)
        await done(client, "create_segment", name="Ещё")
        second = await done(client, "list_changes", limit=2, cursor=first["next_cursor"])
        third = await done(client, "list_changes", limit="2", cursor=second["next_cursor"])
        odd = await refused(client, "list_changes", cursor="2")
    pages = [[change["change_id"] for change in page["changes"]] for page in (first, second, third)]
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert "next_cursor" not in third
    assert (odd["code"], odd["fields"][0]["path"]) == ("invalid_arguments", "cursor")


CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "Лучшие"},
    "colour": {"color": "ae003f"},
    "price fields": {"available_products_price_types": [271211]},
    "no price fields": {"available_products_price_types": []},
    "every kind of field": {
        "custom_fields_values": [
            {"field_id": 269471, "values": [{"value": "false"}]},
            {"field_id": 269473, "values": [{"value": "Для турки"}]},
            {"field_id": 272427, "values": [{"value": "другое"}]},
            {"field_id": 272429, "values": [{"value": "12.5"}]},
            {"field_id": 272431, "values": [{"value": "Суматра"}]},
            {"field_id": 272433, "values": [{"value": "2026-11-22"}]},
            {"field_id": 272435, "values": [{"value": "2026-11-22T10:00:00Z"}]},
            {"field_id": 272437, "values": [{"value": "https://example.com/"}]},
            {"field_id": 272439, "values": [{"value": "строка\nещё строка"}]},
            {"field_id": 272441, "values": [{"enum_code": "EMAIL"}]},
            {"field_id": 272443, "values": [{"value": "Тула"}]},
        ]
    },
    "every field cleared": {
        "custom_fields_values": [
            {"field_id": number, "values": []} for number in (269471, 269473, 272427, 272429, 272431, 272439, 272441)
        ]
    },
}


@pytest.mark.requirement("UNDO-1")
async def test_an_undone_update_leaves_a_segment_exactly_as_it_was(era: str, sandbox: Sandbox, serve: Serve) -> None:
    before = deepcopy(sandbox.account.segments)
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        for what, change in CHANGES.items():
            made = await done(client, "update_segment", segment_id=51, **change)
            assert (what, without_time(sandbox.account.segments[51])) != (what, without_time(before[51]))
            sandbox.account.segments[51]["customers_count"] = 49
            undone = await undo(client, made)
            assert undone["done"] == [f"Change segment «{made['after']['name']}» (id 51)"]
            assert undone.keys() == {"change_id", "status", "done"}
            sandbox.account.segments[51]["customers_count"] = 48
            assert (what, without_time(sandbox.account.segments[51])) == (what, without_time(before[51]))
    assert {**sandbox.account.segments, 51: before[51]} == before


@pytest.mark.requirement("UNDO-1")
async def test_an_undone_creation_takes_away_just_what_was_created(era: str, sandbox: Sandbox, serve: Serve) -> None:
    before = deepcopy(sandbox.account.segments)
    person = Person()
    async with serve(sandbox) as served, served.client(era, person) as client:
        created = await done(client, "create_segment", name="VIP")
        undone = await undo(client, created)
    assert sandbox.account.segments == before
    assert undone == {"change_id": undone["change_id"], "status": "done", "done": ["Delete segment «VIP» (id 96)"]}
    [asked] = person.asked
    title, *lines = asked.message.splitlines()
    assert re.fullmatch(r"Undo the change of 20\d\d-\d\d-\d\d \d\d:\d\d \(UTC\+03:00\)\?", title)
    assert lines == [
        "The conditions of the segment cannot be restored.",
        "Triggers, mailings, filters and integrations that use the id 96 stop working. "
        "What an undo brings back has another id.",
        "Account: «Лавка ‹Зерно и турка›».",
        "1. Delete segment «VIP» (id 96), 0 customers",
    ]


@pytest.mark.requirement("UNDO-2")
async def test_an_undone_deletion_brings_back_what_can_and_says_what_cannot(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    before = deepcopy(sandbox.account.segments)
    async with serve(sandbox) as served, served.client(era) as client:
        ask = await refused(client, "delete_segment", segment_id=51)
        deleted = await done(client, "confirm_change", approval_id=ask["approval_id"])
        waiting = await refused(client, "undo_change", change_id=deleted["change_id"])
        assert waiting["code"] == "confirmation_required"
        undone = await done(client, "confirm_change", approval_id=waiting["approval_id"])
    lost = "egment «VIP» (id 51) comes back with a new id and without its conditions."
    assert undone == {
        "change_id": undone["change_id"],
        "status": "done",
        "done": [
            "Create segment «VIP» (id 96)",
            "Put 48 customers into «VIP»",
        ],
        "not_restored": [f"s{lost}"],
    }
    assert waiting["preview"].splitlines()[1:] == [
        f"S{lost}",
        "Account: «Лавка ‹Зерно и турка›».",
        "1. Create segment «VIP»",
        "– Colour: 6610f2",
        "– Price fields: 288891",
        "– Field «Участвует в рассылке»: «yes»",
        "– Field «Любимый помол»: «В зёрнах»",
        "– Field «Комментарий»: «от 5 покупок в год»",
        "– Field «Скидка, %»: «15»",
        "– Field «Любимые сорта»: «Эфиопия Иргачеффе», «Кения АА»",
        "– Field «Описание сегмента»: «Покупают каждый месяц. Звонить только по делу.»",
        "– Field «Канал связи»: «Телефон»",
        "2. Put 48 customers into «VIP»",
    ]
    back = sandbox.account.segments.pop(96)
    kept = ("name", "color", "custom_fields_values", "available_products_price_types")
    assert [back[name] for name in kept] == [before[51][name] for name in kept]
    assert sandbox.account.segments == {number: segment for number, segment in before.items() if number != 51}


async def test_statuses_created_together_are_one_change_and_go_together(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    before = deepcopy(periodicity.account.statuses)
    drafts = [{"name": name, "sort": 2} for name in ("Один", "Два", "Три")]
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        made = await done(client, "create_statuses", statuses=drafts)
        [change] = await listed(client)
        undone = await undo(client, made)
        twice = await refused(client, "undo_change", change_id=made["change_id"])
    summaries = [f"status «{status['name']}» (id {status['id']})" for status in made["statuses"]]
    assert change == {
        "change_id": made["change_id"],
        "tool": "create_statuses",
        "summary": f"Create {summaries[0]} and 2 more",
        "status": "done",
        "steps": [{"summary": f"Create {summary}", "status": "done"} for summary in summaries],
    }
    assert undone["done"] == [f"Delete {summary}" for summary in reversed(summaries)]
    assert (twice["code"], twice["message"]) == (
        "conflict",
        f"This change is undone; there is nothing to undo. {NOTHING}",
    )
    assert periodicity.account.statuses == before


async def test_a_status_gets_its_name_colour_and_position_back(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        before = deepcopy(periodicity.account.statuses)
        for change in ({"sort": 5}, {"sort": 0}, {"name": "A"}):
            await undo(client, await done(client, "update_status", status_id=4740016, **change))
            assert (change, periodicity.account.statuses) == (change, before)
        made = await done(client, "update_status", status_id=4740010, name="A", color="#fff000")
        undone = await undo(client, made)
    assert undone["not_restored"] == [
        "status «Недавно купили» (id 4740010): the colour #ccff66 cannot be set through the API."
    ]
    assert periodicity.account.statuses[4740010] == {**before[4740010], "color": "#fff000"}


async def test_an_undo_can_be_undone_and_then_done_again(era: str, sandbox: Sandbox, serve: Serve) -> None:
    names = []
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        change = await done(client, "update_segment", segment_id=51, name="Лучшие")
        first = await undo(client, change)
        names.append(sandbox.account.segments[51]["name"])
        await undo(client, first)
        names.append(sandbox.account.segments[51]["name"])
        await undo(client, change)
        names.append(sandbox.account.segments[51]["name"])
        statuses = [change["status"] for change in await listed(client)]
    assert names == ["VIP", "Лучшие", "VIP"]
    assert statuses == ["done", "done", "undone", "undone"]


async def test_a_deletion_whose_entity_came_back_through_another_undo_is_not_undone_a_second_time(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        deleted = await done(client, "delete_segment", segment_id=51)
        deleted_again = await undo(client, await undo(client, deleted))
        await undo(client, deleted)
        failure = await refused(client, "undo_change", change_id=deleted_again["change_id"])
    assert failure == {
        "code": "conflict",
        "message": f"This change is done; there is nothing to undo. {NOTHING}",
        "retryable": False,
        "not_restored": ["segment «VIP» (id 96) is there already as id 99; there is nothing to create."],
    }
    assert [segment["name"] for segment in sandbox.account.segments.values()].count("VIP") == 1


@pytest.mark.requirement("CHANGE-1", "CHANGE-3")
@pytest.mark.parametrize("kept", ["as it was", "", "-1", "{}", "28805384", "9" * 5000, None])
async def test_after_a_restart_the_changes_can_be_listed_while_the_account_cannot_be_read_and_nothing_is_changed(
    kept: str | None, era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def started() -> AsyncIterator[Client]:
        async with open_server(settings, "stdio") as server, Client(server, mode=ERAS[era]) as client:
            yield client

    with running(sandbox) as url:
        settings = serving(base_url=url, access_token=ADMIN_TOKEN, state_dir=tmp_path)
        async with started() as client:
            made = await done(client, "create_segment", name="Новые")
            changes = await done(client, "list_changes")
        [file] = tmp_path.glob("account-id-*")
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (str(sandbox.account.id), 0o600)
        if kept is None:
            file.unlink()
        elif kept != "as it was":
            file.write_text(kept)
        sandbox.requests.clear()
        sandbox.faults.add(Fault(times=0, status=402))
        async with started() as client:
            listed = await client.call_tool("list_changes", {})
            refusals = [
                await refused(client, "create_segment", name="Ещё"),
                await refused(client, "undo_change", change_id=made["change_id"]),
            ]
    if kept == "as it was":
        assert answer(listed) == changes
    else:
        assert error(listed)["code"] == "payment_required"
    assert [refusal["code"] for refusal in refusals] == ["payment_required"] * 2
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert len([*tmp_path.glob("journal-*.sqlite")]) == 1


@pytest.mark.requirement("UNDO-3")
async def test_an_undo_refuses_to_overwrite_a_later_edit_and_names_both_values(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person()
    async with serve(sandbox) as served, served.client(era, person) as client:
        change = await done(client, "update_segment", segment_id=51, name="Лучшие", color="ae003f")
        sandbox.account.segments[51] |= {"name": "Чужое", "color": "bf2600"}
        sandbox.requests.clear()
        failure = await refused(client, "undo_change", change_id=change["change_id"])
    assert failure == {
        "code": "conflict",
        "message": f"Something was changed since, and undoing would overwrite it. {NOTHING}",
        "retryable": False,
        "hint": "Show differences to the person. What they want can be done with the other tools.",
        "differences": [
            "segment «VIP» (id 51): name was set to «Лучшие» and is now «Чужое».",
            "segment «VIP» (id 51): colour was set to ae003f and is now bf2600.",
        ],
    }
    assert (served.writes(), len(person.asked)) == ([], 1)


async def test_an_edit_made_while_the_person_reads_the_question_stops_the_undo(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person()
    async with serve(sandbox) as served, served.client(era, person) as client:
        change = await done(client, "update_segment", segment_id=51, name="Лучшие")

        def meanwhile(_: str) -> str:
            sandbox.account.segments[51]["name"] = "Чужое"
            return "yes"

        person.says = meanwhile
        failure = await refused(client, "undo_change", change_id=change["change_id"])
    assert (failure["code"], sandbox.account.segments[51]["name"]) == ("target_changed", "Чужое")


async def test_undoing_an_unknown_change_is_not_found_and_sends_nothing(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        failure = await refused(client, "undo_change", change_id="made-up")
    assert failure == {
        "code": "not_found",
        "message": f"There is no change «made-up». {NOTHING}",
        "retryable": False,
        "hint": "list_changes has the change_ids.",
    }
    assert served.requests() == []


async def test_an_undo_without_a_yes_changes_nothing(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era, Person("decline")) as client:
        created = await done(client, "create_segment", name="Новые")
        assert (await refused(client, "undo_change", change_id=created["change_id"]))["code"] == "declined"
        assert [change["status"] for change in await listed(client)] == ["done"]
    assert served.writes() == [f"POST {SEGMENTS}"]


async def test_a_deletion_is_not_undone_where_there_is_no_room_any_more(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        deleted = await done(client, "delete_segment", segment_id=51)
        model = sandbox.account.segments[54]
        sandbox.account.segments |= {number: {**model, "id": number} for number in range(1000, 1086)}
        failure = await refused(client, "undo_change", change_id=deleted["change_id"])
    assert (failure["code"], failure["message"]) == (
        "limit_reached",
        f"The account has 100 of at most 100 segments: 1 more would not fit. {NOTHING}",
    )
    assert served.writes() == [f"DELETE {SEGMENTS}/51"]


@pytest.mark.requirement("CHANGE-2")
async def test_a_refused_write_is_recorded_as_failed_and_one_of_unknown_outcome_as_interrupted(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        sandbox.faults.add(Fault(method="POST", status=400))
        assert (await refused(client, "create_segment", name="Новые"))["code"] == "rejected"
        sandbox.faults.add(Fault(method="DELETE", times=0, status=500, after_effect=True))
        sandbox.faults.add(Fault(method="GET", path="*/segments*", skip=2, times=0, status=500))
        assert (await refused(client, "delete_segment", segment_id=51))["code"] == "outcome_unknown"
        sandbox.faults.clear()
        changes = await listed(client)
        failures = [await refused(client, "undo_change", change_id=change["change_id"]) for change in changes]
    assert [(change["summary"], change["status"]) for change in changes] == [
        ("Delete segment «VIP» (id 51)", "interrupted"),
        ("Create segment «Новые»", "failed"),
    ]
    assert [(item["code"], item["message"]) for item in failures] == [
        ("conflict", f"This change is {status}; there is nothing to undo. {NOTHING}")
        for status in ("interrupted", "failed")
    ]


async def test_an_undo_that_fails_in_the_middle_says_what_was_done_and_what_not(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    drafts = [{"name": name, "sort": 9} for name in "ABC"]
    async with serve(periodicity) as served, served.client(era, Person()) as client:
        made = await done(client, "create_statuses", statuses=drafts)
        a, b, c = (f"Delete status «{status['name']}» (id {status['id']})" for status in made["statuses"])
        periodicity.faults.add(Fault(method="DELETE", skip=1, status=403))
        half = await undo(client, made)
        changes = await listed(client)
        periodicity.faults.add(Fault(method="DELETE", status=403))
        nothing = await refused(client, "undo_change", change_id=made["change_id"])
        rest = await undo(client, made)
    assert half == {
        "change_id": half["change_id"],
        "status": "stopped",
        "done": [c],
        "not_done": [f"{b}: failed", f"{a}: planned"],
        "reason": "forbidden",
        "message": "It stopped there: The signed-in user may not do this: only an account administrator can make "
        "changes. That step changed nothing. "
        "What was done stays; undo_change does the rest, once nothing stands in its way.",
    }
    assert [(change["tool"], change["status"]) for change in changes] == [
        ("undo_change", "failed"),
        ("create_statuses", "done"),
    ]
    assert nothing["code"] == "forbidden"
    assert rest == {"change_id": rest["change_id"], "status": "done", "done": [b, a]}
    assert not {status["name"] for status in periodicity.account.statuses.values()} & set("ABC")


async def test_a_write_whose_answer_was_lost_is_looked_for_and_listed_as_done(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        sandbox.faults.add(Fault(method="POST", status=500, after_effect=True))
        created = await done(client, "create_segment", name="Новые")
        sandbox.faults.add(Fault(method="DELETE", drop="after"))
        undone = await undo(client, created)
        statuses = [change["status"] for change in await listed(client)]
    assert (undone["done"], statuses) == (["Delete segment «Новые» (id 96)"], ["done", "undone"])
    assert 96 not in sandbox.account.segments
