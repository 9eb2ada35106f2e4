"""Whatever stands in the CRM, it stays a text of the CRM: quoted in sentences, alone in its JSON string elsewhere."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ResourceTemplateReference, TextContent

from amo_mcp.logs import OneLineFormatter
from amo_mcp.sandbox import Fault
from tests.conftest import ERAS, Person, Serve, Served, resource_text
from tests.journeys.canaries import CANARIES, MARK, Poison, hidden, strings

pytestmark = [pytest.mark.anyio, pytest.mark.exhaustive]

SEGMENTS = ResourceTemplateReference(uri="amo://segments/{segment_id}")
STATUSES = ResourceTemplateReference(uri="amo://statuses/{status_id}")
OTHER_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda char: not "\u0400" <= char <= "\u052f"), max_size=40
).map(lambda text: MARK + text + MARK)
"""Cyrillic is left out: letters that look like Latin ones are suggested otherwise on purpose."""

SAID_ABOUT = {"confirmation_required", "conflict", "mode_disabled", "rejected", "target_changed"}


class Listener:
    """One client that keeps everything that it is told."""

    def __init__(self, client: Client, person: Person) -> None:
        self.client = client
        self.person = person
        self.heard: list[Any] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool; its text must be its structured answer, to the letter."""
        answer = await self.client.call_tool(tool, arguments, progress_callback=self._progress)
        assert isinstance(answer, CallToolResult)
        texts = [block.text for block in answer.content if isinstance(block, TextContent)]
        assert len(texts) == len(answer.content)
        assert [json.loads(text) for text in texts] == [answer.structured_content]
        assert [hidden(text) for text in texts] == [[]]
        self.heard.append(answer.structured_content)
        return dict(answer.structured_content or {})

    async def listen(self) -> None:
        """Everything else that a client can ask for."""
        client = self.client
        resources = await client.list_resources()
        lists = (resources, await client.list_tools(), await client.list_prompts())
        self.heard += [item.model_dump(mode="json") for item in (*lists, await client.list_resource_templates())]
        self.heard.append(client.instructions)
        for resource in resources.resources:
            assert [hidden(text) for text in (resource.name, resource.title or "", resource.description or "")] == [
                []
            ] * 3
            try:
                text = resource_text(await client.read_resource(resource.uri))
                assert hidden(text) == []
            except MCPError as error:
                self.heard.append(error.error.message)
            else:
                self.heard.append(json.loads(text))
        for template, argument in ((SEGMENTS, "segment_id"), (STATUSES, "status_id")):
            completed = await client.complete(template, {"name": argument, "value": MARK})
            self.heard.append(completed.model_dump(mode="json"))
        for prompt in (await client.list_prompts()).prompts:
            given = {item.name: "51" for item in prompt.arguments or []}
            self.heard.append((await client.get_prompt(prompt.name, given)).model_dump(mode="json"))

    def everything(self) -> list[Any]:
        """All of it, with the questions that the person was asked."""
        return [*self.heard, *self.asked()]

    def asked(self) -> list[Any]:
        """The questions that the person was asked."""
        return [asked.model_dump(mode="json") for asked in self.person.asked]

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append(message)


@asynccontextmanager
async def listening(served: Served, era: str, *, dialogs: bool = True) -> AsyncIterator[Listener]:
    person = Person()
    async with served.client(era, person if dialogs else None) as client:
        yield Listener(client, person)


async def work_with_segments(listener: Listener, served: Served) -> None:
    """Every tool of the segments mode, with its ways to fail that speak of the CRM's texts."""
    account = served.sandbox.account
    ids = list(account.segments)
    choice = next(item["id"] for item in account.fields.values() if item["type"] == "select")
    number = next(item["id"] for item in account.fields.values() if item["type"] == "numeric")
    text = next(item["id"] for item in account.fields.values() if item["type"] == "text")
    for tool in (
        "get_account",
        "list_segment_fields",
        "list_segments",
        "audit_segments",
        "list_statuses",
        "list_customers",
    ):
        await listener.call(tool)
    await listener.call("list_segments", detail="full")
    for field_id, value in ((choice, "none of them"), (1, "x"), (number, "much")):
        fields = [{"field_id": field_id, "values": [{"value": value}]}]
        await listener.call("create_segment", name="New", custom_fields_values=fields)
    all_fields = [
        {"field_id": text, "values": [{"value": "plain"}]},
        {"field_id": choice, "values": [{"enum_id": account.fields[choice]["enums"][1]["id"]}]},
    ]
    for segment_id in ids[:3]:
        await listener.call("get_segment", segment_id=segment_id)
        changed = await listener.call(
            "update_segment", segment_id=segment_id, name="New", color="2176ff", custom_fields_values=all_fields
        )
        await listener.call("undo_change", change_id=changed["change_id"])
    await listener.call(
        "undo_change", change_id=(await listener.call("delete_segment", segment_id=ids[3]))["change_id"]
    )
    changes: list[dict[str, Any]] = [
        {"action": "update", "kind": "segment", "id": item, "name": "Same", "custom_fields_values": all_fields}
        for item in ids[4:7]
    ]
    changes += [{"action": "delete", "kind": "segment", "id": item} for item in ids[7:]]
    plan = await listener.call("plan_changes", changes=changes)
    applied = await listener.call("apply_plan", plan_id=plan["plan_id"])
    account.segments[ids[4]]["name"] = account.segments[ids[0]]["name"]
    await listener.call("undo_change", change_id=applied["change_id"])
    account.segments[ids[4]]["name"] = "Same"
    await listener.call("undo_change", change_id=applied["change_id"])
    await listener.call("list_changes")


