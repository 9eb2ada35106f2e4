"""Entries of a list that cannot be read: they hide no other, and are told as such, wherever the list is answered."""

import json
from typing import Any

import pytest

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Serve, answer, both, resource_text

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
FIELDS = f"{SEGMENTS}/custom_fields"
READABLE = [{"id": 51, "name": "VIP", "customers_count": 3}, {"id": 60, "name": "Тихие", "customers_count": 1}]
ODD: list[Any] = [
    {"id": 54, "name": {"ru": "Гости"}},
    "VIP",
    {"name": "без id"},
    {"id": 57, "name": ["Много"]},
]
TOLD = {"count": 4, "ids": [54, 57]}


def lists(sandbox: Sandbox, entries: list[Any]) -> None:
    """Let every list of the account have these entries, after a byte order mark."""
    for path, key in ((SEGMENTS, "segments"), (STATUSES, "statuses"), (FIELDS, "custom_fields")):
        body = "\ufeff" + json.dumps({"_embedded": {key: entries}})
        sandbox.faults.add(Fault("GET", path, times=0, body=body))


@pytest.mark.requirement("ANSWER-6")
@pytest.mark.parametrize(
    ("mode", "tool", "key"),
    [
        ("segments", "list_segments", "segments"),
        ("segments", "list_segment_fields", "fields"),
        ("periodicity", "list_statuses", "statuses"),
        ("segments", "audit_segments", "findings"),
        ("periodicity", "audit_segments", "findings"),
    ],
)
async def test_a_list_shows_what_can_be_read_and_says_how_much_cannot(
    mode: str, tool: str, key: str, serve: Serve
) -> None:
    sandbox = Sandbox(mode=mode)
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            sandbox.faults.clear()
            assert "unreadable" not in answer(await client.call_tool(tool, {}))
            lists(sandbox, [READABLE[0], *ODD, READABLE[1]])
            answered = answer(await client.call_tool(tool, {}))
            assert answered["unreadable"] == TOLD
            if tool == "audit_segments":
                assert answered["examined"] == 2
            else:
                assert [entry["id"] for entry in answered[key]] == [51, 60]


@pytest.mark.requirement("ANSWER-6")
@pytest.mark.parametrize(
    ("mode", "kinds"), [("segments", ["segments", "segment_fields"]), ("periodicity", ["statuses"])]
)
async def test_what_cannot_be_read_counts_for_the_limits_and_is_told_in_the_resource_of_its_list(
    mode: str, kinds: list[str], serve: Serve
) -> None:
    sandbox = Sandbox(mode=mode)
    lists(sandbox, [READABLE[0], *ODD, READABLE[1]])
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        overview = answer(await client.call_tool("get_account", {}))
        assert [(usage["kind"], usage["used"]) for usage in overview["limits"]] == [(kind, 6) for kind in kinds]
        listed = json.loads(resource_text(await client.read_resource(f"amo://{kinds[0]}")))
        assert (len(listed[kinds[0]]), listed["unreadable"]) == (2, TOLD)
