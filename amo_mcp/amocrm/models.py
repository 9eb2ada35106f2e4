"""What the API says: segments, statuses, custom fields, the account.

Reading is tolerant: unknown keys are kept, `null` and `[]` mean the same, any colour is a colour.
"""

from copy import copy
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, ClassVar, NotRequired

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_serializer,
    model_validator,
    with_config,
)
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict

from amo_mcp.amocrm.zones import UNKNOWN, Zone, zone_of

_NESTED = {dict, list}
_MAX_DEPTH = 36
"""Levels of one entity; in the reference it has nine at most. Clients have a limit too, and 64 is a common one."""

SEGMENT_SETTINGS = frozenset(
    {"id", "name", "color", "custom_fields_values", "available_products_price_types", "created_at"}
)
"""What a person sets in a segment, and what makes it this one; not its customers, who come and go."""


def _from_unix(value: Any, zone: Zone) -> datetime | None:
    """The moment of Unix seconds; None for anything that is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    try:
        return zone.moment(value)
    except OverflowError:
        return None


def iso_utc(moment: datetime) -> str:
    """`moment` as ISO 8601 in UTC, to the second: `2026-11-22T12:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _null_as(empty: object) -> BeforeValidator:
    """Read `null` as this value; of a list, also `{}`: PHP encodes an empty array either way."""

    def read(value: Any) -> Any:
        if value is None or (value == {} and isinstance(empty, list)):
            return copy(empty)
        return value

    return BeforeValidator(read)


def _moment(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """A moment from Unix seconds, or as it was written in our own JSON; None for anything else."""
    if isinstance(value, bool | float) or (isinstance(value, str) and "T" not in value):
        return None
    try:
        return read(value)
    except ValidationError:
        return None


Timestamp = Annotated[datetime | None, WrapValidator(_moment), WithJsonSchema({"type": "string"})]
"""A moment: Unix seconds from the API, an aware datetime in code, ISO 8601 UTC in answers."""

IntOrNull = Annotated[int, _null_as(0)]
"""A number of the API, where `null` is as good as 0."""

BoolOrNull = Annotated[bool, _null_as(empty=False)]
"""A yes or no of the API, where `null` is as good as no."""

StrOrNull = Annotated[str, _null_as("")]
"""Text of the API, where `null` is as good as empty."""


class ApiModel(BaseModel):
    """Something that the API says. Unknown keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True, val_temporal_unit="seconds")

    @model_validator(mode="before")
    @classmethod
    def _can_be_passed_on(cls, value: Any) -> Any:
        """Refuse what is nested deeper than a client may be able to read."""
        level = [value] if type(value) in _NESTED else []
        for _ in range(_MAX_DEPTH):
            if not level:
                break
            inner = chain.from_iterable(node.values() if type(node) is dict else node for node in level)
            level = [item for item in inner if type(item) in _NESTED]
        if level:
            raise ValueError("is nested too deep")
        return value


class ApiEntity(ApiModel):
    """Something that has an id.

    Attributes:
        embedded: what the API keeps beside it, under `_embedded`, and is a part of it all the same.
    """

    embedded: ClassVar[tuple[str, ...]] = ()

    id: int


class DatetimeSettings(ApiModel):
    """Where the days of an account begin."""

    timezone: StrOrNull = ""
    timezone_offset: StrOrNull = ""


class Account(ApiEntity):
    """The account (`GET /account`); it tells `datetime_settings` when it is asked for them."""

    name: StrOrNull = ""
    subdomain: StrOrNull = ""
    country: StrOrNull = ""
    customers_mode: StrOrNull = ""
    current_user_id: int | None = None
    datetime_settings: DatetimeSettings | None = None

    @property
    def zone(self) -> Zone:
        """The account's time zone."""
        told = self.datetime_settings
        return UNKNOWN if told is None else zone_of(told.timezone, told.timezone_offset)


class Rights(ApiModel):
    """What a user may do; `is_active` is None where the API does not say whether they are a user still."""

    is_admin: BoolOrNull = False
    is_active: bool | None = None


class User(ApiEntity):
    """A user of the account."""

    name: StrOrNull = ""
    rights: Rights = Rights()
    lang: StrOrNull = ""


class Status(ApiEntity):
    """One status of customers, in the periodicity mode (reference: "Список статусов покупателей").

    `type`: 0 ordinary, 1 purchase expected, 2 did not purchase, 3 closed, 4 purchased recently. `conditions` is opaque
    and read-only: the API can neither create nor change conditions.
    """

    name: StrOrNull
    sort: IntOrNull = 0
    color: StrOrNull = ""
    type: IntOrNull = 0
    is_default: BoolOrNull = False
    conditions: Annotated[list[Any], _null_as([])] = []
    account_id: SkipJsonSchema[int | None] = None


@with_config(ConfigDict(extra="allow"))
class FieldValue(TypedDict, total=False):
    """One value of a custom field. A choice also has `enum_id`, and `enum_code` where one is set.

    A dictionary, in which unknown keys are kept: in a long list the values are most of what is read, and a model takes
    nearly twice as long.
    """

    value: Any
    enum_id: int | None
    enum_code: str | None


@with_config(ConfigDict(extra="allow"))
class FieldValues(TypedDict):
    """The values of one custom field of a segment."""

    field_id: int
    field_name: NotRequired[str | None]
    field_code: NotRequired[str | None]
    field_type: NotRequired[str | None]
    values: Annotated[list[FieldValue], _null_as([]), Field(default_factory=list)]


def _with_iso_dates(field: FieldValues, context: dict[str, Any]) -> FieldValues:
    """The values of a field as they are answered: Unix seconds as a day of the account, or as a moment.

    Where the zone is not in the context, a day is answered as the moment that it is kept as, and the context is told.
    """
    if field.get("field_type") not in ("date", "date_time"):
        return field
    is_day = field["field_type"] == "date" and "zone" in context
    if field["field_type"] == "date" and not is_day:
        context["needs_zone"] = True
    moments = [(value, _from_unix(value.get("value"), context.get("zone", UNKNOWN))) for value in field["values"]]
    return {
        **field,
        "values": [
            {**value, "value": str(at.date()) if is_day else iso_utc(at)} if at else value for value, at in moments
        ],
    }


class Segment(ApiEntity):
    """One segment of customers, in the segments mode (reference: "Список сегментов покупателей")."""

    name: StrOrNull
    color: StrOrNull = ""
    customers_count: int | None = None
    created_at: Timestamp = None
    updated_at: Timestamp = None
    account_id: SkipJsonSchema[int | None] = None
    custom_fields_values: Annotated[
        list[FieldValues],
        _null_as([]),
        WithJsonSchema({"type": "array", "items": {"type": "object"}}),
    ] = []
    available_products_price_types: Annotated[list[int], _null_as([])] = []

    @field_serializer("custom_fields_values", mode="wrap", when_used="json")
    def _fields_with_iso_dates(
        self, fields: list[FieldValues], write: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> Any:
        """In JSON the values are as they are answered; the context of dumping has the account's `zone`."""
        context = {} if info.context is None else info.context
        return write([_with_iso_dates(field, context) for field in fields])


class FieldChoice(ApiEntity):
    """One choice of a select, multiselect or radiobutton field."""

    value: StrOrNull = ""
    code: str | None = None


class CustomField(ApiEntity):
    """The definition of a custom field that segments can have."""

    name: StrOrNull = ""
    type: StrOrNull = ""
    code: str | None = None
    enums: Annotated[list[FieldChoice], _null_as([])] = []


EmbeddedId = Annotated[int, BeforeValidator(lambda entity: entity.get("id") if isinstance(entity, dict) else entity)]
"""An entity that is embedded in another, of which only the id counts."""


class Customer(ApiEntity):
    """One customer (the vendor's page "Покупатели"; not in the reference).

    Attributes:
        segments: the ids of the segments that it is in; None where the API does not say.
    """

    embedded = ("segments",)

    name: StrOrNull = ""
    status_id: int | None = None
    segments: Annotated[list[EmbeddedId] | None, _null_as([])] = None
    account_id: int | None = None


class CreatedStatus(ApiEntity):
    """What creating a status answers: only its id and the echo of `request_id`."""

    request_id: str | None = None


def comparable(entity: Segment | Status) -> dict[str, Any]:
    """What a person sets in an entity, and what makes it this one; equal when nothing of that has changed."""
    settings = set(SEGMENT_SETTINGS) if isinstance(entity, Segment) else None
    # A null and a missing key mean the same.
    return entity.model_dump(include=settings, exclude_none=True)
