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


def is_integer(value: object) -> bool:
    """Whether `value` is a JSON integer: `true` is not one, though Python thinks so."""
    return isinstance(value, int) and not isinstance(value, bool)


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

    def add_type_error(self, kind: str, path: str) -> None:
        """Note that the value at the dotted `path` should have been a `kind`."""
        self.errors.append({"code": "InvalidType", "path": path, "detail": f"This value should be of type {kind}."})

    def require(self, *keys: str) -> None:
        """Note each of `keys` that the object lacks."""
        for key in keys:
            if key not in self.data:
                self.add_error("FieldMissing", key)

    def name(self) -> None:
        """Accept `name`."""
        if not self._is_string("name"):
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
        if "sort" not in self.data:
            return
        if is_integer(self.data["sort"]):
            self.values["sort"] = self.data["sort"]
        else:
            self.add_type_error("int", "sort")

    def color(self, palette: Collection[str]) -> None:
        """Accept `color` when the palette has it, letter for letter."""
        if not self._is_string("color"):
            return
        if self.data["color"] in palette:
            self.values["color"] = self.data["color"]
        else:
            self.add_error("NotSupportedChoice", "color")

    def check_request_id(self) -> None:
        """Note a `request_id` that is not a string."""
        self._is_string("request_id")

    def price_types(self, known: Collection[int]) -> None:
        """Accept `available_products_price_types`: ids of price fields that the account has (assumed)."""
        key = "available_products_price_types"
        if key not in self.data:
            return
        given = self.data[key]
        if not isinstance(given, list):
            self.add_type_error("array", key)
            return
        for position, price_type in enumerate(given):
            if not is_integer(price_type):
                self.add_type_error("int", f"{key}.{position}")
            elif price_type not in known:
                self.add_error("NotSupportedChoice", f"{key}.{position}")
        self.values[key] = list(given)

    def _is_string(self, key: str) -> bool:
        if key not in self.data:
            return False
        if isinstance(self.data[key], str):
            return True
        self.add_type_error("string", key)
        return False


def unknown_id() -> ProblemError:
    """The 400 for deleting an id that does not exist."""
    validation = Validation({})
    validation.add_error("NotSupportedChoice", "id")
    return invalid_data(validation.entry())
