"""Several processes on one account and one journal: what one does, no other doubles or denies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, answer, error
from tests.journeys.lives import Interruption, planning, serving, settings
from tests.journeys.test_plans import TIDY, apply, plan
from tests.storage.backends import open_sqlite

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def two(sandbox: Sandbox, folder: Path, era: str, *persons: Person) -> AsyncIterator[list[Client]]:
    """Clients of two servers, with dialogs or without."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(planning(sandbox, folder)) for _ in range(2)]
        asked = persons or (None, None)
        yield [
            await stack.enter_async_context(served.client(era, person))
            for served, person in zip(servers, asked, strict=True)
        ]


async def both(*calls: Any) -> list[Any]:
    """What the calls answer that are made at the same time."""
    answers: dict[int, Any] = {}

    async def make(number: int, call: Any) -> None:
        answers[number] = answer(await call)

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(make, number, call)
    return [answers[number] for number in sorted(answers)]


async def listed(client: Client) -> list[dict[str, Any]]:
    return list(answer(await client.call_tool("list_changes", {}))["changes"])


async def test_one_plan_that_two_processes_apply_at_once_is_applied_once(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with two(sandbox, tmp_path, era) as clients:
        planned = await plan(clients[0], TIDY)
        asked = [error(await apply(client, planned))["approval_id"] for client in clients]
        answers = await both(
            *(
                client.call_tool("confirm_change", {"approval_id": approval})
                for client, approval in zip(clients, asked, strict=True)
            )
        )
    assert [len(item.get("done", ())) for item in answers if "error" not in item] == [4]
    assert [item["error"]["code"] for item in answers if "error" in item] == ["target_changed"]
    assert len([item for item in sandbox.requests if item.method != "GET"]) == 4


async def test_one_change_that_two_processes_undo_at_once_comes_back_once(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = settings(sandbox)
    async with two(sandbox, tmp_path, era) as clients:
        asked = error(await clients[0].call_tool("delete_segment", {"segment_id": 51}))
        deleted = answer(await clients[0].call_tool("confirm_change", {"approval_id": asked["approval_id"]}))
        undo = {"change_id": deleted["change_id"]}
        waiting = [error(await client.call_tool("undo_change", undo))["approval_id"] for client in clients]
        answers = await both(
            *(
                client.call_tool("confirm_change", {"approval_id": approval})
                for client, approval in zip(clients, waiting, strict=True)
            )
        )
    assert sorted(item.get("error", {}).get("code", "done") for item in answers) == ["done", "target_changed"]
    assert settings(sandbox) == before


async def test_a_plan_that_another_process_is_applying_cannot_be_undone_yet(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    refusals: list[dict[str, Any]] = []
    changes = [{"action": "create", "kind": "segment", "name": f"Н{number}"} for number in range(3)]
    one, other = open_sqlite(tmp_path), open_sqlite(tmp_path)

    async def ask_the_other_process(_: str) -> None:
        [(_number, change)] = await other[0].changes(1)
        refusals.append(error(await second.call_tool("undo_change", {"change_id": change.id})))
        assert [change["status"] for change in await listed(second)] == ["running"]

    wire = Interruption(sandbox.app, on_write=ask_the_other_process)
    async with (
        serving(sandbox, *one, wire) as applying,
        applying.client(era, Person()) as first,
        serving(sandbox, *other) as undoing,
        undoing.client(era, Person()) as second,
    ):
        applied = answer(await apply(first, await plan(first, changes)))
        assert [change["status"] for change in await listed(second)] == ["done"]
        undone = answer(await second.call_tool("undo_change", {"change_id": applied["change_id"]}))
    for journal, _ in (one, other):
        await journal.close()
    assert len(undone["done"]) == 3
    assert [(refusal["code"], refusal["message"]) for refusal in refusals] == [
        ("conflict", "This change is running; there is nothing to undo. Nothing was changed.")
    ] * 3
    assert settings(sandbox) == settings(Sandbox())


async def test_a_segment_that_was_updated_and_then_deleted_is_whole_again_when_both_are_undone(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = settings(sandbox)
    async with two(sandbox, tmp_path, era, Person(), Person()) as (one, other):
        made = answer(await one.call_tool("create_segment", {"name": "Новые"}))
        changes = [made]
        for segment_id in (51, made["segment"]["id"]):
            renamed = {"segment_id": segment_id, "name": f"Другие {segment_id}"}
            changes += [answer(await one.call_tool("update_segment", renamed))]
            changes += [answer(await one.call_tool("delete_segment", {"segment_id": segment_id}))]
        undone = [
            answer(await other.call_tool("undo_change", {"change_id": change["change_id"]}))["done"]
            for change in reversed(changes)
        ]
        statuses = [change["status"] for change in await listed(one)]
    assert settings(sandbox) == before
    assert statuses == ["done"] * 5 + ["undone"] * 5
    assert undone == [
        ["Create segment «Другие 96» (id 99)"],
        ["Change segment «Другие 96» (id 99)"],
        [
            "Create segment «Другие 51» (id 102)",
            "Put 48 customers into «Другие 51»",
        ],
        ["Change segment «Другие 51» (id 102)"],
        ["Delete segment «Новые» (id 99)"],
    ]


@pytest.mark.requirement("CONFIRM-11", "PLAN-5")
async def test_what_a_server_on_another_machine_wrote_before_the_last_reading_is_seen_and_not_overwritten(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    names = iter(["Чужое", "Чужие"])
    deletions = [{"action": "delete", "kind": "segment", "id": segment_id} for segment_id in (66, 51)]
    renamed: list[dict[str, Any]] = []

    async def rename() -> None:
        renamed.append(answer(await second.call_tool("update_segment", {"segment_id": 51, "name": next(names)})))

    async def rename_after_the_first_write(_: str) -> None:
        if wire.writes == 1:
            await rename()

    for machine in ("one", "other"):
        (tmp_path / machine).mkdir()
    wire = Interruption(sandbox.app, on_write=rename_after_the_first_write)
    journal, plans = open_sqlite(tmp_path / "one")
    async with (
        serving(sandbox, journal, plans, wire) as here,
        here.client(era) as first,
        planning(sandbox, tmp_path / "other") as there,
        there.client(era, Person()) as second,
    ):
        asked = error(await first.call_tool("update_segment", {"segment_id": 51, "name": "Наше"}))
        await rename()
        refused = error(await first.call_tool("confirm_change", {"approval_id": asked["approval_id"]}))
        asked = error(await apply(first, await plan(first, deletions)))
        applied = answer(await first.call_tool("confirm_change", {"approval_id": asked["approval_id"]}))
    await journal.close()
    assert (refused["code"], refused["differences"]) == (
        "target_changed",
        ["segment «VIP» (id 51): name was «VIP» and is now «Чужое»."],
    )
    assert (applied["done"], applied["reason"]) == (["Delete segment «новички» (id 66)"], "target_changed")
    assert sandbox.account.segments[51]["name"] == renamed[1]["after"]["name"] == "Чужие"
