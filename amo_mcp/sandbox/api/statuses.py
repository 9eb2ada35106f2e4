"""The reference's rules for statuses of customers (mode `periodicity`)."""

from http import HTTPStatus
from typing import Any

from amo_mcp.sandbox.account import Account, Model
from amo_mcp.sandbox.api.palettes import STATUS_COLORS
from amo_mcp.sandbox.api.problems import ProblemError, empty_data, invalid_data
from amo_mcp.sandbox.api.validation import Reading

MAX_STATUSES = 30
MAX_BATCH = 250
DEFAULT_COLOR = STATUS_COLORS[0]


def ordered(account: Account) -> list[Model]:
    """Every status, in the order of `sort`."""
    return sorted(account.statuses.values(), key=lambda status: status["sort"])


def create(account: Account, data: Any) -> list[Model]:
    """Create all the statuses of `data`, or none of them; the answer has `id` and `request_id` of each.

    Raises:
        ProblemError: 422 for more than 250 entries or more than 30 statuses in all, 400 for anything else.
    """
    if not isinstance(data, list):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Request data must be an array")
    if len(data) > MAX_BATCH:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"Limit {MAX_BATCH} per page")
    readings = [_read_new(entry, ordinal) for ordinal, entry in enumerate(data)]
    refused = [reading.refusal() for reading in readings if reading.errors]
    if refused:
        raise invalid_data(*refused)
    if len(account.statuses) + len(readings) > MAX_STATUSES:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"Limit of {MAX_STATUSES} statuses exceeded")
    created = []
    for reading in readings:
        status = {
            "id": account.take_status_id(),
            "name": reading.values["name"],
            "sort": reading.values["sort"],
            "is_default": False,
            "conditions": [],
            "color": reading.values.get("color", DEFAULT_COLOR),
            "type": 0,
            "account_id": account.id,
        }
        account.statuses[status["id"]] = status
        created.append({"id": status["id"], "request_id": reading.request_id})
    _renumber(ordered(account))
    return created


def update(account: Account, status_id: int, data: Any) -> Model:
    """Change a status and answer it whole, with the `request_id` echoed.

    A system status may be changed like any other (assumed). A status moved to a `sort` that another one has takes
    that place (assumed); everything is renumbered afterwards.

    Raises:
        ProblemError: 400 when `data` changes nothing or is wrong.
    """
    if not isinstance(data, dict):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Request data must be an object")
    reading = Reading(data)
    reading.name()
    reading.sort()
    reading.color(STATUS_COLORS)
    reading.check_request_id()
    if reading.errors:
        raise invalid_data(reading.refusal())
    if not reading.values:
        raise empty_data()
    status = account.statuses[status_id]
    before = status["sort"]
    status.update(reading.values)
    _renumber(_with_moved(account, status, before))
    return {**status, "request_id": reading.request_id}


def delete(account: Account, status_id: int) -> None:
    """Delete a status that is not a system one.

    Raises:
        ProblemError: 400; its form tells an unknown id (path `id`) from a system status (no path), as assumed.
    """
    if status_id not in account.statuses:
        raise unknown_id()
    if account.statuses[status_id]["is_default"]:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "System status can not be deleted")
    del account.statuses[status_id]
    _renumber(ordered(account))


def unknown_id() -> ProblemError:
    """The 400 for deleting what is not there."""
    reading = Reading({})
    reading.complain("NotSupportedChoice", "id")
    return invalid_data(reading.refusal())


def _read_new(entry: Any, ordinal: int) -> Reading:
    if not isinstance(entry, dict):
        reading = Reading({}, ordinal)
        reading.mistyped("object", "")
        return reading
    reading = Reading(entry, ordinal)
    reading.require("name", "sort")
    reading.name()
    reading.sort()
    reading.color(STATUS_COLORS)
    reading.check_request_id()
    return reading


def _with_moved(account: Account, moved: Model, before: int) -> list[Model]:
    # On the way up the moved one goes before its equal and on the way down after it: only so does it end up at the
    # number asked for once the gap that it left is closed.
    place = -1 if moved["sort"] < before else 1
    return sorted(account.statuses.values(), key=lambda status: (status["sort"], place if status is moved else 0))


def _renumber(statuses: list[Model]) -> None:
    for sort, status in enumerate(statuses):
        status["sort"] = sort
