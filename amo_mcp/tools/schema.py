"""JSON schemas that every model provider takes, made of what pydantic makes.

No `$ref`, no unions, no boolean schemas, no `title` noise; an optional argument is one that is not in `required`.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class Plain(GenerateJsonSchema):
    """Pydantic's generator without `null` branches, `null` defaults and titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What `T | None` is without the `None`."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default of `None` or of nothing says no more than being optional."""
        told = super().default_schema(schema)
        if not told.get("default"):
            told.pop("default", None)
        return told

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: the name says it."""
        return False


def plain(schema: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """`schema` with its references put in place; `closed` says that objects take nothing that is not named."""
    made = _inlined(schema, schema.get("$defs", {}), closed=closed)
    assert isinstance(made, dict)  # noqa: S101 - a schema of an object is an object
    return made


def _inlined(node: Any, defs: dict[str, Any], *, closed: bool) -> Any:
    if isinstance(node, list):
        return [_inlined(item, defs, closed=closed) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[-1]]
        kept = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined({**target, **kept}, defs, closed=closed)
    made = {key: _inlined(value, defs, closed=closed) for key, value in node.items() if key not in _NOISE}
    if "properties" in node:
        made["properties"] = {
            name: _inlined(value, defs, closed=closed) for name, value in node["properties"].items()
        }
        if closed:
            made["additionalProperties"] = False
    return made


_NOISE = ("$defs", "title", "properties", "additionalProperties")
