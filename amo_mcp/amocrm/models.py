"""What the API says (`Segment`, `Status`, `Account`, `CustomField`) and what it accepts (drafts and patches).

Reading is tolerant: unknown keys are kept, `null` and `[]` mean the same, any colour is a colour. Writing is strict:
colours come from the palette, and nothing is sent that was not set.
"""

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, NotRequired

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_serializer,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core.core_schema import (
    CoreSchema,
    chain_schema,
    datetime_schema,
    int_schema,
    lax_or_strict_schema,
    no_info_plain_validator_function,
    union_schema,
    with_default_schema,
)
from typing_extensions import TypedDict

from amo_mcp.amocrm.limits import STATUS_COLORS, segment_color, status_color

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DIGITS = re.compile(r"-?[0-9]{1,20}")
_NESTED = {dict, list}
_DEEPEST = 30
"""Levels of what is kept as it is; in the reference it has five at most."""

_UNSEEN = re.compile("[\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


def _from_unix(value: Any) -> datetime | None:
    """The moment of Unix seconds; None for anything that is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def iso_utc(moment: datetime) -> str:
    """`moment` as ISO 8601 in UTC, to the second: `2026-11-22T12:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class NullAs:
    """`null` is read as this value.

    What is not `null` is read by compiled code alone; a validator before it would be called for every value.
    """

    value: object

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What is asked for, or else what stands for none of it."""
        read = handler(source)
        either = union_schema([read, no_info_plain_validator_function(self._instead)], mode="left_to_right")
        # What is written is what the strict one writes.
        return lax_or_strict_schema(either, read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What is asked for: `null` is never answered."""
        assert schema["type"] == "lax-or-strict"  # noqa: S101 - it was made above
        return handler(schema["strict_schema"])

    def _instead(self, value: Any) -> Any:
        # An empty list may come as the `{}` of a language whose lists and maps are one.
        if value is None or (value == {} and isinstance(self.value, list)):
            return copy(self.value)
        raise ValueError("is of another shape")


class _Moment:
    """Unix seconds or a moment; None for anything else."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read by compiled code alone."""
        seconds = chain_schema([int_schema(strict=True), datetime_schema()])
        either = union_schema([seconds, datetime_schema(strict=True)], mode="left_to_right")
        return lax_or_strict_schema(with_default_schema(either, default=None, on_error="default"), handler(source))


Timestamp = Annotated[datetime | None, _Moment(), WithJsonSchema({"type": "string"})]
"""A moment: Unix seconds from the API, an aware datetime in code, ISO 8601 UTC in answers."""

IntOrNull = Annotated[int, NullAs(0)]
BoolOrNull = Annotated[bool, NullAs(value=False)]

StrOrNull = Annotated[str, NullAs("")]
"""Text of the API, where `null` is as good as empty."""


def _passable(value: Any) -> Any:
    """Refuse what is nested deeper than can be passed on: who reads it has a limit too."""
    level = [value] if type(value) in _NESTED else []
    for _ in range(_DEEPEST):
        if not level:
            break
        inner = chain.from_iterable(node.values() if type(node) is dict else node for node in level)
        level = [item for item in inner if type(item) in _NESTED]
    if level:
        raise ValueError("is nested too deep")
    return value


AnyJson = Annotated[Any, AfterValidator(_passable)]
"""Whatever the API says there."""


class ApiModel(BaseModel):
    """Something that the API says. Unknown keys are kept."""

    __pydantic_extra__: dict[str, AnyJson] = Field(init=False)

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True, val_temporal_unit="seconds")


class Account(ApiModel):
    """The account (`GET /account`)."""

    id: int
    name: StrOrNull = ""
    subdomain: StrOrNull = ""
    customers_mode: StrOrNull = ""
    current_user_id: int | None = None


class Rights(ApiModel):
    """What a user may do."""

    is_admin: BoolOrNull = False


class User(ApiModel):
    """A user of the account."""

    id: int
    rights: Rights = Rights()


class Status(ApiModel):
    """One status of customers, in the periodicity mode (reference: "Список статусов покупателей").

    `type`: 0 ordinary, 1 purchase expected, 2 did not purchase, 3 closed, 4 purchased recently. `conditions` is opaque
    and read-only: the API can neither create nor change conditions.
    """

    id: int
    name: StrOrNull
    sort: IntOrNull = 0
    color: StrOrNull = ""
    type: IntOrNull = 0
    is_default: BoolOrNull = False
    conditions: Annotated[list[AnyJson], NullAs([])] = []
    account_id: SkipJsonSchema[int | None] = None


class FieldValue(TypedDict, total=False, extra_items=AnyJson):  # type: ignore[call-arg]  # mypy does not know PEP 728 yet
    """One value of a custom field. A choice also has `enum_id`, and `enum_code` where one is set.

    A dictionary: in a long list the values are most of what is read, and a model takes nearly twice as long.
    """

    value: AnyJson
    enum_id: int | None
    enum_code: str | None


class FieldValues(TypedDict, extra_items=AnyJson):  # type: ignore[call-arg]
    """The values of one custom field of a segment."""

    field_id: int
    field_name: NotRequired[str | None]
    field_code: NotRequired[str | None]
    field_type: NotRequired[str | None]
    values: Annotated[list[FieldValue], NullAs([]), Field(default_factory=list)]


def told_values(values: Sequence[FieldValue], field_type: str | None) -> Sequence[FieldValue]:
    """The values as they are told: dates come as Unix seconds and are told as ISO 8601."""
    return [_told_moment(value) for value in values] if field_type in ("date", "date_time") else values


def _told_moment(value: FieldValue) -> FieldValue:
    moment = _from_unix(value.get("value"))
    return {**value, "value": iso_utc(moment)} if moment else value


class Segment(ApiModel):
    """One segment of customers, in the segments mode (reference: "Список сегментов покупателей")."""

    id: int
    name: StrOrNull
    color: StrOrNull = ""
    customers_count: int | None = None
    created_at: Timestamp = None
    updated_at: Timestamp = None
    account_id: SkipJsonSchema[int | None] = None
    custom_fields_values: Annotated[
        list[FieldValues],
        NullAs([]),
        WithJsonSchema({"type": "array", "items": {"type": "object"}}),
    ] = []
    available_products_price_types: Annotated[list[int], NullAs([])] = []

    @field_serializer("custom_fields_values", mode="wrap", when_used="json")
    def _told_fields(self, fields: list[FieldValues], tell: SerializerFunctionWrapHandler) -> Any:
        return tell([{**field, "values": told_values(field["values"], field.get("field_type"))} for field in fields])


class FieldChoice(ApiModel):
    """One choice of a select, multiselect or radiobutton field."""

    id: int
    value: StrOrNull = ""
    code: str | None = None


class CustomField(ApiModel):
    """The definition of a custom field that segments can have."""

    id: int
    name: StrOrNull = ""
    type: StrOrNull = ""
    code: str | None = None
    enums: Annotated[list[FieldChoice], NullAs([])] = []


class CreatedStatus(ApiModel):
    """What creating a status answers: only its id and the echo of `request_id`."""

    id: int
    request_id: str | None = None


class ApiInput(BaseModel):
    """Something that the API accepts: nothing unknown, and only what was set is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def to_payload(self) -> dict[str, Any]:
        """The body to send: what was given, `None` left out."""
        return self.model_dump(mode="json", exclude_none=True)


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    if _CONTROL.search(text):
        raise ValueError("must not have control characters or line breaks")
    if _UNSEEN.search(text):
        raise ValueError("must not have zero-width, bidirectional or other unseen characters")
    return text


def _encodable(text: str) -> str:
    if _SURROGATE.search(text):
        raise ValueError("has half of a surrogate pair, which is not text")
    return text


def _sort(value: int) -> int:
    if not 0 <= value < 2**31:
        raise ValueError("must be from 0 to 2147483647")
    return value


def _entity_id(value: int) -> int:
    if not 0 < value < 2**63:
        raise ValueError("must be a positive whole number")
    return value


def _whole(value: Any) -> Any:
    """Refuse what would pass for a whole number and is none: true, "5_1", "51.0", Arabic digits."""
    if isinstance(value, bool) or (isinstance(value, str) and not _DIGITS.fullmatch(value.strip())):
        raise ValueError("must be a whole number")
    return value


Text = Annotated[str, AfterValidator(_encodable)]
Name = Annotated[Text, AfterValidator(_name)]
LaxInt = Annotated[int, BeforeValidator(_whole)]
EntityId = Annotated[LaxInt, AfterValidator(_entity_id)]
Sort = Annotated[LaxInt, AfterValidator(_sort)]
StatusColor = Annotated[str, AfterValidator(status_color)]
SegmentColor = Annotated[str, AfterValidator(segment_color)]


class StatusDraft(ApiInput):
    """A status to create."""

    name: Annotated[Name, Field(description="Name")]
    sort: Annotated[Sort, Field(description="Position; the account renumbers positions from 0")]
    color: Annotated[
        StatusColor | None, Field(description="Colour", json_schema_extra={"enum": list(STATUS_COLORS)})
    ] = None
    request_id: Annotated[Text | None, Field(description="Echoed, not stored")] = None


class StatusPatch(ApiInput):
    """What to change in a status; what is `None` stays."""

    name: Name | None = None
    sort: Sort | None = None
    color: StatusColor | None = None


class SegmentPatch(ApiInput):
    """What to change in a segment; what is `None` stays.

    `custom_fields_values` is in the form that the API takes (see `custom_fields.for_sending`). A field that is not
    named keeps its values (assumed: the reference's examples suggest it, nothing states it).
    """

    name: Name | None = None
    color: SegmentColor | None = None
    custom_fields_values: list[dict[str, Any]] | None = None
    available_products_price_types: list[EntityId] | None = None

    def to_payload(self) -> dict[str, Any]:
        """The body to send. A `null` inside a custom field clears that field, so it is kept."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}


class SegmentDraft(SegmentPatch):
    """A segment to create."""

    name: Name
