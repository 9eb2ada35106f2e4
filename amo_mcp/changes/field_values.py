"""The values of a custom field as they were read from the account: compared, worded, and sent back.

Of a field of a documented type only `value` counts, or `enum_id` of a choice; its name, its type and the names of its
choices are the account's and may change without the values changing. What the values of other types consist of is not
known, so they are compared whole, and sent back as they were.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from amo_mcp.amocrm.models import FieldValue, FieldValues, iso_utc
from amo_mcp.text import quote

DOCUMENTED_TYPES = frozenset(
    {
        *("text", "textarea", "streetaddress", "url", "numeric", "checkbox", "date", "date_time"),
        *("select", "multiselect", "radiobutton"),
    }
)
"""Types of the custom fields that a segment can have (reference: "Примеры заполнения полей")."""

_DATES = ("date", "date_time")
_MAX_SHOWN = 5


def same_values(one: FieldValues | None, other: FieldValues | None) -> bool:
    """Whether a field has the same values in two readings; one that is not there has none."""
    readings = [field for field in (one, other) if field is not None]
    documented = all(_is_documented(field) for field in readings)
    first, second = (_counted(field, documented=documented) for field in (one, other))
    return first == second


def values_to_send(field: FieldValues | None) -> list[dict[str, Any]] | None:
    """The values in the form in which they are written; None clears the field."""
    if field is None or not field["values"]:
        return None
    if not _is_documented(field):
        return [dict(value) for value in field["values"]]
    return [_to_send(value) for value in field["values"]]


def readable_values(field: FieldValues | None) -> str:
    """The values for a sentence: `«15»`, `«Mail», «Telephone»`, or `empty`."""
    if field is None or not field["values"]:
        return "empty"
    texts = [quote(_readable_value(value, field)) for value in field["values"]]
    more = len(texts) - _MAX_SHOWN
    return ", ".join(texts[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _is_documented(field: FieldValues) -> bool:
    return field.get("field_type") in (None, *DOCUMENTED_TYPES)


def _counted(field: FieldValues | None, *, documented: bool) -> Sequence[Any]:
    """What counts of the values; the order of choices does not."""
    values = field["values"] if field is not None else []
    if not documented:
        return values
    choices = [value.get("enum_id") for value in values]
    if None not in choices:
        return sorted(choices, key=str)
    return [_to_send(value) for value in values]


def _to_send(value: FieldValue) -> dict[str, Any]:
    choice = value.get("enum_id")
    return {"value": value.get("value")} if choice is None else {"enum_id": choice}


def _readable_value(value: FieldValue, field: FieldValues) -> str:
    parts = {key: part for key, part in value.items() if part is not None}
    if _is_documented(field) or parts.keys() == {"value"}:
        content = parts.get("value", parts.get("enum_code", parts.get("enum_id")))
        return _readable(_moment(content) if field.get("field_type") in _DATES else content)
    return _readable(parts)


def _moment(content: object) -> object:
    """Unix seconds as ISO 8601 in UTC; anything else as it is."""
    if isinstance(content, bool) or not isinstance(content, int):
        return content
    try:
        return iso_utc(datetime.fromtimestamp(content, UTC))
    except (OverflowError, OSError, ValueError):
        return content


def _readable(content: object) -> str:
    """JSON as text without brackets and quotation marks: `city: Omsk, home: yes`."""
    match content:
        case None:
            return "empty"
        case bool():
            return "yes" if content else "no"
        case Mapping():
            return ", ".join(f"{key}: {_readable(part)}" for key, part in content.items())
        case list():
            return ", ".join(map(_readable, content))
        case _:
            return str(content)
