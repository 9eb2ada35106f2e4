"""Custom field values of a segment: from what a person writes to what the field's type needs.

A person names a field by id or code and gives every value as text. The definition decides what is sent: a checkbox
gets a boolean, a date Unix seconds, a choice its `enum_id` (reference: "Примеры заполнения полей").
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from amo_mcp.amocrm.errors import Problem
from amo_mcp.amocrm.inputs import BLANK_IS_NONE, ZERO_IS_NONE, EntityId, StrictInput, Text
from amo_mcp.amocrm.limits import MAX_VALUES
from amo_mcp.amocrm.models import CustomField, FieldChoice
from amo_mcp.amocrm.zones import Zone
from amo_mcp.text import escape_invisible, quote, quote_given, quote_unless_code

_TRUE = {"true", "1", "yes", "да"}
_FALSE = {"false", "0", "no", "нет"}
_CHOICES = {"select", "multiselect", "radiobutton"}
_SHOWN_CHOICES = 30
_FILLERS = {"", "0", "0.0", "false"}
"""Beside a choice, text that says nothing: what models fill a key with that they do not mean."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")


def _as_text(value: Any) -> Any:
    """Forgive a JSON boolean or number where text is asked for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


class ValueInput(StrictInput):
    """One value: text, or a choice by its id or code."""

    value: Annotated[
        Text | None, BeforeValidator(_as_text), Field(description="Text, number, true/false, date or a choice's name")
    ] = None
    enum_id: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Choice id")] = None
    enum_code: Annotated[Text | None, BLANK_IS_NONE, Field(description="Choice code")] = None


class FieldInput(StrictInput):
    """The values to give to one custom field, named by id or by code."""

    field_id: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Field id (or give field_code)")] = None
    field_code: Annotated[Text | None, BLANK_IS_NONE, Field(description="Field code (or give field_id)")] = None
    values: Annotated[
        list[ValueInput],
        Field(max_length=MAX_VALUES, description="Values; [] clears the field"),
    ]


class InvalidValues(Exception):
    """Values that the account's fields cannot take; `problems` says which, and lists the choices."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


class _Unfit(Exception):
    """A field that there is not, or one value that a field cannot take; the text says which, and what is needed."""


def to_api_values(fields: Sequence[FieldInput], definitions: Sequence[CustomField], zone: Zone) -> list[dict[str, Any]]:
    """The `custom_fields_values` to send for `fields`; an empty `values` becomes the `null` that clears a field.

    Days begin, and moments without an offset are meant, in `zone`.

    Raises:
        InvalidValues: an unknown field, one named twice, a value of the wrong type or a choice that does not exist.
    """
    problems: list[Problem] = []
    sent: dict[int, dict[str, Any]] = {}
    for index, field in enumerate(fields):
        path = f"custom_fields_values.{index}"
        try:
            definition = _definition(field, definitions)
        except _Unfit as unfit:
            problems.append(Problem(path, str(unfit)))
            continue
        if definition.id in sent:
            problems.append(Problem(path, f"repeats field {definition.id}"))
        else:
            sent[definition.id] = {
                "field_id": definition.id,
                "values": _values(field, definition, path, problems, zone),
            }
    if problems:
        raise InvalidValues(problems)
    return list(sent.values())


def _definition(field: FieldInput, definitions: Sequence[CustomField]) -> CustomField:
    """The definition that `field` names; both an id and a code must agree.

    Raises:
        _Unfit: there is none.
    """
    if field.field_id is None and field.field_code is None:
        raise _Unfit("needs a field_id or a field_code")
    for definition in definitions:
        if field.field_id in (None, definition.id) and field.field_code in (None, definition.code):
            return definition
    named = [str(field.field_id or ""), quote_unless_code(escape_invisible(field.field_code or ""))]
    known = [
        f"{item.id} {quote(item.name)}{f' ({quote_unless_code(item.code)})' if item.code else ''}"
        for item in definitions
    ]
    raise _Unfit(
        f"field {' with the code '.join(filter(None, named))} is not a field that segments of this account have; "
        f"the fields are: {', '.join(known) or 'none'}"
    )


