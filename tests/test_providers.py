"""Every tool is one that Claude, OpenAI and Gemini take; the rules and where they come from are in providers.py."""

from typing import Any

import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.tools.runtime.catalog import catalog
from tests.conftest import Serve
from tests.providers import MAX_TOOLS, problems_of_tool

TEXT = {"type": "string", "description": "Text"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def nested(levels: int) -> dict[str, Any]:
    inner = schema(text=TEXT)
    for _ in range(levels - 1):
        inner = schema(inner={**inner, "description": "More"})
    return inner


@pytest.mark.requirement("TOOL-4")
@pytest.mark.anyio
async def test_every_listed_tool_is_accepted_by_every_provider(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        listed = (await client.list_tools()).tools
    problems = [problems_of_tool(tool.name, tool.description or "", tool.input_schema) for tool in listed]
    assert problems == [[]] * len(listed)
    assert len(listed) == len(catalog()) <= MAX_TOOLS


@pytest.mark.parametrize(
    "sound",
    [
        schema(),
        schema(text=TEXT),
        schema(colour={**TEXT, "enum": ["red", "blue"]}),
        schema(many={"type": "array", "description": "Many", "items": schema(text=TEXT), "maxItems": 3}),
        {**schema(text=TEXT), "required": ["text"]},
        nested(5),
        schema(**{f"text_{number}": TEXT for number in range(100)}),
    ],
)
def test_a_schema_within_the_limits_has_no_problems(sound: dict[str, Any]) -> None:
    assert problems_of_tool("tool", "A tool.", sound) == []


@pytest.mark.requirement("TOOL-4")
@pytest.mark.parametrize(
    ("wrong", "problems"),
    [
        (True, ["tool takes no object", "tool is not an object"]),
        ({**schema(), "anyOf": [schema()]}, ["tool has anyOf"]),
        ({**schema(), "$defs": {}, "title": "Tool"}, ["tool has $defs, title"]),
        ({"type": "object", "properties": {}}, ["tool is open"]),
        (TEXT, ["tool takes no object"]),
        (
            schema(any={"$ref": "#/$defs/Any", "description": "Any"}),
            ["tool.any has $ref", "tool.any has no single type"],
        ),
        (schema(any=True), ["tool.any has no description or a long one", "tool.any is not an object"]),
        (schema(text={"type": "string"}), ["tool.text has no description or a long one"]),
        (schema(text={**TEXT, "description": "x" * 1025}), ["tool.text has no description or a long one"]),
        (schema(text={**TEXT, "type": ["string", "null"]}), ["tool.text has no single type"]),
        (schema(text={**TEXT, "const": "x"}), ["tool.text has const"]),
        (schema(**{"of-it": TEXT}), ["tool.of-it is no name"]),
        (schema(**{"1st": TEXT}), ["tool.1st is no name"]),
        ({**schema(text=TEXT), "required": ["other"]}, ["tool requires what it does not have"]),
        (schema(many={"type": "array", "description": "Many"}), ["tool.many[] is not an object"]),
        (
            schema(many={"type": "array", "description": "Many", "items": {"anyOf": [TEXT]}}),
            ["tool.many[] has anyOf", "tool.many[] has no single type"],
        ),
        (
            schema(many={"type": "array", "description": "Many", "items": schema()}),
            ["tool.many[] is an object of nothing"],
        ),
        (schema(text={**TEXT, "enum": ["a", ""]}), ["tool.text has an enum that is not of different texts"]),
        (schema(text={**TEXT, "enum": ["a", "a"]}), ["tool.text has an enum that is not of different texts"]),
        (
            schema(text={**TEXT, "type": "integer", "enum": [1]}),
            ["tool.text has an enum that is not of different texts"],
        ),
        (nested(6), ["tool is 6 levels deep"]),
        (schema(**{f"text_{number}": TEXT for number in range(101)}), ["tool has 101 properties"]),
        (
            schema(**{name: {**TEXT, "enum": [f"{name}{number}" for number in range(167)]} for name in "abc"}),
            ["tool has 501 choices"],
        ),
        (schema(text={**TEXT, "enum": ["x" * 15_000]}), ["tool has 15004 letters of names and choices"]),
    ],
)
def test_whatever_a_provider_refuses_is_reported_with_its_place(wrong: Any, problems: list[str]) -> None:
    assert problems_of_tool("tool", "A tool.", wrong) == problems


@pytest.mark.parametrize(
    ("name", "description", "problems"),
    [
        ("delete.segment", "A tool.", ["delete.segment is no name"]),
        ("1st", "A tool.", ["1st is no name"]),
        ("x" * 47, "A tool.", [f"{'x' * 47} is too long behind the server's name"]),
        ("tool", "", ["tool has no description or a long one"]),
        ("tool", "x" * 1025, ["tool has no description or a long one"]),
    ],
)
def test_a_name_or_description_that_a_provider_refuses_is_reported(
    name: str, description: str, problems: list[str]
) -> None:
    assert problems_of_tool(name, description, schema()) == problems
