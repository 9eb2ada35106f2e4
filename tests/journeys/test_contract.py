"""What is promised of all tools together: who asks a person, what answers and errors look like, what is no argument."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest
from mcp import Client
from mcp_types import CallToolResult

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.compose.local import open_server
from amo_mcp.failures.failure import Code
from amo_mcp.sandbox import Sandbox
from amo_mcp.settings import ServingSettings, load_settings
from amo_mcp.tools.runtime.catalog import catalog
from tests.conftest import ERAS, Person, Serve, answer, error, resource_text
from tests.journeys.canaries import strings

pytestmark = pytest.mark.anyio

TOOLS = [entry.listed for entry in catalog().values()]
DESTRUCTIVE = {tool.name for tool in TOOLS if tool.annotations and tool.annotations.destructive_hint}
ERROR_KEYS = {
    *("code", "message", "retryable", "hint", "fields", "preview", "approval_id", "expires_at", "retry_after"),
    *("differences", "not_restored", "way"),
}
LOOKS_LIKE_A_YES = ("confirm", "confirmed", "confirmation", "yes", "force", "approve", "approved", "answer", "sure")


async def every_call(client: Client, mode: str) -> list[tuple[str, CallToolResult]]:
    """Every tool once, in an account of `mode`, those of the other mode too."""
    kind, other = ("segment", "status") if mode == "segments" else ("status", "segment")
    ids = {"segment": 51, "status": 4740013}
    made: list[tuple[str, CallToolResult]] = []

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        made.append((tool, result))
        return dict(result.structured_content or {})

    reads = ("get_account", "list_segment_fields", "audit_segments", "list_statuses", "list_segments", "list_customers")
    for tool in reads:
        await call(tool)
    for name in (kind, other):
        await call(f"get_{name}", **{f"{name}_id": ids[name]})
    created = await call("create_segment", name="Гости")
    created |= await call("create_statuses", statuses=[{"name": "Гости", "sort": 9}])
    move = {"add_to": [51]} if mode == "segments" else {"to_status": 4740013}
    await call("move_customers", customer_ids=[1299433], **move)
    plan = await call("plan_changes", changes=[{"action": "update", "kind": kind, "id": ids[kind], "name": "Лучшие"}])
    await call("apply_plan", plan_id=plan["plan_id"])
    await call("undo_change", change_id=created["change_id"])
    for name in (kind, other):
        await call(f"update_{name}", **{f"{name}_id": ids[name], "name": "Новые"})
        deleted = await call(f"delete_{name}", **{f"{name}_id": ids[name]})
        if name == kind:
            await call("confirm_change", approval_id=deleted.get("error", {}).get("approval_id", "none"))
    await call("list_changes")
    assert {tool for tool, _ in made} == {tool.name for tool in TOOLS}
    return made


@pytest.mark.requirement("TOOL-3", "CONFIRM-1")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_destructive_tools_ask_a_person_and_no_other_tool_does(era: str, mode: str, serve: Serve) -> None:
    sandbox, person = Sandbox(mode=mode), Person("decline")
    async with serve(sandbox) as served, served.client(era, person) as client:
        made = await every_call(client, mode)
    other = "_status" if mode == "segments" else "_segment"
    asked = {tool for tool in DESTRUCTIVE if not tool.endswith(other)} - {"confirm_change"}
    declined = [tool for tool, result in made if result.is_error and error(result)["code"] == "declined"]
    assert sorted(declined) == sorted(asked)
    assert len(person.asked) == len(asked)
    assert [write.partition(" ")[0] for write in served.writes()] == ["POST"]


@pytest.mark.requirement("ANSWER-1", "ANSWER-3", "ERROR-1")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
@pytest.mark.parametrize("dialogs", [True, False])
async def test_every_answer_follows_its_schema_and_says_the_same_as_compact_json(
    era: str, mode: str, dialogs: bool, serve: Serve
) -> None:
    schemas = {tool.name: tool.output_schema for tool in TOOLS}
    async with serve(Sandbox(mode=mode)) as served, served.client(era, Person() if dialogs else None) as client:
        made = await every_call(client, mode)
    for tool, result in made:
        answered = answer(result)
        [block] = result.content
        assert getattr(block, "text", None) == json.dumps(answered, ensure_ascii=False, separators=(",", ":"))
        if result.is_error:
            assert answered.keys() == {"error"}
            assert {"code", "message", "retryable"} <= answered["error"].keys() <= ERROR_KEYS
            assert answered["error"]["message"].endswith(".")
        else:
            schema = schemas[tool]
            assert schema is not None
            jsonschema.validate(answered, schema)
            assert answered.keys() & schema["properties"].keys()
        if tool in ("list_segments", "list_statuses", "list_customers", "list_changes"):
            assert None not in values(answered)
    assert len([tool for tool, result in made if not result.is_error]) >= 8


def values(answered: Any) -> Iterator[Any]:
    """Everything that is neither an object nor a list."""
    if isinstance(answered, dict | list):
        for inner in answered.values() if isinstance(answered, dict) else answered:
            yield from values(inner)
    else:
        yield answered


@pytest.mark.requirement("ERROR-2")
def test_the_codes_of_errors_are_a_closed_set() -> None:
    assert get_args(Code) == (
        *("invalid_arguments", "not_found", "unauthorized", "forbidden", "payment_required", "mode_disabled"),
        *("limit_reached", "rejected", "rate_limited", "blocked", "unavailable", "outcome_unknown"),
        *("declined", "cannot_ask", "confirmation_required", "confirmation_pending", "confirmation_expired"),
        *("target_changed", "conflict", "read_only", "internal"),
    )


@pytest.mark.requirement("ERROR-5")
async def test_a_mistake_of_our_own_is_internal_and_tells_nothing_of_itself(
    era: str, sandbox: Sandbox, serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: AmoClient, __: int) -> Any:
        raise RuntimeError("the secret of /home")

    monkeypatch.setattr(AmoClient, "segment", broken)
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        failures = [
            error(await client.call_tool(tool, {"segment_id": 51})) for tool in ("get_segment", "delete_segment")
        ]
    assert [(failure["code"], failure["retryable"]) for failure in failures] == [("internal", False)] * 2
    assert not [text for text in strings(failures) if "secret" in text or "RuntimeError" in text or ".py" in text]
    logged = [
        record
        for record in caplog.records
        if record.name == "amo_mcp.tools.runtime.runner" and record.levelname == "ERROR"
    ]
    assert len(logged) == 2
    assert not [record for record in logged if record.exc_info or "secret" in record.getMessage()]


@pytest.mark.requirement("CONFIRM-3")
@pytest.mark.parametrize("tool", sorted(DESTRUCTIVE))
async def test_no_argument_of_a_tool_is_a_confirmation(tool: str, era: str, sandbox: Sandbox, serve: Serve) -> None:
    [schema] = [item.input_schema for item in TOOLS if item.name == tool]
    assert schema["properties"].keys() & {*LOOKS_LIKE_A_YES} == set()
    given = {name: 51 if name.endswith("_id") else "x" for name in schema["required"]}
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        for name in LOOKS_LIKE_A_YES:
            assert error(await client.call_tool(tool, {**given, name: True}))["code"] == "invalid_arguments"
    assert served.requests() == []


@pytest.mark.requirement("CONFIRM-7")
@pytest.mark.parametrize(
    ("way", "with_dialogs", "without"),
    [
        ("auto", "declined", "confirmation_required"),
        ("dialog", "declined", "cannot_ask"),
        ("chat", "confirmation_required", "confirmation_required"),
    ],
)
async def test_over_stdio_each_way_to_confirm_does_what_it_says(
    era: str, way: str, with_dialogs: str, without: str
) -> None:
    person = Person("decline")
    settings = load_settings(ServingSettings, sandbox=True, confirm=way)
    async with open_server(settings, "stdio") as server:
        for dialog, code in ((person, with_dialogs), (None, without)):
            async with Client(server, mode=ERAS[era], elicitation_callback=dialog, cache=None) as client:
                assert error(await client.call_tool("delete_segment", {"segment_id": 51}))["code"] == code
    assert len(person.asked) == (with_dialogs == "declined")


@pytest.mark.requirement("RESOURCE-6")
async def test_the_palette_is_what_the_creating_tools_take(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        schemas = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}
        palette = json.loads(resource_text(await client.read_resource("amo://palette")))
    assert palette == {
        "status_colors": schemas["create_statuses"]["statuses"]["items"]["properties"]["color"]["enum"],
        "segment_colors": schemas["create_segment"]["color"]["enum"],
    }