def _values(
    field: FieldInput, definition: CustomField, path: str, problems: list[Problem], zone: Zone
) -> list[dict[str, Any]] | None:
    if not field.values:
        return None
    name = f"field {definition.id}"
    if len(field.values) > 1 and definition.type != "multiselect":
        kind = quote_unless_code(definition.type)
        problems.append(
            Problem(f"{path}.values", f"{name} takes one value, not {len(field.values)}: it is of type {kind}")
        )
    sent = []
    for index, given in enumerate(field.values):
        try:
            item = _without_filler(given)
            is_choice = definition.type in _CHOICES
            sent.append(_choice(item, definition) if is_choice else _plain(item, definition.type, zone))
        except _Unfit as unfit:
            problems.append(Problem(f"{path}.values.{index}", f"{name} {unfit}"))
    return sent


def _without_filler(item: ValueInput) -> ValueInput:
    """The value without the `value` that says nothing beside a choice.

    Raises:
        _Unfit: it is all that there is, and empty.
    """
    is_chosen = item.enum_id is not None or item.enum_code is not None
    if is_chosen and (item.value or "").strip() in _FILLERS:
        return item.model_copy(update={"value": None})
    if item.value == "":
        raise _Unfit("takes no empty value; values: [] clears it")
    return item


def _choice(item: ValueInput, definition: CustomField) -> dict[str, Any]:
    """The choice that `item` names, by id, by code, or by its text (case-blind)."""
    given = (item.enum_id, item.enum_code, item.value)
    if sum(part is not None for part in given) != 1:
        raise _Unfit("needs exactly one of value, enum_id and enum_code")
    for choice in definition.enums:
        if _same_choice(item, choice):
            return {"enum_id": choice.id}
    named = item.enum_id or quote_given(item.enum_code or item.value or "")
    raise _Unfit(f"has no choice {named}; the choices are: {_choices(definition.enums)}")


def _same_choice(item: ValueInput, choice: FieldChoice) -> bool:
    if item.enum_id is not None:
        return item.enum_id == choice.id
    if item.enum_code is not None:
        return item.enum_code == choice.code
    return item.value is not None and item.value.strip().casefold() == choice.value.strip().casefold()


def _choices(choices: Sequence[FieldChoice]) -> str:
    shown = [f"{choice.id} {quote(choice.value)}" for choice in choices[:_SHOWN_CHOICES]]
    more = len(choices) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _plain(item: ValueInput, kind: str, zone: Zone) -> dict[str, Any]:
    if item.enum_id is not None or item.enum_code is not None:
        raise _Unfit(f"takes a value, not a choice: it is of type {quote_unless_code(kind)}")
    if item.value is None:
        raise _Unfit("needs a value")
    try:
        return {"value": _READERS[kind](item.value, zone) if kind in _READERS else item.value}
    except _Unfit as unfit:
        raise _Unfit(f"cannot take {quote_given(item.value)}: {unfit}") from None


def _boolean(text: str, _: Zone) -> bool:
    word = text.strip().casefold()
    if word not in _TRUE | _FALSE:
        raise _Unfit('it is a checkbox, and takes "true" or "false"')
    return word in _TRUE


def _number(text: str, _: Zone) -> str:
    """The number as the text that travels (numbers travel as strings)."""
    if not _NUMBER.fullmatch(text.strip()):
        raise _Unfit('it takes a number such as "12.5"')
    return text.strip()


def _day(text: str, zone: Zone) -> int:
    """Unix seconds of a day."""
    return _seconds(zone.seconds_of_day, text)


def _moment(text: str, zone: Zone) -> int:
    """Unix seconds of a moment."""
    return _seconds(zone.seconds_of_moment, text)


def _seconds(read: Callable[[str], int], text: str) -> int:
    try:
        return read(text)
    except (ValueError, OverflowError) as error:
        raise _Unfit('it takes a date such as "2026-11-22", or with a time "2026-11-22T09:30:00Z"') from error


_READERS: Mapping[str, Callable[[str, Zone], object]] = {
    "checkbox": _boolean,
    "numeric": _number,
    "date": _day,
    "date_time": _moment,
}
"""What makes the value to send of a text, where the type of the field is no text."""
