"""The reference's rules for segments of customers (mode `segments`)."""

from http import HTTPStatus
from typing import Any

from amo_mcp.sandbox.account import Account, Model
from amo_mcp.sandbox.api import custom_fields
from amo_mcp.sandbox.api.palettes import SEGMENT_COLORS
from amo_mcp.sandbox.api.problems import ProblemError, empty_data, invalid_data
from amo_mcp.sandbox.api.statuses import unknown_id
from amo_mcp.sandbox.api.validation import Reading

MAX_SEGMENTS = 100
DEFAULT_COLOR = SEGMENT_COLORS[0]


def ordered(account: Account) -> list[Model]:
    """Every segment, newest first: the reference's example lists 51 before 21 (assumed to be the rule)."""
    return [account.segments[segment_id] for segment_id in sorted(account.segments, reverse=True)]


def create(account: Account, data: Any, now: int) -> Model:
    """Create the one segment of `data` and answer it whole.

    Raises:
        ProblemError: 400 when `data` is not one right object, or when there are 100 segments already.
    """
    reading = _read(account, data, required=("name",))
    if len(account.segments) >= MAX_SEGMENTS:
        # The reference lists no 422 for this method, so the limit can only be a 400.
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Limit of {MAX_SEGMENTS} segments exceeded")
    segment = {
        "id": account.take_segment_id(),
        "created_at": now,
        "updated_at": now,
        "account_id": account.id,
        "name": reading.values["name"],
        "color": reading.values.get("color", DEFAULT_COLOR),
        "available_products_price_types": reading.values.get("available_products_price_types", []),
        "customers_count": 0,
        "custom_fields_values": custom_fields.merged(account, [], reading.values.get("custom_fields_values")),
    }
    account.segments[segment["id"]] = segment
    return segment


def update(account: Account, segment_id: int, data: Any, now: int) -> Model:
    """Change a segment and answer it whole, without a `request_id`.

    Custom fields that `data` does not mention keep their values (assumed).

    Raises:
        ProblemError: 400 when `data` changes nothing or is wrong.
    """
    reading = _read(account, data)
    if not reading.values:
        raise empty_data()
    segment = account.segments[segment_id]
    if "custom_fields_values" in reading.values:
        reading.values["custom_fields_values"] = custom_fields.merged(
            account, segment["custom_fields_values"] or [], reading.values["custom_fields_values"]
        )
    segment.update(reading.values, updated_at=now)
    return segment


def delete(account: Account, segment_id: int) -> None:
    """Delete a segment and, with it, who was in it.

    Raises:
        ProblemError: 400 when there is no such segment, also when it was deleted before.
    """
    if segment_id not in account.segments:
        raise unknown_id()
    del account.segments[segment_id]


def _read(account: Account, data: Any, required: tuple[str, ...] = ()) -> Reading:
    if not isinstance(data, dict):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Request data must be an object")
    reading = Reading(data)
    reading.require(*required)
    reading.name()
    reading.color(SEGMENT_COLORS)
    reading.price_types(account.price_types)
    reading.check_request_id()
    custom_fields.read(account, reading)
    if reading.errors:
        raise invalid_data(reading.refusal())
    return reading
