"""Another account comes to answer behind the address: nothing is written into it, and nothing it says is believed."""

from typing import Any

import pytest
from mcp_types import ElicitResult

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, Serve, answer, error
from tests.journeys.lives import Json
from tests.journeys.test_concurrent_edits import DELETIONS, RENAMES, SLOW, Colleague, shared
from tests.journeys.test_plans import NOTHING, SEGMENTS, apply, newest, outcomes, plan

pytestmark = pytest.mark.anyio

ANOTHER = "Another account answers behind this address now."


def swap(sandbox: Sandbox, *, empty: bool = False) -> None:
    """Let another account answer, with segments of the same ids and names, or with none."""
    account = sandbox.account
    account.profile["id"] = 999
    account.segments = {} if empty else account.segments
    for entity in account.segments.values():
        entity["account_id"] = 999


@pytest.mark.requirement("CONFIRM-11")
async def test_nothing_is_written_into_another_account_and_the_next_change_is_made_in_it(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        changed = answer(await client.call_tool("update_segment", {"segment_id": 51, "name": "Лучшие"}))
        swap(sandbox)
        failure = error(await client.call_tool("undo_change", {"change_id": changed["change_id"]}))
        assert (failure["code"], failure["message"]) == ("target_changed", f"{ANOTHER} {NOTHING}")
        assert sandbox.account.segments[51]["name"] == "Лучшие"
        answer(await client.call_tool("update_segment", {"segment_id": 51, "name": "Иные"}))
        assert sandbox.account.segments[51]["name"] == "Иные"


@pytest.mark.requirement("CONFIRM-11")
async def test_a_yes_is_for_the_account_that_was_shown_though_the_server_knows_of_the_other_one_by_then(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as other:

        async def say_yes(_: Any, __: Any) -> ElicitResult:
            swap(sandbox)
            error(await other.call_tool("update_segment", {"segment_id": 54, "name": "Иные"}))
            answer(await other.call_tool("update_segment", {"segment_id": 54, "name": "Иные"}))
            return ElicitResult(action="accept", content={"confirm": True})

        answer(await other.call_tool("update_segment", {"segment_id": 57, "name": "Постоянные"}))
        async with served.client(era, say_yes) as client:
            failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
    assert (failure["code"], failure["message"]) == ("target_changed", f"{ANOTHER} {NOTHING}")
    assert 51 in sandbox.account.segments


async def test_nothing_is_created_in_another_account_that_has_nothing(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        answer(await client.call_tool("update_segment", {"segment_id": 51, "name": "Лучшие"}))
        swap(sandbox, empty=True)
        failure = error(await client.call_tool("create_segment", {"name": "Новые"}))
        assert (failure["code"], failure["message"]) == ("target_changed", f"{ANOTHER} {NOTHING}")
        assert sandbox.account.segments == {}


@pytest.mark.requirement("PLAN-5")
@pytest.mark.parametrize(("changes", "seconds", "method"), [(RENAMES, SLOW, "PATCH"), (DELETIONS, 0.0, "DELETE")])
async def test_a_plan_stops_where_another_account_comes_to_answer(
    changes: list[Json], seconds: float, method: str, era: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    colleague.after(1, lambda: swap(sandbox))
    async with shared(sandbox, era, colleague, seconds=seconds) as (served, client):
        applied = answer(await apply(client, await plan(client, changes)))
        listed = await newest(client)
    assert (applied["status"], applied["reason"]) == ("stopped", "target_changed")
    assert applied["message"].startswith(f"It stopped there: {ANOTHER}")
    assert outcomes(listed) == ["done", "planned", "planned"]
    assert served.writes() == [f"{method} {SEGMENTS}/66"]


@pytest.mark.parametrize("is_there", [True, False])
async def test_whether_a_deletion_was_made_is_not_read_from_another_account(
    is_there: bool, era: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    colleague.after(1, lambda: swap(sandbox, empty=not is_there))
    async with shared(sandbox, era, colleague) as (_, client):
        segment = dict(sandbox.account.segments[51])
        sandbox.faults.add(Fault("DELETE", status=504, times=0))
        failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        sandbox.account.segments[51] = segment
        listed = await newest(client)
    assert (failure["code"], listed["status"]) == ("outcome_unknown", "interrupted")
