"""Values of a segment's custom fields: from the form that a request writes to the form that a response has."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api.validation import Validation

_KEY = "custom_fields_values"
_ENUM_TYPES = ("select", "radiobutton", "multiselect")
_Keys = tuple[tuple[str, str, str], ...]
# How a request may name a field or an enum: the parameter, the definition's key, the type.
_FIELD_KEYS = (("field_id", "id", "int"), ("field_code", "code", "string"))
_ENUM_KEYS = (("enum_id", "id", "int"), ("enum_code", "code", "string"), ("value", "value", "string"))
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
    elif validation.check(given, "array", _KEY):
        changes: Changes = {}
        for position, entry in enumerate(given):
            path = f"{_KEY}.{position}"
            if not validation.check(entry, "object", path):
                continue
            field = _choice(account.fields.values(), _FIELD_KEYS, entry, path, validation, missing="field_id")
            if "values" not in entry:
                validation.add_error("FieldMissing", f"{path}.values")
            elif field is not None:
                values = _field_values(field, entry["values"], f"{path}.values", validation)
                if values and field["type"] == "date":
                    _keep_days(account, values["values"])
                changes[field["id"]] = values
        validation.values[_KEY] = changes


def _choice(
    choices: Iterable[JsonObject], keys: _Keys, item: JsonObject, path: str, validation: Validation, *, missing: str
) -> JsonObject | None:
    """The one of `choices` that `item` names by the first of `keys` that it has; without any, `missing` is missing."""
    for name, known, kind in keys:
        given = item.get(name)
        if given is None:
            continue
        if validation.check(given, kind, f"{path}.{name}"):
            for choice in choices:
                if choice.get(known) == given:
                    return choice
            validation.add_error("NotSupportedChoice", f"{path}.{name}")
        return None
    validation.add_error("FieldMissing", f"{path}.{missing}")
    return None


def _field_values(field: JsonObject, given: Any, path: str, validation: Validation) -> JsonObject | None:
    if given is None or not validation.check(given, "array", path):
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
    if not validation.check(item, "object", path):
        return None
    if field["type"] in _ENUM_TYPES:
        enum = _choice(field["enums"], _ENUM_KEYS, item, path, validation, missing="value")
        return enum and enum_value(enum)
    if "value" not in item:
        validation.add_error("FieldMissing", f"{path}.value")
        return None
    return {"value": _scalar(field["type"], item["value"], f"{path}.value", validation)}


def _scalar(field_type: str, value: Any, path: str, validation: Validation) -> Any:
    if field_type == "checkbox":
        validation.check(value, "bool", path)
    elif field_type in ("date", "date_time"):
        return _moment(value, path, validation)
    elif validation.check(value, "string", path):
        if not value:
            # Assumed: the documented way to clear a field is `"values": null`.
            validation.add_error("IsBlank", path)
        elif field_type == "numeric" and not _NUMBER.fullmatch(value):
            validation.add_error("InvalidFormat", path)
    return value


def _keep_days(account: Account, values: list[JsonObject]) -> None:
    """Move each moment to the first of its day in the account's zone, as a public report has it with figures."""
    try:
        zone = ZoneInfo(account.profile["datetime_settings"]["timezone"])
    except (KeyError, TypeError, ValueError, OSError):  # whatever the zone is not: named, text, a path in the database
        return
    for value in values:
        if type(value["value"]) is int:
            moment = datetime.fromtimestamp(value["value"], zone)
            midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            value["value"] = int(midnight.timestamp())


def _moment(value: Any, path: str, validation: Validation) -> Any:
    if not isinstance(value, str):
        validation.check(value, "int", path)
        return value
    try:
        if _RFC_3339.fullmatch(value):
            return int(datetime.fromisoformat(value.upper()).timestamp())
    except (ValueError, OverflowError):
        pass
    validation.add_error("InvalidFormat", path)
    return value
