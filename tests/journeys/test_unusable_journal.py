"""A journal that cannot be written: nothing is sent that could not be recorded, and what was sent is recorded later."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, answer, error
from tests.journeys.lives import Interruption, planning, serving, step_outcomes
from tests.journeys.test_concurrent_edits import Colleague
from tests.journeys.test_plans import TIDY, apply, plan
from tests.storage.backends import FILE, open_sqlite

pytestmark = pytest.mark.anyio


def is_a_folder(file: Path) -> None:
    file.mkdir()


def is_no_database(file: Path) -> None:
    file.write_bytes(b"not a journal" * 100)


def has_no_folder(file: Path) -> None:
    file.parent.rmdir()
    file.parent.touch()


SPOILED: dict[str, Callable[[Path], None]] = {
    "unable to open database file": is_a_folder,
    "file is not a database": is_no_database,
    "File exists": has_no_folder,
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
    file = tmp_path / "state" / FILE
    file.parent.mkdir()
    SPOILED[reason](file)
    async with planning(sandbox, file.parent) as served, served.client(era, Person()) as client:
        for tool, arguments in CALLS.items():
            failure = error(await client.call_tool(tool, arguments))
            assert (tool, failure["code"]) == (tool, "internal")
            assert failure["message"].startswith("The journal of changes cannot be used (")
            assert reason in failure["message"]
            assert failure["message"].endswith("), and nothing is changed without it. Nothing was changed.")
        with pytest.raises(MCPError, match="journal of changes cannot be used"):
            await client.read_resource("amo://changes")
        with pytest.raises(MCPError, match="journal of changes cannot be used"):
            await client.list_resources()
        assert answer(await client.call_tool("list_segments", {}))["total"] == 15
    assert served.writes() == []


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections to databases that are opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*arguments: Any, **named: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    return opened


async def test_a_disk_that_is_full_stops_the_next_write_before_it_is_sent_and_once_there_is_room_it_goes_on(
    era: str, sandbox: Sandbox, tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    async with planning(sandbox, tmp_path) as served, served.client(era, Person()) as client:
        answer(await client.call_tool("create_segment", {"name": "Один"}))
        [connection] = connections
        connection.execute("PRAGMA max_page_count = 1")
        failures = []
        for number in range(40):
            created = answer(await client.call_tool("create_segment", {"name": f"Много {number} " + "а" * 200}))
            failures += [created["error"]["message"]] if "error" in created else []
        sent = len(served.writes())
        connection.execute("PRAGMA max_page_count = 1000000")
        answer(await client.call_tool("create_segment", {"name": "Два"}))
        changes = answer(await client.call_tool("list_changes", {"limit": 100}))["changes"]
    assert set(failures) == {
        "The journal of changes cannot be used (database or disk is full), and nothing is changed without it. "
        "Nothing was changed."
    }
    assert len(served.writes()) == sent + 1
    assert [change["status"] for change in changes] == ["done"] * (sent + 1)
    assert len(sandbox.account.segments) == 15 + sent + 1


@contextmanager
def refusing(folder: Path, condition: str) -> Iterator[None]:
    """Let the journal in a folder take neither the record of a step that fits, nor the end of a change."""
    refuse = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END;"
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.executescript(
            f"CREATE TRIGGER no_step BEFORE UPDATE ON steps WHEN {condition} {refuse}"
            f"CREATE TRIGGER no_end BEFORE UPDATE ON changes WHEN NEW.status != 'running' {refuse}"
        )
        yield
        connection.executescript("DROP TRIGGER no_step; DROP TRIGGER no_end;")


@pytest.mark.requirement("CHANGE-3")
@pytest.mark.parametrize("failing", ["done", "pending"])
async def test_a_journal_that_fails_in_the_middle_stops_the_plan_and_tells_of_it_once_it_can(
    era: str, failing: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with planning(sandbox, tmp_path) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        with refusing(tmp_path, f"NEW.position = 1 AND json_extract(NEW.record, '$.outcome') = '{failing}'"):
            applied = answer(await apply(client, planned))
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
    made = ["Delete segment «новички» (id 66)", "Create segment «Гости» (id 96)"]
    left = ["Change segment «VIP» (id 51): planned", "Delete segment «vip клиенты» (id 54): planned"]
    is_made = failing == "done"
    assert applied == {
        "change_id": change["change_id"],
        "status": "stopped",
        "done": made if is_made else made[:1],
        "not_done": left if is_made else ["Create segment «Гости»: planned", *left],
        "reason": "internal",
        "message": "It stopped there: The journal could not be written (database or disk is full). "
        "What was done stays; list_changes shows whether it was recorded, and only then undo_change takes it back.",
    }
    assert len(served.writes()) == 1 + is_made
    outcomes = [outcome for *_, outcome in step_outcomes(change)]
    assert outcomes == ["done", "done" if is_made else "planned", "planned", "planned"]


@pytest.mark.requirement("CHANGE-3")
async def test_a_journal_that_is_replaced_by_an_older_copy_of_it_stops_the_plan(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    journal, copy, colleague = tmp_path / FILE, tmp_path / "copy", Colleague(sandbox)

    def back_up() -> None:
        with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)

    def restore() -> None:
        for file in tmp_path.glob(f"{FILE}*"):
            file.unlink()
        copy.rename(journal)

    colleague.after(1, back_up)
    colleague.after(2, restore)
    opened, plans = open_sqlite(tmp_path)
    wire = Interruption(sandbox.app, on_write=colleague.on_write)
    async with serving(sandbox, opened, plans, wire) as served, served.client(era, Person()) as client:
        applied = answer(await apply(client, await plan(client, TIDY)))
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
    await opened.close()
    assert (applied["status"], applied["reason"], len(applied["done"])) == ("stopped", "internal", 2)
    assert len(served.writes()) == 2
    assert change["change_id"] == applied["change_id"]
    assert [outcome for *_, outcome in step_outcomes(change)] == ["done", "planned", "planned", "planned"]


CHANGES_OF_ONE: dict[str, tuple[dict[str, Any], str]] = {
    "create_segment": ({"name": "Гости"}, "Create segment «Гости» (id 96)"),
    "update_segment": ({"segment_id": 51, "name": "Лучшие"}, "Change segment «VIP» (id 51)"),
    "delete_segment": ({"segment_id": 66}, "Delete segment «новички» (id 66)"),
}


@pytest.mark.requirement("CHANGE-3")
@pytest.mark.parametrize("tool", CHANGES_OF_ONE)
async def test_a_change_that_was_made_and_could_not_be_recorded_is_told_with_its_id_and_what_was_done(
    era: str, tool: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    arguments, summary = CHANGES_OF_ONE[tool]
    async with planning(sandbox, tmp_path) as served, served.client(era, Person()) as client:
        answer(await client.call_tool("list_changes", {}))
        with refusing(tmp_path, "json_extract(NEW.record, '$.outcome') = 'done'"):
            failure = error(await client.call_tool(tool, arguments))
        [change] = answer(await client.call_tool("list_changes", {}))["changes"]
    assert failure == {
        "code": "internal",
        "message": "The journal could not be written (database or disk is full). What was done stays.",
        "retryable": False,
        "hint": "list_changes shows whether the change was recorded: only then it can be undone. "
        "Read its targets before anything is sent again.",
        "change_id": change["change_id"],
        "done": [summary],
    }
    assert (change["summary"], change["status"]) == (summary, "done")


async def test_a_plan_that_was_lost_with_the_journal_while_a_person_was_asked_is_not_said_to_have_been_applied(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    def say_yes(_: str) -> str:
        for file in tmp_path.glob(f"{FILE}*"):
            file.unlink()
        return "yes"

    async with planning(sandbox, tmp_path) as served, served.client(era, Person(say_yes)) as client:
        failure = error(await apply(client, await plan(client, TIDY)))
    assert (failure["code"], failure["message"]) == (
        "target_changed",
        "The plan was applied already, or is no longer kept. Nothing was changed.",
    )
    assert served.writes() == []
