"""The public surface is what the snapshots and the README say, and stays within its budgets."""

import json
from typing import Any

import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.server.app import INSTRUCTIONS, TOOLS
from amo_mcp.tools import confirm, segments, statuses
from amo_mcp.tools.runtime.tool import LISTING, AmoTool
from tests import surface
from tests.conftest import Serve

SEEN_BY_THE_MODEL = 10_000
WHOLE_ANSWER = 20_000
ENDPOINTS_SEEN = 6_500
ENDPOINTS_WHOLE = 12_500
DESTRUCTIVE = {
    "update_status",
    "delete_status",
    "update_segment",
    "delete_segment",
    "apply_plan",
    "undo_change",
    "confirm_change",
}
READING = {
    "list_statuses",
    "get_status",
    "list_segments",
    "get_segment",
    "get_account",
    "list_segment_fields",
    "audit_segments",
    "plan_changes",
    "list_changes",
}


def compact(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.requirement("TOOL-1", "ARG-7")
def test_every_tool_is_as_its_snapshot_says() -> None:
    kept = {path.stem: path.read_text("utf-8") for path in surface.SNAPSHOTS.glob("*.json")}
    assert kept == {name: surface.snapshot(name) for name in surface.DECLARED}
    assert LISTING.read_text("utf-8") == surface.listing()


@pytest.mark.requirement("TOOL-1")
@pytest.mark.anyio
async def test_what_is_served_is_what_the_snapshots_say(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        listed = (await client.list_tools()).model_dump(mode="json", by_alias=True, exclude_none=True)["tools"]
    kept = [json.loads((surface.SNAPSHOTS / f"{name}.json").read_text("utf-8")) for name in surface.DECLARED]
    assert listed == kept


@pytest.mark.requirement("TOOL-1")
def test_the_readme_lists_the_tools_as_they_are() -> None:
    assert surface.README.read_text("utf-8") == surface.readme()
    assert surface.table() in surface.README.read_text("utf-8")


@pytest.mark.requirement("TOOL-1", "TOOL-5")
@pytest.mark.anyio
async def test_tools_list_stays_within_its_budget_of_bytes(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        listed = (await client.list_tools()).model_dump(mode="json", by_alias=True, exclude_none=True)
    seen = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in listed["tools"]]
    assert [tool["name"] for tool in seen] == [tool.name for tool in TOOLS]
    assert compact(seen) <= SEEN_BY_THE_MODEL
    assert compact(listed) <= WHOLE_ANSWER
    endpoints = {tool.name for tool in (*statuses.TOOLS, *segments.TOOLS, *confirm.TOOLS)}
    assert len(endpoints) == 11
    assert compact([tool for tool in seen if tool["name"] in endpoints]) <= ENDPOINTS_SEEN
    assert compact({**listed, "tools": [tool for tool in listed["tools"] if tool["name"] in endpoints]}) <= (
        ENDPOINTS_WHOLE
    )


def test_the_instructions_take_less_than_250_tokens() -> None:
    assert len(INSTRUCTIONS) / 4 < 250


@pytest.mark.requirement("TOOL-2", "TOOL-3")
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_named_titled_described_and_hinted(tool: AmoTool) -> None:
    assert len(tool.name) <= 30
    assert tool.title
    assert 1 <= tool.description.count(".") <= 3
    assert tool.annotations
    assert tool.annotations.model_dump(exclude={"title"}) == {
        "read_only_hint": tool.name in READING,
        "destructive_hint": tool.name in DESTRUCTIVE,
        "idempotent_hint": not tool.name.startswith(("create", "confirm")),
        "open_world_hint": False,
    }
