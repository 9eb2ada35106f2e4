"""What is public is generated, reviewed, up to date, and within its budgets."""

import json
from typing import Any

import anyio
import pytest
from mcp_types import Tool

from amo_mcp.sandbox import Sandbox
from amo_mcp.server.app import INSTRUCTIONS
from amo_mcp.tools.runtime import catalog
from scripts import generate, reference
from scripts.picture import drawn, picture
from tests.conftest import Serve

MAX_BYTES_SEEN_BY_THE_MODEL = 11_500
MAX_BYTES_OF_THE_ANSWER = 23_000
READING = {
    "get_account",
    "list_segment_fields",
    "list_statuses",
    "get_status",
    "list_segments",
    "get_segment",
    "list_customers",
    "audit_segments",
    "plan_changes",
    "list_changes",
}
CREATING = {"create_statuses", "create_segment"}
DESTRUCTIVE = {
    "move_customers",
    "update_status",
    "delete_status",
    "update_segment",
    "delete_segment",
    "apply_plan",
    "undo_change",
    "confirm_change",
}


@pytest.fixture(scope="module")
def tools() -> list[Tool]:
    """The tools as a client is told of them."""
    return anyio.run(generate.served)


def compact(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def snapshots() -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in generate.SNAPSHOTS.glob("*.json")}


@pytest.mark.requirement("TOOL-1", "ARG-7")
def test_the_catalog_is_what_the_tools_declare() -> None:
    assert catalog.FILE.read_text("utf-8") == catalog.generate()


@pytest.mark.requirement("TOOL-1", "ARG-7")
def test_every_tool_has_a_reviewed_snapshot_of_what_clients_are_told(tools: list[Tool]) -> None:
    assert snapshots() == {tool.name: generate.snapshot(tool) for tool in tools}


@pytest.mark.requirement("TOOL-1")
@pytest.mark.anyio
async def test_clients_of_both_eras_are_told_the_same(
    era: str, sandbox: Sandbox, serve: Serve, tools: list[Tool]
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        assert (await client.list_tools()).tools == tools


@pytest.mark.requirement("DOC-3")
def test_the_reference_describes_the_tools_and_settings_as_they_are(tools: list[Tool]) -> None:
    pages = reference.pages(tools)
    assert {name: (generate.REFERENCE / name).read_text("utf-8") for name in pages} == pages


@pytest.mark.requirement("COMMAND-5")
@pytest.mark.parametrize(("language", "title"), [("en", "Delete the small old VIP one"), ("ru", "Верни как было")])
def test_the_readme_shows_the_demo_as_it_is(language: str, title: str) -> None:
    text = generate.READMES[language].read_text("utf-8")
    shown = picture(language)
    assert text == generate.between_markers(text, demo=shown)
    assert title in shown


def test_a_part_of_the_readme_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are no markers for demo"):
        generate.between_markers("<!-- demo -->\n", demo="picture")
    assert generate.between_markers("a\n<!-- x -->\nold<!-- /x -->\nb\n", x=r"\1 new\n") == (
        "a\n<!-- x -->\n" r"\1 new\n" "<!-- /x -->\nb\n"
    )


def test_a_picture_is_the_same_for_two_runs_with_other_ids_and_times() -> None:
    def run(plan: str, minute: int, seconds: float) -> str:
        listed = "\n".join(f"    {number}. Delete segment" for number in range(1, 11))
        progress = "\n".join(f"    {'━' * (2 * done):<20} {done} of 10  Delete" for done in range(11))
        return (
            "\nWhich segments do we have?\n  → list_segments()\n"
            f"\nOne confirmation for the whole plan, and progress\n  → apply_plan(plan_id='{plan}')\n"
            f"{listed}\n  │ Undo the change of 2026-11-26 00:{minute} (UTC+03:00)?\n{progress}\n"
            f"  ✓ 10 changes, about {seconds} s\n\nThat took {seconds} s.\n"
        )

    expected = """\
```
One confirmation for the whole plan, and progress
  → apply_plan(plan_id='p…')
    1. Delete segment
    2. Delete segment
    3. Delete segment
    …
  │ Undo the change of … (UTC)?
    ━━━━━━━━━━           5 of 10  Delete
  ✓ 10 changes, about … s
```
"""
    assert drawn(run("p34fb7ee0118b", 46, 0.7)) == expected
    assert drawn(run("p494556acfb29", 58, 1)) == expected


@pytest.mark.requirement("TOOL-5")
def test_tools_list_stays_within_its_budget_of_bytes(tools: list[Tool]) -> None:
    listed: list[dict[str, Any]] = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    seen = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in listed]
    assert compact(seen) <= MAX_BYTES_SEEN_BY_THE_MODEL
    assert compact({"tools": listed}) <= MAX_BYTES_OF_THE_ANSWER


def test_the_instructions_take_less_than_250_tokens() -> None:
    assert len(INSTRUCTIONS) / 4 < 250


@pytest.mark.requirement("TOOL-2", "TOOL-3")
@pytest.mark.parametrize("name", sorted(READING | CREATING | DESTRUCTIVE))
def test_a_tool_is_named_titled_described_and_hinted(name: str, tools: list[Tool]) -> None:
    [tool] = [tool for tool in tools if tool.name == name]
    assert len(tool.name) <= 30
    assert tool.title
    assert 1 <= (tool.description or "").count(".") <= 3
    assert tool.annotations
    assert tool.annotations.model_dump(exclude={"title"}) == {
        "read_only_hint": name in READING,
        "destructive_hint": name in DESTRUCTIVE,
        "idempotent_hint": name not in CREATING | {"confirm_change"},
        "open_world_hint": False,
    }


@pytest.mark.requirement("TOOL-1")
def test_the_tools_are_those_that_are_promised_in_their_order(tools: list[Tool]) -> None:
    assert [tool.name for tool in tools] == [
        "get_account",
        "list_segment_fields",
        "list_statuses",
        "get_status",
        "create_statuses",
        "update_status",
        "delete_status",
        "list_segments",
        "get_segment",
        "create_segment",
        "update_segment",
        "delete_segment",
        "list_customers",
        "move_customers",
        "audit_segments",
        "plan_changes",
        "apply_plan",
        "list_changes",
        "undo_change",
        "confirm_change",
    ]
