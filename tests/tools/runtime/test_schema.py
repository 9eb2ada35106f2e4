"""JSON schemas made plain: nothing that a model provider refuses, and nothing said twice."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from amo_mcp.amocrm.inputs import LAX
from amo_mcp.tools.runtime.schema import PlainJsonSchema, inline


class Part(BaseModel):
    """What developers read of a part."""

    kind: Literal["a", "b"]
    label: Annotated[str | None, Field(description="A label")] = None


class Whole(BaseModel):
    """What developers read of the whole."""

    part: Annotated[Part, Field(description="A part")]
    parts: Annotated[list[Part], Field(min_length=1, max_length=3, description="More parts")]
    size: Annotated[Annotated[int, Field(ge=1, le=5), LAX] | None, Field(description="A size")] = None
    order: Annotated[str, Field(description="An order")] = "up"
    note: Annotated[str, Field(description="A note")] = ""


def schema_of(model: type[BaseModel], *, closed: bool) -> dict[str, Any]:
    return inline(model.model_json_schema(schema_generator=PlainJsonSchema), closed=closed)


def test_a_schema_for_arguments_is_closed_inlined_and_without_null() -> None:
    part = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"]},
            "label": {"type": "string", "description": "A label"},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }
    assert schema_of(Whole, closed=True) == {
        "type": "object",
        "properties": {
            "part": {**part, "description": "A part"},
            "parts": {"type": "array", "items": part, "minItems": 1, "maxItems": 3, "description": "More parts"},
            "size": {"type": "integer", "minimum": 1, "maximum": 5, "description": "A size"},
            "order": {"type": "string", "default": "up", "description": "An order"},
            "note": {"type": "string", "description": "A note"},
        },
        "required": ["part", "parts"],
        "additionalProperties": False,
    }


def test_a_schema_for_answers_is_open_and_requires_nothing() -> None:
    schema = schema_of(Whole, closed=False)
    assert schema.keys() == {"type", "properties"}
    assert schema["properties"]["part"].keys() == {"type", "properties", "description"}


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    class Odd(BaseModel):
        title: str
        properties: int
        default: bool

    assert list(schema_of(Odd, closed=True)["properties"]) == ["title", "properties", "default"]
