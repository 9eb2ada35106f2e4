"""Refusals, in the `application/problem+json` forms of amoCRM."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

# Written out where Python's own phrase has changed between versions.
_TITLES = {413: "Payload Too Large", 422: "Unprocessable Entity"}
_DETAILS: dict[int, str] = {401: "Неверный логин или пароль", 403: "Invalid scope"}


class ProblemError(Exception):
    """The request is refused.

    `invalid` lists, for each refused entry of the body, its `request_id` and its `errors`; when it is empty the
    response has no `validation-errors` at all.
    """

    def __init__(self, status: int, detail: str | None = None, invalid: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail or title(status))
        self.status = status
        self.detail = detail
        self.invalid = invalid

    def body(self) -> dict[str, Any]:
        """The problem document."""
        document = problem(self.status, self.detail)
        return {"validation-errors": list(self.invalid), **document} if self.invalid else document


class OAuthProblemError(ProblemError):
    """The sign-in is refused; `hint` is the only part of the response that tells why."""

    def __init__(self, status: int, hint: str) -> None:
        super().__init__(status, hint)
        self.hint = hint

    def body(self) -> dict[str, Any]:
        """The problem document, in the form that all refusals of a sign-in have."""
        return {
            "hint": self.hint,
            "title": "Некорректный запрос",
            "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
            "status": self.status,
            "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
        }


class ProblemResponse(JSONResponse):
    """A JSON response typed as amoCRM types its errors."""

    media_type = "application/problem+json"


def title(status: int) -> str:
    """The reason phrase of a status; also of one outside the standard, such as a gateway's own 520."""
    if status in _TITLES:
        return _TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


def problem(status: int, detail: str | None = None) -> dict[str, Any]:
    """The problem document for `status`, with a believable `detail` when none is given."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        trace_id = "00000000000000000000000000000000"
        return {"title": "ErrInternalServer", "status": status, "detail": detail or title(status), "trace_id": trace_id}
    return {
        "title": title(status),
        "type": f"https://httpstatus.es/{status}",
        "status": status,
        "detail": detail or _DETAILS.get(status) or title(status),
    }


def invalid_data(*entries: Mapping[str, Any]) -> ProblemError:
    """A 400 that names every entry refused and why."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "Request validation failed", entries)


def empty_data() -> ProblemError:
    """The 400 for a body without any data."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "Request data can not be empty")


def not_found(method: str, url: str) -> ProblemError:
    """The 404 for a path, or an id to change, that does not exist."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"Cannot {method} {url}")
