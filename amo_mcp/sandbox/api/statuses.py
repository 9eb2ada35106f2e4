"""The reference's rules for customer statuses (mode `periodicity`)."""

from http import HTTPStatus
from typing import Any

from amo_mcp.sandbox.account import ID_STEP, Account, JsonObject
from amo_mcp.sandbox.api.problems import ProblemError, empty_data, invalid_data
from amo_mcp.sandbox.api.validation import Validation, unknown_id
from amo_mcp.sandbox.unknowns import Unknowns

MAX_STATUSES = 30
MAX_BATCH = 250
_USUAL = Unknowns()
# Reference: «Доступные цвета статусов».
# fmt: off
STATUS_COLORS = (
    "#fffeb2", "#fffd7f", "#fff000", "#ffeab2", "#ffdc7f", "#ffce5a", "#ffdbdb",
    "#ffc8c8", "#ff8f92", "#d6eaff", "#c1e0ff", "#98cbff", "#ebffb1", "#deff81",
    "#87f2c0", "#f9deff", "#f3beff", "#ccc8f9", "#eb93ff", "#f2f3f4", "#e6e8ea",
)
# fmt: on


def ordered(account: Account) -> list[JsonObject]:
    """Every status, in the order of `sort`."""
    return sorted(account.statuses.values(), key=lambda status: status["sort"])


def create(account: Account, data: list[Any], unknowns: Unknowns = _USUAL) -> list[JsonObject]:
    """Create all the statuses of `data`, or none of them; `id` and `request_id` of each are returned.

    Of several that are given one position, the first stands first (assumed).

    Raises:
        ProblemError: 422 for more than 250 entries or more than 30 statuses in all, 400 for anything else.
    """
    if len(data) > MAX_BATCH:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"Limit {MAX_BATCH} per page")
    validations = [_validated(entry, ordinal, ("name", "sort")) for ordinal, entry in enumerate(data)]
    refused = [validation.entry() for validation in validations if validation.errors]
    if refused:
        raise invalid_data(*refused)
    if len(account.statuses) + len(validations) > MAX_STATUSES:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"Limit of {MAX_STATUSES} statuses exceeded")
    created = []
    for validation in validations:
        status = {
            "id": account.next_status_id,
            "name": validation.values["name"],
            "sort": validation.values["sort"],
            "is_default": False,
            "conditions": [],
            "color": validation.values.get("color", STATUS_COLORS[0]),
            "type": 0,
            "account_id": account.id,
        }
        account.statuses[status["id"]] = status
        account.next_status_id += ID_STEP
        created.append({"id": status["id"], "request_id": validation.request_id})
    new = {status["id"] for status in created}
    first = unknowns.taken_position == "before"
    _renumber(sorted(ordered(account), key=lambda status: (status["sort"], first and status["id"] not in new)))
    return created


def update(account: Account, status_id: int, data: JsonObject, unknowns: Unknowns = _USUAL) -> JsonObject:
    """Change a status and return it whole, with the `request_id` echoed.

    A system status may be changed like any other (assumed). A status moved to a `sort` that another one has takes
    that place (assumed); everything is renumbered afterwards.

    Raises:
        ProblemError: 400 when `data` changes nothing or is wrong.
    """
    validation = _validated(data)
    if validation.errors:
        raise invalid_data(validation.entry())
    if not validation.values:
        raise empty_data()
    status = account.statuses[status_id]
    before = status["sort"]
    status.update(validation.values)
    answer = {**status, "request_id": validation.request_id}
    if not unknowns.status_moves:
        status["sort"] = before
        return answer
    _renumber(_with_moved(account, status, before))
    return answer | {"sort": status["sort"]}


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


def _validated(entry: Any, ordinal: int = 0, required: tuple[str, ...] = ()) -> Validation:
    validation = Validation(entry if isinstance(entry, dict) else {}, ordinal)
    if validation.check(entry, "object", ""):
        validation.require(*required)
        validation.name()
        validation.sort()
        validation.color(STATUS_COLORS)
        validation.check_request_id()
    return validation


def _with_moved(account: Account, moved: JsonObject, before: int) -> list[JsonObject]:
    # Moving up, the status goes before the one that has its new `sort`, and moving down after it: once the gap that it
    # left is closed, it has the `sort` asked for.
    place = -1 if moved["sort"] < before else 1
    return sorted(account.statuses.values(), key=lambda status: (status["sort"], place if status is moved else 0))


def _renumber(statuses: list[JsonObject]) -> None:
    for sort, status in enumerate(statuses):
        status["sort"] = sort