async def work_with_statuses(listener: Listener, served: Served) -> None:
    """The same in the periodicity mode."""
    account = served.sandbox.account
    ids = list(account.statuses)
    for tool in ("get_account", "list_statuses", "audit_segments", "list_segments", "list_customers"):
        await listener.call(tool)
    await listener.call("create_statuses", statuses=[{"name": "New", "sort": 9}])
    for status_id in ids[:3]:
        await listener.call("get_status", status_id=status_id)
        changed = await listener.call("update_status", status_id=status_id, name="New", color="#fff000", sort=2)
        await listener.call("undo_change", change_id=changed["change_id"])
        deleted = await listener.call("delete_status", status_id=status_id)
        if "change_id" in deleted:
            await listener.call("undo_change", change_id=deleted["change_id"])
    changes = [{"action": "update", "kind": "status", "id": item, "color": "#fff000"} for item in ids[4:]]
    plan = await listener.call("plan_changes", changes=[*changes, {"action": "delete", "kind": "status", "id": ids[3]}])
    applied = await listener.call("apply_plan", plan_id=plan["plan_id"])
    account.statuses[ids[4]]["color"] = account.statuses[ids[5]]["name"]
    await listener.call("undo_change", change_id=applied["change_id"])
    await listener.call("list_changes")


async def be_refused(listener: Listener, served: Served, poison: Poison, target: tuple[str, str, int]) -> None:
    """Refusals whose every text is the CRM's."""
    tool, argument, target_id = target
    for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 502):
        problem = {
            "title": poison.next(),
            "type": poison.next(),
            "detail": poison.next(),
            "status": status,
            "hint": poison.next(),
            "validation-errors": [
                {
                    "request_id": poison.next(),
                    "errors": [{"code": poison.next(), "path": poison.next(), "detail": poison.next()}],
                }
            ],
        }
        headers = {"X-Request-Id": f"{MARK}\u009b31m»", "Retry-After": f"{MARK}»"}
        served.sandbox.faults.add(
            Fault(method="PATCH", status=status, body=json.dumps(problem), headers=headers, times=1)
        )
        await listener.call(tool, **{argument: target_id, "name": "New"})
        served.sandbox.faults.clear()


async def meet_what_changes_meanwhile(listener: Listener, served: Served, kind: str) -> None:
    """A plan whose targets are other ones by the time it is to be applied."""
    account = served.sandbox.account
    entities: dict[int, Any] = account.segments if kind == "segment" else account.statuses
    first, second, *_ = (item for item, entity in entities.items() if not entity.get("is_default"))
    changes = [{"action": "update", "kind": kind, "id": item, "name": "Same"} for item in (first, second)]
    plan = await listener.call("plan_changes", changes=changes)
    entities[first]["name"] = entities[first]["name"] + MARK
    del entities[second]
    await listener.call("apply_plan", plan_id=plan["plan_id"])


@pytest.mark.requirement("ANSWER-4", "ANSWER-5")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_no_text_of_the_crm_speaks_for_the_server(
    era: str, mode: str, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    poison = Poison()
    sandbox = poison.account(mode)
    work = work_with_segments if mode == "segments" else work_with_statuses
    target = ("update_segment", "segment_id", 51) if mode == "segments" else ("update_status", "status_id", 4740010)
    async with serve(sandbox) as served, listening(served, era) as listener:
        await listener.listen()
        await work(listener, served)
        await be_refused(listener, served, poison, target)
        await meet_what_changes_meanwhile(listener, served, "segment" if mode == "segments" else "status")
        async with listening(served, era, dialogs=False) as without:
            await without.call(target[0], **{target[1]: target[2], "name": "New"})
    everything = [*listener.everything(), *without.everything()]
    assert poison.stray(everything) == []
    assert {text for text in strings(everything) if text in SAID_ABOUT} == SAID_ABOUT
    assert len([asked for asked in listener.person.asked if MARK in asked.message]) > 5
    assert {item for text in strings(listener.asked()) for item in hidden(text)} == set()
    lines = [OneLineFormatter().format(record) for record in caplog.records]
    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.requirement("ANSWER-4")
@pytest.mark.parametrize("text", CANARIES)
async def test_a_mode_made_to_look_like_our_own_words_is_quoted(text: str, serve: Serve) -> None:
    poison = Poison([text])
    sandbox = poison.account("segments")
    sandbox.account.mode = poison.next()
    async with serve(sandbox) as served, listening(served, "2026-07-28") as listener:
        failure = await listener.call("plan_changes", changes=[{"action": "delete", "kind": "segment", "id": 51}])
        await listener.call("audit_segments")
        await listener.listen()
    assert failure["error"]["code"] == "mode_disabled"
    assert "«" + MARK in failure["error"]["message"]
    assert poison.stray(listener.everything()) == []


@pytest.mark.requirement("ANSWER-4")
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(OTHER_TEXTS, min_size=1, max_size=6))
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_no_text_of_the_crm_of_any_kind_speaks_for_the_server(mode: str, serve: Serve, texts: list[str]) -> None:
    poison = Poison(texts)
    work = work_with_segments if mode == "segments" else work_with_statuses
    async with serve(poison.account(mode)) as served, listening(served, next(iter(ERAS))) as listener:
        await listener.listen()
        await work(listener, served)
    assert poison.stray(listener.everything()) == []
