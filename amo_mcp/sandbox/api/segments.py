"""The reference's rules for customer segments (mode `segments`)."""

from http import HTTPStatus

from amo_mcp.sandbox.account import ID_STEP, Account, JsonObject
from amo_mcp.sandbox.api import custom_fields
from amo_mcp.sandbox.api.problems import ProblemError, empty_data, invalid_data
from amo_mcp.sandbox.api.validation import Validation, unknown_id

MAX_SEGMENTS = 100
# Reference: «Доступные цвета сегментов».
# fmt: off
SEGMENT_COLORS = (
    "10599d", "2176ff", "006acc", "07a0c3", "247ba0", "177e89", "046e8f", "598381", "0c7c59", "495f41",
    "00a44b", "08605f", "bf2600", "06d6a0", "e14945", "79b473", "ae003f", "a2ad59", "cd0f53", "8e936d",
    "832161", "2e5339", "bf126f", "6f7c12", "ff5376", "dd1c1a", "bb304e", "631d76", "9d2b32", "4a001f",
    "b118c8", "6a0f49", "6610f2", "b38a58", "8963ba", "4b3666", "932f6d", "6b2d5c", "6461a0", "4f517d",
)
# fmt: on


def ordered(account: Account) -> list[JsonObject]:
    """Every segment, newest first: the reference's example lists 51 before 21 (assumed to be the rule)."""
    return sorted(account.segments.values(), key=lambda segment: segment["id"], reverse=True)


def create(account: Account, data: JsonObject, timestamp: int) -> JsonObject:
    """Create the one segment of `data` at `timestamp`, in Unix seconds, and return it whole.

    Raises:
        ProblemError: 400 when `data` is wrong, or when there are 100 segments already.
    """
    values = _validated(account, data, required=("name",))
    if len(account.segments) >= MAX_SEGMENTS:
        # The reference lists no 422 for this method, so the limit can only be a 400.
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Limit of {MAX_SEGMENTS} segments exceeded")
    segment = {
        "id": account.next_segment_id,
        "created_at": timestamp,
        "updated_at": timestamp,
        "account_id": account.id,
        "name": values["name"],
        "color": values.get("color", SEGMENT_COLORS[0]),
        "available_products_price_types": values.get("available_products_price_types", []),
        "customers_count": 0,
        "custom_fields_values": custom_fields.merged(account, [], values.get("custom_fields_values")),
    }
    account.segments[segment["id"]] = segment
    account.next_segment_id += ID_STEP
    return segment


def update(account: Account, segment_id: int, data: JsonObject, timestamp: int) -> JsonObject:
    """Change a segment at `timestamp`, in Unix seconds, and return it whole, without a `request_id`.

    Custom fields that `data` does not mention keep their values (assumed).

    Raises:
        ProblemError: 400 when `data` changes nothing or is wrong.
    """
    values = _validated(account, data)
    if not values:
        raise empty_data()
    segment = account.segments[segment_id]
    if "custom_fields_values" in values:
        values["custom_fields_values"] = custom_fields.merged(
            account, segment["custom_fields_values"] or [], values["custom_fields_values"]
        )
    segment.update(values, updated_at=timestamp)
    return segment


def delete(account: Account, segment_id: int) -> None:
    """Delete a segment, and with it, at once (assumed), the membership of its customers.

    Raises:
        ProblemError: 400 when there is no such segment, even if it was deleted earlier.
    """
    if segment_id not in account.segments:
        raise unknown_id()
    del account.segments[segment_id]
    for customer in account.customers.values():
        if segment_id in customer["segments"]:
            customer["segments"].remove(segment_id)


def _validated(account: Account, data: JsonObject, required: tuple[str, ...] = ()) -> JsonObject:
    validation = Validation(data)
    validation.require(*required)
    validation.name()
    validation.color(SEGMENT_COLORS)
    validation.price_types(account.price_types)
    validation.check_request_id()
    custom_fields.validate(account, validation)
    if validation.errors:
        raise invalid_data(validation.entry())
    return validation.values
