"""What the tool formats of the model providers take, as far as they publish it; the strictest of them counts.

A client hands our tools to whatever model its person has chosen, and a provider that refuses one schema refuses the
whole list. Where a provider has raised a limit, the older and lower one is kept: not every model has followed.

- Claude: "Define tools" and "Troubleshooting tool use" (platform.claude.com/docs), and the API's own refusals.
- OpenAI: "Function calling" and "Structured outputs, supported schemas" (platform.openai.com/docs).
- Gemini: `FunctionDeclaration` and `Schema` (ai.google.dev/api/caching, cloud.google.com/vertex-ai reference).
"""

import re
from collections.abc import Iterator
from typing import Any

TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""Claude and OpenAI: letters, digits, `_` and `-`, at most 64. Gemini: begins with a letter or `_`."""

MAX_PREFIXED_NAME = 60
"""Clients put the server's name in front (`mcp__amo-mcp__`), and some count no further than 60."""

PROPERTY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Claude: letters, digits, `_`, `.` and `-`, at most 64. Gemini: begins with a letter or `_`, no `.` and no `-`."""

MAX_DESCRIPTION = 1024
"""OpenAI, for a function; the same is kept for a property."""

MAX_TOOLS = 128
"""OpenAI, functions in one request."""

TYPES = {"string", "integer", "number", "boolean", "array", "object"}
"""All three: one of these. A list of types is a union, which Gemini's `Schema` does not have."""

KEYWORDS = {
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "default",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
}
"""What all three know. Not among them, and refused by one or the other: `$ref`, `$defs`, `$schema`, `anyOf`, `oneOf`,
`allOf`, `not`, `if`, `const`, `prefixItems`, `patternProperties`, `propertyNames`, `dependentRequired`, `uniqueItems`,
`exclusiveMinimum`, `examples`. `format`, `pattern` and the lengths of strings are known to all but each in its own
extent, so they are left out. `additionalProperties` is not in Gemini's `Schema` (there it has to be sent as
`parametersJsonSchema`, or left out by the client) and has to be false for OpenAI's strict mode."""

MAX_DEPTH = 5
"""OpenAI: levels of objects (10 by now)."""

MAX_PROPERTIES = 100
"""OpenAI: properties of one schema in all (5,000 by now)."""

MAX_CHOICES = 500
"""OpenAI: enum values of one schema in all (1,000 by now)."""

MAX_CHOICES_OF_ONE_ENUM = 250
"""OpenAI: values of one enum, from which on their letters are counted too."""

MAX_LETTERS = 15_000
"""OpenAI: letters of property names and enum values of one schema in all (120,000 by now)."""


def problems_of_tool(name: str, description: str, schema: Any, server: str = "amo-mcp") -> list[str]:
    """Why a provider may refuse a tool, a sentence each."""
    return [
        *_when(not TOOL_NAME.fullmatch(name), f"{name} is no name"),
        *_when(len(f"mcp__{server}__{name}") > MAX_PREFIXED_NAME, f"{name} is too long behind the server's name"),
        *_when(not 0 < len(description) <= MAX_DESCRIPTION, f"{name} has no description or a long one"),
        *_when(not isinstance(schema, dict) or schema.get("type") != "object", f"{name} takes no object"),
        *_problems(schema, name),
        *_sums(schema, name),
    ]


def _problems(schema: Any, path: str) -> Iterator[str]:
    """What is wrong at one place of a schema, and below it."""
    if not isinstance(schema, dict):
        yield f"{path} is not an object"
        return
    unknown = sorted(schema.keys() - KEYWORDS)
    yield from _when(unknown, f"{path} has {', '.join(unknown)}")
    kind = schema.get("type")
    yield from _when(kind not in [*TYPES], f"{path} has no single type")
    yield from _when(("enum" in schema) and not _is_enum(schema), f"{path} has an enum that is not of different texts")
    if kind == "array":
        yield from _problems(schema.get("items"), f"{path}[]")
    elif kind == "object":
        yield from _problems_of_object(schema, path)


def _problems_of_object(schema: dict[str, Any], path: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    yield from _when(schema.get("additionalProperties") is not False, f"{path} is open")
    yield from _when(not properties and path.endswith("[]"), f"{path} is an object of nothing")
    required = schema.get("required", [])
    wrong = len({*required}) < len(required) or not properties.keys() >= {*required}
    yield from _when(wrong, f"{path} requires what it does not have")
    for name, inner in properties.items():
        yield from _when(not PROPERTY_NAME.fullmatch(name), f"{path}.{name} is no name")
        described = isinstance(inner, dict) and 0 < len(inner.get("description") or "") <= MAX_DESCRIPTION
        yield from _when(not described, f"{path}.{name} has no description or a long one")
        yield from _problems(inner, f"{path}.{name}")


def _is_enum(schema: dict[str, Any]) -> bool:
    """Gemini: enums are of strings, and none of them is empty."""
    choices = schema["enum"]
    texts = [choice for choice in choices if isinstance(choice, str) and choice]
    return schema.get("type") == "string" and 0 < len({*texts}) == len(choices) <= MAX_CHOICES_OF_ONE_ENUM


def _sums(schema: Any, path: str) -> Iterator[str]:
    """What is too much of a whole schema."""
    parts = [*_parts(schema, 1)]
    names = [name for part, _ in parts for name in part.get("properties", {})]
    choices = [str(choice) for part, _ in parts for choice in part.get("enum", [])]
    deepest = max((depth for part, depth in parts if part.get("type") == "object"), default=0)
    letters = sum(map(len, [*names, *choices]))
    yield from _when(deepest > MAX_DEPTH, f"{path} is {deepest} levels deep")
    yield from _when(len(names) > MAX_PROPERTIES, f"{path} has {len(names)} properties")
    yield from _when(len(choices) > MAX_CHOICES, f"{path} has {len(choices)} choices")
    yield from _when(letters > MAX_LETTERS, f"{path} has {letters} letters of names and choices")


def _parts(schema: Any, depth: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Every schema within a schema, with the level of objects that it is on."""
    if not isinstance(schema, dict):
        return
    yield schema, depth
    below = depth + (schema.get("type") == "object")
    for inner in (*schema.get("properties", {}).values(), schema.get("items")):
        yield from _parts(inner, below)


def _when(wrong: object, problem: str) -> list[str]:
    return [problem] if wrong else []
