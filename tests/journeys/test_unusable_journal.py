"""A journal that cannot be written: nothing is sent that could not be recorded, and what was sent is told later."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Step
from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, answer, error
from tests.journeys.lives import planning, told_of
from tests.journeys.test_plans import TIDY, apply, plan

pytestmark = pytest.mark.anyio


def is_a_folder(file: Path) -> None:
    file.mkdir()


def is_no_database(file: Path) -> None:
    file.write_bytes(b"not a journal" * 100)


def has_no_folder(file: Path) -> None:
    file.parent.rmdir()


SPOILED: dict[str, Callable[[Path], None]] = {
    "unable to open database file": is_a_folder,
    "file is not a database": is_no_database,
    "No such file or directory": has_no_folder,
}

CALLS: dict[str, dict[str, Any]] = {
    "create_segment": {"name": "Новые"},
    "update_segment": {"segment_id": 51, "name": "Лучшие"},
    "delete_segment": {"segment_id": 51},
    "plan_changes": {"changes": TIDY},
    "apply_plan": {"plan_id": "p"},
    "list_changes": {},
    "undo_change": {"change_id": "c"},
}


@pytest.mark.parametrize("reason", SPOILED)
async def test_without_a_journal_nothing_is_sent_and_why_is_said_while_reading_goes_on(
    era: str, reason: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "state" / "journal.sqlite"
    file.parent.mkdir()
    SPOILED[reason](file)
    async with planning(sandbox, Journal(file)) as served, served.client(era, Person()) as client:
        for tool, arguments in CALLS.items():
            failure = error(await client.call_tool(tool, arguments))
            assert (tool, failure["code"]) == (tool, "internal")
            assert failure["message"].startswith("The journal of changes cannot be used (")
            assert reason in failure["message"]
            assert failure["message"].endswith("and nothing is changed without it. Nothing was changed.")
        with pytest.raises(MCPError, match="journal of changes cannot be used"):
            await client.read_resource("amo://changes")
        assert answer(await client.call_tool("list_segments", {}))["total"] == 15
    assert served.writes() == []


async def test_a_disk_that_is_full_stops_the_next_write_before_it_is_sent_and_once_there_is_room_it_goes_on(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    async with planning(sandbox, journal) as served, served.client(era, Person()) as client:
        answer(await client.call_tool("create_segment", {"name": "Один"}))
        connection = journal._records._file.opened()
        connection.execute("PRAGMA max_page_count = 1")
        failures = []
        for number in range(40):
            told = answer(await client.call_tool("create_segment", {"name": f"Много {number} " + "а" * 200}))
            failures += [told["error"]["message"]] if "error" in told else []
        sent = len(served.writes())
        connection.execute("PRAGMA max_page_count = 1000000")
        answer(await client.call_tool("create_segment", {"name": "Два"}))
        changes = answer(await client.call_tool("list_changes", {"limit": 100}))["changes"]
    said = "The journal of changes cannot be used (database or disk is full), and nothing is changed without it."
    assert set(failures) == {f"{said} Nothing was changed."}
    assert len(served.writes()) == sent + 1
    assert [change["status"] for change in changes] == ["done"] * (sent + 1)
    assert len(sandbox.account.segments) == 15 + sent + 1


@pytest.mark.parametrize("failing", ["the second answer", "the second intent"])
async def test_a_journal_that_fails_in_the_middle_stops_the_plan_and_tells_of_it_once_it_can(
    era: str, failing: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    put, broken = journal._records._put, False

    def full(connection: sqlite3.Connection, change_id: str, steps: dict[int, Step]) -> None:
        nonlocal broken
        broken = broken or (1 in steps and (steps[1].outcome == "intent") == (failing == "the second intent"))
        if broken:
            raise sqlite3.OperationalError("database or disk is full")
        put(connection, change_id, steps)

    monkeypatch.setattr(journal._records, "_put", full)
    async with planning(sandbox, journal) as served, served.client(era, Person()) as client:
        failure = error(await apply(client, await plan(client, TIDY)))
        monkeypatch.setattr(journal._records, "_put", put)
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
    assert failure["message"] == (
        "The journal of changes cannot be used (database or disk is full), and nothing is changed without it. "
        "It broke off in the middle: what was sent until then may have been made."
    )
    made = failing == "the second answer"
    assert len(served.writes()) == 1 + made
    assert [status for *_, status in told_of(change)] == ["done", "done" if made else "planned", "planned", "planned"]
