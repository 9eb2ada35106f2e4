"""The values of a custom field as they were read from the account: compared, worded, and sent back.

Of a field of a documented type only `value` counts, or `enum_id` of a choice; its name, its type and the names of its
choices are the account's and may change without the values changing. What the values of other types consist of is not
known, so they are compared whole, and sent back as they were.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from amo_mcp.amocrm.models import FieldValue, FieldValues, Segment
from amo_mcp.changes.reader import Reader
from amo_mcp.language import Texts
from amo_mcp.text import quote

DOCUMENTED_TYPES = frozenset(
    {
        *("text", "textarea", "streetaddress", "url", "numeric", "checkbox", "date", "date_time"),
        *("select", "multiselect", "radiobutton"),
    }
)
"""Types of the custom fields that a segment can have (reference: "Примеры заполнения полей")."""

_MAX_SHOWN = 5


def fields_by_id(entity: object) -> dict[int, FieldValues]:
    """The custom fields of a segment by their ids; nothing else has any."""
    return {field["field_id"]: field for field in entity.custom_fields_values} if isinstance(entity, Segment) else {}


def field_label(field_id: int, *readings: FieldValues | None) -> str:
    """A field as a person reads it: `field «Скидка»`, or `field 9` where no reading has a name."""
    name = next((field["field_name"] for field in readings if field and field.get("field_name")), None)
    return f"field {quote(name) if name else field_id}"


def same_values(one: FieldValues | None, other: FieldValues | None) -> bool:
    """Whether a field has the same values in two readings; one that is not there has none."""
    readings = [field for field in (one, other) if field is not None]
    documented = all(_is_documented(field.get("field_type")) for field in readings)
    first, second = (_counted(field, documented=documented) for field in (one, other))
    return first == second


def values_to_send(field: FieldValues | None) -> list[dict[str, Any]] | None:
    """The values in the form in which they are written; None clears the field."""
    if field is None or not field["values"]:
        return None
    if not _is_documented(field.get("field_type")):
        return [dict(value) for value in field["values"]]
    return [_to_send(value) for value in field["values"]]


def readable_values(field: FieldValues | None, reader: Reader) -> str:
    """The values for a sentence: `«15»`, `«Mail», «Telephone»`, or `empty`."""
    empty = reader.texts("empty")
    if field is None or not field["values"]:
        return empty
    texts = [quote(readable_value(value, field.get("field_type"), reader) or empty) for value in field["values"]]
    more = len(texts) - _MAX_SHOWN
    return ", ".join(texts[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def readable_value(
    value: Mapping[str, Any],
    field_type: str | None,
    reader: Reader,
    choices: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """One value as a person reads it: the text of a choice, yes or no, a day, a moment; empty for none.

    Args:
        value: a value as the API gives or takes it; of a type that is not documented, it is shown whole.
        field_type: the type of its field, if it is known.
        reader: who reads it.
        choices: the texts of the field's choices, by id.
    """
    parts = {key: part for key, part in value.items() if part is not None}
    if not _is_documented(field_type) and parts.keys() != {"value"}:
        return _readable(parts, reader.texts)
    choice, content = parts.get("enum_id"), parts.get("value")
    if choice is not None:
        named = choices.get(choice) or content or parts.get("enum_code")
        return _readable(named, reader.texts) if named else reader.texts("choice {id}", id=choice)
    if field_type in ("date", "date_time") and type(content) is int:
        with suppress(OverflowError):
            return str(reader.zone.day(content)) if field_type == "date" else reader.zone.words(content)
    return "" if content is None else _readable(content, reader.texts)


def _is_documented(field_type: str | None) -> bool:
    return field_type in (None, *DOCUMENTED_TYPES)


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


def _readable(content: object, texts: Texts) -> str:
    """JSON as text without brackets and quotation marks: `city: Omsk, home: yes`."""
    match content:
        case None:
            return texts("empty")
        case bool():
            return texts("yes") if content else texts("no")
        case Mapping():
            return ", ".join(f"{key}: {_readable(part, texts)}" for key, part in content.items())
        case list():
            return ", ".join(_readable(part, texts) for part in content)
        case _:
            return str(content)
