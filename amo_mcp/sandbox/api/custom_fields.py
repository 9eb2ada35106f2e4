"""Values of a segment's custom fields: from the form that a request writes to the form that a response has."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api.validation import Validation, is_integer

_KEY = "custom_fields_values"
_ENUM_TYPES = ("select", "radiobutton", "multiselect")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

Changes = dict[int, JsonObject | None]


def read_form(field: Mapping[str, Any], values: list[JsonObject]) -> JsonObject:
    """The values of one field, as a response has them."""
    return {
        "values": values,
        "field_id": field["id"],
        "field_name": field["name"],
        "field_code": field["code"],
        "field_type": field["type"],
    }


def enum_value(enum: Mapping[str, Any]) -> JsonObject:
    """One chosen enum, as a response has it; `enum_code` is there only when the enum has a code."""
    value = {"value": enum["value"], "enum_id": enum["id"]}
    return {**value, "enum_code": enum["code"]} if enum.get("code") else value


def merged(account: Account, old: Iterable[JsonObject], changes: Changes | None) -> list[JsonObject]:
    """`old` with `changes` applied, in the order of the fields; no changes at all (`null`) clear everything."""
    if changes is None:
        return []
    values: Changes = {value["field_id"]: value for value in old}
    values.update(changes)
    return [value for field_id in account.fields if (value := values.get(field_id)) is not None]


def validate(account: Account, validation: Validation) -> None:
    """Accept `custom_fields_values`: changes by field id, where None clears a field; or None, which clears all."""
    if _KEY not in validation.data:
        return
    given = validation.data[_KEY]
    if given is None:
        validation.values[_KEY] = None
        return
    if not isinstance(given, list):
        validation.add_type_error("array", _KEY)
        return
    changes: Changes = {}
    for position, entry in enumerate(given):
        path = f"{_KEY}.{position}"
        if not isinstance(entry, dict):
            validation.add_type_error("object", path)
            continue
        field = _field(account, entry, path, validation)
        if "values" not in entry:
            validation.add_error("FieldMissing", f"{path}.values")
        elif field is not None:
            changes[field["id"]] = _field_values(field, entry["values"], f"{path}.values", validation)
    validation.values[_KEY] = changes


def _field(account: Account, entry: JsonObject, path: str, validation: Validation) -> JsonObject | None:
    field_id, code = entry.get("field_id"), entry.get("field_code")
    found: JsonObject | None = None
    if field_id is not None:
        path = f"{path}.field_id"
        if not is_integer(field_id):
            validation.add_type_error("int", path)
            return None
        found = account.fields.get(field_id)
    elif code is not None:
        path = f"{path}.field_code"
        if not isinstance(code, str):
            validation.add_type_error("string", path)
            return None
        found = next((field for field in account.fields.values() if field["code"] == code), None)
    else:
        validation.add_error("FieldMissing", f"{path}.field_id")
        return None
    if found is None:
        validation.add_error("NotSupportedChoice", path)
    return found


def _field_values(field: JsonObject, given: Any, path: str, validation: Validation) -> JsonObject | None:
    if given is None:
        return None
    if not isinstance(given, list):
        validation.add_type_error("array", path)
        return None
    if not given:
        validation.add_error("TooFew", path)
        return None
    if len(given) > 1 and field["type"] != "multiselect":
        validation.add_error("TooMany", path)
        return None
    values: list[JsonObject] = []
    for position, item in enumerate(given):
        value = _item(field, item, f"{path}.{position}", validation)
        # A choice made twice is one choice.
        if value is not None and value not in values:
            values.append(value)
    return read_form(field, values)


def _item(field: JsonObject, item: Any, path: str, validation: Validation) -> JsonObject | None:
    if not isinstance(item, dict):
        validation.add_type_error("object", path)
        return None
    if field["type"] in _ENUM_TYPES:
        return _enum(field, item, path, validation)
    if "value" not in item:
        validation.add_error("FieldMissing", f"{path}.value")
        return None
    return {"value": _scalar(field["type"], item["value"], f"{path}.value", validation)}


def _enum(field: JsonObject, item: JsonObject, path: str, validation: Validation) -> JsonObject | None:
    for given, known, kind in (("enum_id", "id", "int"), ("enum_code", "code", "string"), ("value", "value", "string")):
        choice = item.get(given)
        if choice is None:
            continue
        if not (is_integer(choice) if kind == "int" else isinstance(choice, str)):
            validation.add_type_error(kind, f"{path}.{given}")
            return None
        for enum in field["enums"]:
            if enum.get(known) == choice:
                return enum_value(enum)
        validation.add_error("NotSupportedChoice", f"{path}.{given}")
        return None
    validation.add_error("FieldMissing", f"{path}.value")
    return None


def _scalar(field_type: str, value: Any, path: str, validation: Validation) -> Any:
    if field_type == "checkbox":
        if not isinstance(value, bool):
            validation.add_type_error("bool", path)
        return value
    if field_type in ("date", "date_time"):
        return _moment(value, path, validation)
    if not isinstance(value, str):
        validation.add_type_error("string", path)
    elif not value:
        # Assumed: the documented way to clear a field is `"values": null`.
        validation.add_error("IsBlank", path)
    elif field_type == "numeric" and not _NUMBER.fullmatch(value):
        validation.add_error("InvalidFormat", path)
    return value


def _moment(value: Any, path: str, validation: Validation) -> Any:
    if is_integer(value):
        return value
    if not isinstance(value, str):
        validation.add_type_error("int", path)
        return value
    try:
        if _RFC_3339.fullmatch(value):
            return int(datetime.fromisoformat(value.upper()).timestamp())
    except (ValueError, OverflowError):
        pass
    validation.add_error("InvalidFormat", path)
    return value
