"""The rules for customers, from the vendor's page about them: how they are found, and how they are moved.

The page leaves much open; `Unknowns` has a switch for each of its readings.
"""

import re
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from starlette.datastructures import QueryParams

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api import statuses
from amo_mcp.sandbox.api.problems import ProblemError, invalid_data
from amo_mcp.sandbox.api.validation import Validation
from amo_mcp.sandbox.unknowns import Unknowns

MAX_BATCH = 250

_STATUS_FILTER = re.compile(r"filter\[status_id\](\[\d*\])?")


def found(account: Account, query: QueryParams, unknowns: Unknowns) -> list[JsonObject]:
    """The customers that a list is asked for, oldest first (assumed).

    `query` finds a part of the name in any case (assumed), and `filter[status_id]` works where the account has it.
    """
    wanted = [value for name, value in query.multi_items() if _STATUS_FILTER.fullmatch(name)]
    text = query.get("query", "").casefold()
    return [
        customer
        for customer in sorted(account.customers.values(), key=lambda customer: customer["id"])
        if text in customer["name"].casefold()
        and not (unknowns.api_filter and wanted and str(customer["status_id"]) not in wanted)
    ]


def whole(account: Account, customer: JsonObject, path: str) -> JsonObject:
    """A customer as in a response, without its own link; `path` is where customers are."""
    segments = [
        {"id": segment_id, "_links": {"self": {"href": f"{path}/segments/{segment_id}"}}}
        for segment_id in customer["segments"]
    ]
    return {
        "id": customer["id"],
        "name": customer["name"],
        "next_price": 0,
        "next_date": None,
        "responsible_user_id": account.user_id(admin=True),
        "status_id": customer["status_id"],
        "periodicity": 0,
        "created_by": 0,
        "updated_by": 0,
        "created_at": customer["updated_at"],
        "updated_at": customer["updated_at"],
        "closest_task_at": None,
        "is_deleted": False,
        "custom_fields_values": None,
        "ltv": 0,
        "purchases_count": 0,
        "average_check": 0,
        "account_id": account.id,
        "_embedded": {"segments": segments, "tags": []},
    }


def update(account: Account, data: Sequence[Any], unknowns: Unknowns, now: float) -> list[JsonObject]:
    """Change all the customers of `data` at `now`, or none of them; returned is what the vendor's page has.

    Raises:
        ProblemError: 422 for more than 250 entries, 400 when one of them is wrong, an unknown id included (assumed).
    """
    if len(data) > MAX_BATCH:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"Limit {MAX_BATCH} per page")
    validations = [_validated(account, entry, ordinal) for ordinal, entry in enumerate(data)]
    refused = [validation.entry() for validation in validations if validation.errors]
    if refused:
        raise invalid_data(*refused)
    return [
        {
            "id": _change(account, validation.values, unknowns, now)["id"],
            "updated_at": int(now),
            "request_id": validation.request_id,
        }
        for validation in validations
    ]


def leave_status(account: Account, status_id: int, unknowns: Unknowns, now: float) -> None:
    """Have the account's rules move the customers of a deleted status to the first system status (assumed).

    Until then they are in the one that is gone (assumed).
    """
    to = next(status["id"] for status in statuses.ordered(account) if status["is_default"])
    at = now + unknowns.status_deleted_after
    account.moves += [
        {"at": at, "customer_id": customer["id"], "kind": "status", "from": status_id, "to": to}
        for customer in account.customers.values()
        if customer["status_id"] == status_id
    ]


def settle(account: Account, now: float) -> None:
    """Make the moves whose time has come; a customer that has left meanwhile stays where it is."""
    due = [move for move in account.moves if move["at"] <= now]
    account.moves = [move for move in account.moves if move["at"] > now]
    for move in due:
        customer = account.customers.get(move["customer_id"])
        if customer is None:
            continue
        if move["kind"] == "status" and customer["status_id"] == move["from"]:
            customer["status_id"] = move["to"]
        if move["kind"] == "segment" and move["from"] in customer["segments"]:
            added = {move["to"]} & account.segments.keys()
            _set_segments(account, customer, {*customer["segments"]} - {move["from"]} | added)


def _validated(account: Account, entry: Any, ordinal: int) -> Validation:
    validation = Validation(entry if isinstance(entry, dict) else {}, ordinal)
    if not validation.check(entry, "object", ""):
        return validation
    validation.require("id")
    validation.choice("id", account.customers)
    validation.name()
    validation.choice("status_id", account.statuses)
    validation.check_request_id()
    embedded = entry.get("_embedded", {})
    if validation.check(embedded, "object", "_embedded") and "segments" in embedded:
        validation.values["segments"] = _segments(account, validation, embedded["segments"])
    return validation


def _segments(account: Account, validation: Validation, given: Any) -> list[int] | None:
    path = "_embedded.segments"
    if given is None or not validation.check(given, "array", path):
        return None
    for position, segment in enumerate(given):
        if validation.check(segment, "object", f"{path}.{position}") and segment.get("id") not in account.segments:
            validation.add_error("NotSupportedChoice", f"{path}.{position}.id")
    return [segment["id"] for segment in given] if not validation.errors else None


def _change(account: Account, values: JsonObject, unknowns: Unknowns, now: float) -> JsonObject:
    customer = account.customers[values["id"]]
    before = _places(customer)
    customer.update({key: values[key] for key in ("name", "status_id") if key in values}, updated_at=int(now))
    if "segments" in values and unknowns.segments_patch != "ignored":
        given = values["segments"]
        if given:
            kept = customer["segments"] if unknowns.segments_patch == "adds" else []
            _set_segments(account, customer, {*kept, *given})
        elif unknowns.null if given is None else unknowns.empty_list:
            _set_segments(account, customer, ())
    account.moves += [
        {"at": now + rule.after, "customer_id": customer["id"], "kind": rule.kind, "from": rule.id, "to": rule.to}
        for rule in unknowns.rules
        if (rule.kind, rule.id) in _places(customer) - before
    ]
    return customer


def _places(customer: JsonObject) -> set[tuple[str, int]]:
    return {("status", customer["status_id"]), *(("segment", segment_id) for segment_id in customer["segments"])}


def _set_segments(account: Account, customer: JsonObject, segments: Collection[int]) -> None:
    """Give a customer these segments, and let their counts follow."""
    before, after = {*customer["segments"]}, {*segments}
    for segment_id in (before ^ after) & account.segments.keys():
        account.segments[segment_id]["customers_count"] += 1 if segment_id in after else -1
    customer["segments"] = sorted(after)
