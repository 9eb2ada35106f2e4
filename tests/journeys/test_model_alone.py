"""A model that calls any tool with anything it was ever shown changes and deletes nothing without a person's yes.

The fake person reads the questions and refuses, or does not answer; in a second story agrees to the first question
alone. What only adds (a creation) needs no yes.
"""

from collections import defaultdict
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import Client

from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.tools.runtime.catalog import catalog
from tests.clock import Clock
from tests.conftest import Person
from tests.journeys.desk import PagePerson, desk

CALLS = 30
SCHEMAS = {name: entry.listed.input_schema for name, entry in catalog().items()}
# A story is not made shorter when it fails: that would take longer than all of them.
careful = settings(max_examples=15, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


class Model:
    """Calls tools with what it was shown: in answers, in errors, in the schemas."""

    def __init__(self, client: Client, data: st.DataObject) -> None:
        self.client, self.data = client, data
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
        tool = self.data.draw(st.sampled_from([*SCHEMAS, "confirm_change", "delete_segment", "apply_plan"]))
        result = await self.client.call_tool(tool, self.arguments(SCHEMAS[tool]))
        self.remember(result.structured_content)


def destructive(sandbox: Sandbox) -> list[str]:
    return [f"{item.method} {item.path}" for item in sandbox.requests if item.method in ("PATCH", "DELETE")]


async def story(era: str, way: str, data: st.DataObject, agrees: int) -> tuple[list[str], int]:
    """Many calls of a model, beside a person who agrees to so many questions; the destructive writes, and the yeses."""
    sandbox, clock, said = Sandbox(mode="segments"), Clock(), list[str]()

    def says(_: str = "") -> str:
        said.append("yes" if said.count("yes") < agrees else data.draw(st.sampled_from(["no", "decline", "cancel"])))
        return said[-1]

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
            if at_browser.addresses and data.draw(st.sampled_from([True, False])):
                browser = await at_browser.look(at_browser.addresses.pop())
                for _ in browser.shown.tokens:
                    await browser.press("yes" if says() == "yes" else "no")
    return destructive(sandbox), said.count("yes")


@pytest.mark.requirement("CONFIRM-18", "CONFIRM-1", "CONFIRM-3")
@pytest.mark.parametrize("way", ["dialog", "page"])
@given(data=st.data())
@careful
def test_a_model_alone_changes_and_deletes_nothing(era: str, way: str, data: st.DataObject) -> None:
    assert anyio.run(story, era, way, data, 0) == ([], 0)


@pytest.mark.requirement("CONFIRM-18")
@pytest.mark.parametrize("way", ["dialog", "page"])
@given(data=st.data())
@careful
def test_one_yes_carries_out_one_question(era: str, way: str, data: st.DataObject) -> None:
    writes, agreed = anyio.run(story, era, way, data, 1)
    # A plan or an undo is one question about at most as many steps as the model could list.
    assert len({write.rpartition("/")[2] for write in writes}) <= 2 * agreed


@pytest.mark.requirement("CONFIRM-18")
@pytest.mark.anyio
async def test_in_the_conversation_a_model_can_agree_by_itself(era: str) -> None:
    """Why chat is the weakest way, and only the operator chooses it, or nothing better is there."""
    sandbox = Sandbox(mode="segments")
    async with desk(sandbox, PagePerson(), choice="chat") as served, served.client(era) as client:
        asked = (await client.call_tool("delete_segment", {"segment_id": 51})).structured_content or {}
        await client.call_tool("confirm_change", {"approval_id": asked["error"]["approval_id"]})
    assert destructive(sandbox) == ["DELETE /api/v4/customers/segments/51"]
