"""Arguments as models send them, made strict: unknown names refused, `null` not given, problems in our words.

What is compared and worded is bounded first, so that no call keeps the others waiting.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from amo_mcp.failures.failure import MAX_FIELDS, invalid_arguments
from amo_mcp.text import escape_invisible, quote_given, sanitize

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_VALUES = 50_000
"""Keys and list entries in the arguments of a call: a full plan has about half as many."""

_MAX_NAME_CHARACTERS = 60

_DETAILS = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a reasonable size",
    "int_from_float": "must be a whole number",
    "string_type": "must be text",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "string_unicode": "must be text",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} entries, not {actual_length}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}
"""What is wrong, by pydantic's type of the error, with its context filled in."""

_NAMELESS = {"missing", "too_short", "too_long"}
"""Where the value itself says nothing."""


def validated(arguments: dict[str, Any], model: type[ModelT], schema: dict[str, Any]) -> ModelT:
    """The arguments as `model`; `schema` is what the model was told of them.

    Raises:
        Failure: `invalid_arguments`, with the first `MAX_FIELDS` problems and how many there are.
    """
    known = schema["properties"]
    if unknown := [name for name in arguments if name not in known]:
        told = [(_shown(name), _unknown(name, list(known))) for name in unknown[:MAX_FIELDS]]
        raise invalid_arguments(told, len(unknown))
    given = _unwrapped(arguments, schema)
    if _exceeds(given, MAX_VALUES):
        raise invalid_arguments([("arguments", f"must have at most {MAX_VALUES} keys and entries")])
    try:
        return model.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        found = error.errors(include_url=False)
        told = [(_path(item), _detail(item, schema)) for item in found[:MAX_FIELDS]]
        raise invalid_arguments(told, len(found)) from None


def _unwrapped(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` with each list and each object that came as JSON text, as some clients send it, as itself."""
    kind = {"array": list, "object": dict}.get(schema["type"])
    if isinstance(value, str) and kind:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    match value:
        case list() if kind is list:
            return [_unwrapped(item, schema["items"]) for item in value]
        case dict() if kind is dict:
            known = schema.get("properties", {})
            return {name: _unwrapped(item, known[name]) if name in known else item for name, item in value.items()}
        case _:
            return value


def _exceeds(value: Any, limit: int) -> bool:
    """Whether a value has more than `limit` keys and list entries, at all depths together."""
    containers = [value]
    while containers and limit >= 0:
        container = containers.pop()
        limit -= len(container)
        inner = container.values() if isinstance(container, dict) else container
        containers += [item for item in inner if isinstance(item, dict | list)]
    return limit < 0


def _path(item: ErrorDetails) -> str:
    return ".".join(_shown(str(part)) for part in item["loc"]) or "arguments"


def _shown(name: str) -> str:
    return sanitize(escape_invisible(name[:_MAX_NAME_CHARACTERS])) or "?"


def _detail(item: ErrorDetails, schema: dict[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown(str(item["loc"][-1]), _names_at(item["loc"][:-1], schema))
    detail = _DETAILS.get(item["type"], "is not valid").format(**item.get("ctx", {}))
    match item["input"]:
        case None:
            return "is required"
        case _ if item["type"] in _NAMELESS:
            return detail
        case list():
            return f"{detail}, not a list"
        case dict():
            return f"{detail}, not an object"
        case str() as text:
            return f"{quote_given(text)} {detail}" if text.strip() else detail
        case value:
            return f"{sanitize(json.dumps(value))} {detail}"


def _unknown(name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name[:_MAX_NAME_CHARACTERS].lower(), known, n=1, cutoff=0.0)
    return f"is not a known argument; the nearest is {nearest[0]}" if nearest else "is not known; none are taken"


def _names_at(path: Sequence[int | str], schema: dict[str, Any]) -> list[str]:
    """The names that the schema knows at `path`."""
    for part in path:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    return list(schema["properties"])
