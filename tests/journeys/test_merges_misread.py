"""A merge whose readings fail or lie, one after the other: nobody is lost, and nothing goes before they left it."""

from typing import Any

import pytest

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, Serve, answer
from tests.journeys.test_merges import CUSTOMERS, MERGE, check_nobody_is_lost, merged, places

pytestmark = [pytest.mark.anyio, pytest.mark.exhaustive]

EMPTY_PAGE = '{"_page": 1, "_embedded": {"customers": []}}'

TROUBLES: dict[str, dict[str, Any]] = {
    "unavailable": {"status": 503, "html": True, "times": 0},
    "forbidden": {"status": 403, "times": 0},
    "cut off": {"drop": "body"},
    "told to be empty": {"status": 204},
    "a page without anybody": {"body": EMPTY_PAGE},
    "another shape": {"body": "[]"},
}


@pytest.mark.requirement("PLAN-7", "ERROR-8")
@pytest.mark.parametrize("name", TROUBLES)
async def test_whichever_reading_of_a_merge_fails_or_lies_nothing_is_deleted_before_everybody_was_seen_elsewhere(
    name: str, serve: Serve
) -> None:
    deleted = 0
    for reading in range(20):
        sandbox = Sandbox()
        before = places(sandbox)
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            plan = answer(await client.call_tool("plan_changes", {"changes": [MERGE]}))
            sandbox.requests.clear()
            sandbox.faults.add(Fault("GET", f"{CUSTOMERS}*", skip=reading, **TROUBLES[name]))
            done = answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
            readings = sum(one.method == "GET" for one in sandbox.requests)
        sandbox.faults.clear()
        is_deleted = MERGE["id"] not in sandbox.account.segments
        deleted += is_deleted
        check_nobody_is_lost(before, places(sandbox), deleted=is_deleted)
        assert (reading, done.get("status") == "done") == (reading, is_deleted)
        if is_deleted:
            assert (reading, places(sandbox)) == (reading, merged(before, MERGE))
        if readings <= reading:
            break
    assert deleted
    assert reading > 8
