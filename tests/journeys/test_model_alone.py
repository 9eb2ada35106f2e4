"""A model that calls any tool with anything it was ever shown changes and deletes nothing without a person's yes.

The fake person reads the questions and refuses, or does not answer; in a second story agrees to the first question
alone. What only adds (a creation) needs no yes.
"""

from collections import Counter, defaultdict
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp_types import InputRequiredResult

from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.tools.runtime.catalog import catalog
from tests.clock import Clock
from tests.conftest import Person
from tests.journeys.desk import PagePerson, desk

CALLS = 30
SCHEMAS = {name: entry.listed.input_schema for name, entry in catalog().items()}
LIKELY = ("delete_segment", "update_segment", "apply_plan") * 3
"""Tools that ask: a story has many questions."""
# A story is not made shorter when it fails: that would take longer than all of them.
careful = settings(max_examples=15, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


class Model:
    """Calls tools with what it was shown: in answers, in errors, in the schemas.

    `claimed` counts the calls that reached a question which waits for a person, without an answer of theirs.
    """

    def __init__(self, client: Client, data: st.DataObject) -> None:
        self.client, self.data = client, data
        self.claimed = 0
        self.states: list[tuple[str, dict[str, Any], str]] = []
        self.shown: dict[str, list[Any]] = defaultdict(list, {"id": [51, 21], "segment_id": [51, 21]})

    def remember(self, value: Any, key: str = "") -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self.remember(item, name)
        elif isinstance(value, list):
            for item in value:
                self.remember(item, key)
        elif value is not None and value not in self.shown[key]:
            self.shown[key].append(value)

    def value(self, key: str, schema: dict[str, Any]) -> Any:
        """Something to give for an argument: mostly what was shown under its name, else anything of its type."""
        if "enum" in schema:
            return self.data.draw(st.sampled_from(schema["enum"]))
        match schema["type"]:
            case "object":
                return self.arguments(schema)
            case "array":
                return [self.value(key, schema["items"]) for _ in range(self.data.draw(st.integers(1, 2)))]
            case kind:
                types: Any = {"integer": int, "number": int, "string": str, "boolean": bool}[kind]
                known = [*self.shown[key][-3:], *(self.shown["id"][-3:] if key.endswith("id") else [])]
                others = [item for values in self.shown.values() for item in values[-2:]]
                fitting = [item for item in known or others if isinstance(item, types)]
                return self.data.draw(st.sampled_from(fitting or [{"integer": 1, "string": "VIP"}.get(kind, True)]))

    def arguments(self, schema: dict[str, Any]) -> dict[str, Any]:
        required = schema.get("required", [])
        properties = schema.get("properties", {}).items()
        given = [key for key, _ in properties if key in required or self.data.draw(st.booleans())]
        return {key: self.value(key, schema["properties"][key]) for key in given}

    async def call(self) -> None:
        what = self.data.draw(st.sampled_from(["call", "call", "leave", "claim"]))
        if what == "claim" and self.states:
            return await self.claim(*self.states[self.data.draw(st.integers(-min(3, len(self.states)), -1))])
        tool = self.data.draw(st.sampled_from([*SCHEMAS, *LIKELY]))
        if what == "claim" and self.shown["approval_id"]:
            tool = "confirm_change"
        arguments = self.arguments(SCHEMAS[tool])
        if what == "leave":
            return await self.claim(tool, arguments)
        result = await self.client.call_tool(tool, arguments)
        self.remember(result.structured_content)
        code = ((result.structured_content or {}).get("error") or {}).get("code")
        self.claimed += tool == "confirm_change" and code == "confirmation_pending"
        return None

    async def claim(self, tool: str, arguments: dict[str, Any], state: str | None = None) -> None:
        """Leave a dialog unanswered (2026-07-28), or go on with one as if it had been answered."""
        result = await self.client.session.call_tool(tool, arguments, request_state=state, allow_input_required=True)
        if not isinstance(result, InputRequiredResult):
            self.remember(result.structured_content)
        elif result.request_state:
            self.states.append((tool, arguments, result.request_state))
            self.claimed += state is not None


def destructive(sandbox: Sandbox) -> list[str]:
    return [f"{item.method} {item.path}" for item in sandbox.requests if item.method in ("PATCH", "DELETE")]


async def story(era: str, way: str, data: st.DataObject, agrees: int) -> tuple[list[str], Counter[str]]:
    """Many calls of a model, beside a person who agrees to so many questions.

    The destructive writes; and how often the person said what, and the model claimed a question that waits.
    """
    sandbox, clock, said = Sandbox(mode="segments"), Clock(), Counter[str]()

    def says(_: str = "") -> str:
        word = "yes" if said["yes"] < agrees else data.draw(st.sampled_from(["no", "decline", "cancel"]))
        said[word] += 1
        return word

    at_browser = PagePerson("")
    approvals = MemoryApprovalStore(clock)
    async with (
        desk(sandbox, at_browser, approvals=approvals, sleep=clock.sleep, choice=way) as served,
        served.client(era, Person(says) if way == "dialog" else None) as client,
    ):
        model = Model(client, data)
        for _ in range(CALLS):
            await model.call()
            clock.now += 5
            if at_browser.addresses and data.draw(st.integers(0, 2)) == 0:
                browser = await at_browser.look(at_browser.addresses.pop())
                for _ in browser.shown.tokens:
                    await browser.press("yes" if says() == "yes" else "no")
    said["claimed"] = model.claimed
    return destructive(sandbox), said


def stories(era: str, way: str, agrees: int) -> list[list[str]]:
    """The destructive writes of many stories, which have tried what they tell of."""
    told, all_writes = Counter[str](), list[list[str]]()

    @given(data=st.data())
    @careful
    def tell(data: st.DataObject) -> None:
        writes, said = anyio.run(story, era, way, data, agrees)
        assert said["yes"] <= agrees
        # A plan or an undo is one question about at most as many steps as the model could list.
        assert len({write.rpartition("/")[2] for write in writes}) <= 2 * said["yes"], (writes, said)
        told.update(said)
        all_writes.append(writes)

    tell()
    assert told["no"] and told["decline"] and told["cancel"]
    # Up to 2025-11-25 nobody but the client, which shows the dialog, learns of the question while it waits.
    assert told["claimed"] >= careful.max_examples // 5 or (era, way) == ("2025-11-25", "dialog")
    return all_writes


@pytest.mark.exhaustive
@pytest.mark.requirement("CONFIRM-18", "CONFIRM-1", "CONFIRM-3")
@pytest.mark.parametrize("way", ["dialog", "page"])
def test_a_model_alone_changes_and_deletes_nothing(era: str, way: str) -> None:
    assert not any(stories(era, way, agrees=0))


@pytest.mark.exhaustive
@pytest.mark.requirement("CONFIRM-18")
@pytest.mark.parametrize("way", ["dialog", "page"])
def test_one_yes_carries_out_one_question(era: str, way: str) -> None:
    assert any(stories(era, way, agrees=1))


@pytest.mark.requirement("CONFIRM-18")
@pytest.mark.anyio
async def test_in_the_conversation_a_model_can_agree_by_itself(era: str) -> None:
    """Why chat is the weakest way, and only the operator chooses it, or nothing better is there."""
    sandbox = Sandbox(mode="segments")
    async with desk(sandbox, PagePerson(), choice="chat") as served, served.client(era) as client:
        asked = (await client.call_tool("delete_segment", {"segment_id": 51})).structured_content or {}
        await client.call_tool("confirm_change", {"approval_id": asked["error"]["approval_id"]})
    assert destructive(sandbox) == ["DELETE /api/v4/customers/segments/51"]
