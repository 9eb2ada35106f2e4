"""What the API accepts: drafts, patches, and the types of the values in them.

Writing is strict: colours come from the palette, names are visible text, and nothing is sent that was not given.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from amo_mcp.amocrm.limits import STATUS_COLORS, segment_color, status_color
from amo_mcp.text import sanitize

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BREAK = re.compile("[\t-\r\x85\u2028\u2029]+")
_DIGITS = re.compile(r"-?[0-9]{1,20}")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufeff\uffa0\U000e0000-\U000e007f]"
)


class StrictInput(BaseModel):
    """Something that a caller gives, with nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ApiInput(StrictInput):
    """Something that the API accepts; only what was given is sent."""

    def to_payload(self) -> dict[str, Any]:
        """The body to send: what was given, `None` left out."""
        return self.model_dump(mode="json", exclude_none=True)


def writable_name(text: str) -> str:
    """`text` without the characters that a name may not have; empty when nothing to see is left of it.

    A line break or a tab parts two words, and becomes a space.
    """
    spaced = " ".join(part for part in _BREAK.split(text) if part)
    kept = _CONTROL.sub("", _SURROGATE.sub("", _INVISIBLE.sub("", spaced)))
    return kept if sanitize(kept) else ""


def _visible(text: str) -> str:
    if not sanitize(text):
        raise ValueError("must not be blank")
    if _CONTROL.search(text):
        raise ValueError("must not have control characters or line breaks")
    if _INVISIBLE.search(text):
        raise ValueError("must not have zero-width, bidirectional or other invisible characters")
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


def _none_for_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _none_for_zero(value: Any) -> Any:
    return None if value in (0, "0") and value is not False else _none_for_blank(value)


def _none_for_empty(value: Any) -> Any:
    return None if value == [] else _none_for_blank(value)


BLANK_IS_NONE = BeforeValidator(_none_for_blank)
"""Beside an optional colour, choice, cursor, code, position or list: `""`, which it could not be, is "not given"."""

ZERO_IS_NONE = BeforeValidator(_none_for_zero)
"""Beside an optional id or limit: `0` and `""`, which it could not be, are "not given"."""

EMPTY_IS_NONE = BeforeValidator(_none_for_empty)
"""Beside an optional list of which an empty one changes nothing: `[]` and `""` are "not given"."""

LAX = BeforeValidator(_whole)
"""Beside `int`: numeric text is a number. Limits of the number stand before it, `Annotated[int, Field(ge=1), LAX]`, so
that they are the number's own and JSON Schema says `minimum`."""

LaxInt = Annotated[int, LAX]
"""A whole number, as a number or as text."""

Text = Annotated[str, AfterValidator(_encodable)]
"""Text that can be written in UTF-8."""

Name = Annotated[Text, AfterValidator(_visible)]
"""One line of text with something to see on it, and without invisible characters."""

EntityId = Annotated[LaxInt, AfterValidator(_entity_id)]
"""The id of an entity: positive, within 63 bits."""

Sort = Annotated[LaxInt, AfterValidator(_sort)]
"""The position of a status."""

StatusColor = Annotated[str, AfterValidator(status_color)]
"""A colour of the palette of statuses; it becomes the `#` form that the API takes."""

SegmentColor = Annotated[str, AfterValidator(segment_color)]
"""A colour of the palette of segments; it becomes the form without `#` that the API takes."""


class StatusDraft(ApiInput):
    """A status to create."""

    name: Annotated[Name, Field(description="Name")]
    sort: Annotated[Sort, Field(description="Position; the account renumbers positions from 0")]
    color: Annotated[
        StatusColor | None, BLANK_IS_NONE, Field(description="Colour", json_schema_extra={"enum": list(STATUS_COLORS)})
    ] = None
    request_id: Annotated[Text | None, BLANK_IS_NONE, Field(description="Echoed, not stored")] = None


class StatusPatch(ApiInput):
    """What to change in a status; what is None stays."""

    name: Name | None = None
    sort: Sort | None = None
    color: StatusColor | None = None


class CustomerPatch(ApiInput):
    """Where one customer is put: to a status, or into segments.

    The vendor's page documents `status_id` for an existing customer. Segments are in an example of the vendor's SDK
    alone; whether they replace those that the customer has or are added to them, and whether an empty list or `null`
    takes it out of all, is said nowhere. So all of them are sent, and what came of it is read.

    Attributes:
        segments: the ids of all segments that it is to be in.
        clears: whether no segments are sent as `null` rather than as an empty list.
    """

    id: int
    status_id: int | None = None
    segments: tuple[int, ...] = ()
    clears: bool = False

    def to_payload(self) -> dict[str, Any]:
        """The body to send; the API names this part of a batch by the `request_id`, which is the customer's id."""
        body: dict[str, Any] = {"id": self.id, "request_id": str(self.id)}
        if self.status_id is not None:
            return {**body, "status_id": self.status_id}
        segments = [{"id": one, "request_id": str(place)} for place, one in enumerate(self.segments)]
        return {**body, "_embedded": {"segments": None if self.clears else segments}}


class SegmentPatch(ApiInput):
    """What to change in a segment; what is None stays.

    `custom_fields_values` is in the form that the API takes (see `custom_fields.to_api_values`). A field that is not
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
