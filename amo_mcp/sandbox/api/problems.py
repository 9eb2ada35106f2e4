"""Refusals, in the `application/problem+json` forms of amoCRM."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

# Written out where Python's own phrase has changed between versions.
_TITLES = {413: "Payload Too Large", 422: "Unprocessable Entity"}
_DETAILS = {401: "Неверный логин или пароль", 403: "Invalid scope"}


class ProblemError(Exception):
    """The request is refused with `status` and a problem document, `body`; `members` replace and add parts of it."""

    def __init__(self, status: int, detail: str | None = None, **members: Any) -> None:
        super().__init__(detail or title(status))
        self.status = status
        self.body = {**problem(status, detail), **members}

    def response(self) -> JSONResponse:
        """The refusal, typed as amoCRM types its errors."""
        return JSONResponse(self.body, self.status, media_type="application/problem+json")


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
    """A 400 that lists the `request_id` and the `errors` of every refused entry of the body."""
    members = {"validation-errors": entries}
    return ProblemError(HTTPStatus.BAD_REQUEST, "Request validation failed", **members)


def empty_data() -> ProblemError:
    """The 400 for a body without any data."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "Request data can not be empty")


def not_found(method: str, url: str) -> ProblemError:
    """The 404 for a path, or an id to change, that does not exist."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"Cannot {method} {url}")


def sign_in_refused(status: int, hint: str) -> ProblemError:
    """A refusal in the form that all those of a sign-in have; only `hint` tells why."""
    return ProblemError(
        status,
        "В запросе отсутствует ряд параметров или параметры невалидны",
        hint=hint,
        title="Некорректный запрос",
        type="https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
    )
