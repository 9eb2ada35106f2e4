"""Validates one object of a request's body, collecting every error instead of stopping at the first.

The reference names the parameters and their types; the error codes are those seen in recorded responses, and the
bounds of a name (not blank, at most 255 characters) are assumed.
"""

from collections.abc import Collection, Mapping
from typing import Any

from amo_mcp.sandbox.account import JsonObject
from amo_mcp.sandbox.api.problems import ProblemError, invalid_data

MAX_NAME_LENGTH = 255

_DETAILS = {
    "FieldMissing": "This field is missing.",
    "InvalidFormat": "This value is not valid.",
    "IsBlank": "This value should not be blank.",
    "NotSupportedChoice": "The value you selected is not a valid choice.",
    "TooFew": "This collection should contain 1 element or more.",
    "TooLong": f"This value is too long. It should have {MAX_NAME_LENGTH} characters or less.",
    "TooMany": "This collection should contain exactly 1 element.",
}


_TYPES = {"array": list, "bool": bool, "int": int, "object": dict, "string": str}


class Validation:
    """One object of a body: what was accepted of it (`values`) and what is wrong with it (`errors`).

    An absent parameter leaves no trace in `values`; an unknown one is ignored, as amoCRM does.
    """

    def __init__(self, data: Mapping[str, Any], ordinal: int = 0) -> None:
        """`ordinal` is the object's position in the body."""
        self.data = data
        self.values: JsonObject = {}
        self.errors: list[dict[str, str]] = []
        self._ordinal = ordinal

    @property
    def request_id(self) -> str:
        """The caller's own mark for this object, or its ordinal in the body."""
        given = self.data.get("request_id")
        return given if isinstance(given, str) else str(self._ordinal)

    def entry(self) -> JsonObject:
        """This object's entry in `validation-errors`."""
        return {"request_id": self.request_id, "errors": self.errors}

    def add_error(self, code: str, path: str) -> None:
        """Note that the value at the dotted `path` is wrong."""
        self.errors.append({"code": code, "path": path, "detail": _DETAILS[code]})

    def check(self, value: object, kind: str, path: str) -> bool:
        """Whether the value at the dotted `path` is a `kind`, one of `_TYPES`; noted as an error when it is not."""
        # Python takes `true` for an integer.
        if isinstance(value, _TYPES[kind]) and not (kind == "int" and isinstance(value, bool)):
            return True
        self.errors.append({"code": "InvalidType", "path": path, "detail": f"This value should be of type {kind}."})
        return False

    def check_request_id(self) -> None:
        """Note a `request_id` that is not a string."""
        self._has("request_id", "string")

    def require(self, *keys: str) -> None:
        """Note each of `keys` that the object lacks."""
        for key in keys:
            if key not in self.data:
                self.add_error("FieldMissing", key)

    def name(self) -> None:
        """Accept `name`."""
        if not self._has("name", "string"):
            return
        name = self.data["name"]
        if not name.strip():
            self.add_error("IsBlank", "name")
        elif len(name) > MAX_NAME_LENGTH:
            self.add_error("TooLong", "name")
        else:
            self.values["name"] = name

    def sort(self) -> None:
        """Accept `sort`: any integer, since the server renumbers anyway."""
        if self._has("sort", "int"):
            self.values["sort"] = self.data["sort"]

    def choice(self, key: str, known: Collection[int]) -> None:
        """Accept the id at `key` when it is one of `known`."""
        if not self._has(key, "int"):
            return
        if self.data[key] in known:
            self.values[key] = self.data[key]
        else:
            self.add_error("NotSupportedChoice", key)

    def color(self, palette: Collection[str]) -> None:
        """Accept `color` when the palette has it, letter for letter."""
        if not self._has("color", "string"):
            return
        if self.data["color"] in palette:
            self.values["color"] = self.data["color"]
        else:
            self.add_error("NotSupportedChoice", "color")

    def price_types(self, known: Collection[int]) -> None:
        """Accept `available_products_price_types`: ids of price fields that the account has (assumed)."""
        key = "available_products_price_types"
        if not self._has(key, "array"):
            return
        for position, price_type in enumerate(self.data[key]):
            if self.check(price_type, "int", f"{key}.{position}") and price_type not in known:
                self.add_error("NotSupportedChoice", f"{key}.{position}")
        self.values[key] = list(self.data[key])

    def _has(self, key: str, kind: str) -> bool:
        return key in self.data and self.check(self.data[key], kind, key)


def unknown_id() -> ProblemError:
    """The 400 for deleting an id that does not exist."""
    validation = Validation({})
    validation.add_error("NotSupportedChoice", "id")
    return invalid_data(validation.entry())
