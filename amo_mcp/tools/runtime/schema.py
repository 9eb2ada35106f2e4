"""JSON schemas that every model provider takes, made of what pydantic makes.

No `$ref`, no unions, no boolean schemas, no `title` noise; an optional argument is one that is not in `required`.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class PlainJsonSchema(GenerateJsonSchema):
    """Pydantic's generator without `null` branches, `null` defaults and titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What `T | None` is without the `None`."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default of `None` or of nothing says no more than being optional."""
        plain = super().default_schema(schema)
        if not plain.get("default"):
            plain.pop("default", None)
        return plain

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title repeats the name."""
        return False


def inline(schema: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """`schema` with its references put in place.

    A `closed` one is for arguments: objects take nothing that is not named. Otherwise it is for answers, whose keys
    are there when the API gave them.
    What a model class says of itself in its docstring is for developers and left out; what a property says stays.
    """
    inlined: dict[str, Any] = _inlined({**schema, "description": None}, schema.get("$defs", {}), closed=closed)
    return inlined


def _inlined(node: Any, defs: dict[str, Any], *, closed: bool) -> Any:
    if isinstance(node, list):
        return [_inlined(item, defs, closed=closed) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[-1]]
        kept = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined({**target, "description": None, **kept}, defs, closed=closed)
    made = {
        key: _inlined(value, defs, closed=closed)
        for key, value in node.items()
        if key not in _NOISE and value not in (None, {})
    }
    if "properties" in node:
        made["properties"] = {name: _inlined(value, defs, closed=closed) for name, value in node["properties"].items()}
        if closed:
            made["additionalProperties"] = False
        else:
            made.pop("required", None)
    return made


_NOISE = ("$defs", "title", "properties", "additionalProperties")
