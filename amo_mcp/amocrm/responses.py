"""What a response means: data, or one exception of the tree.

The API answers with JSON or with nothing. Any other page comes from something in front of it (a gateway, a proxy, a
sign-in form), and says nothing about the account: it is never an entity that does not exist.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from amo_mcp.amocrm.errors import (
    AmoError,
    Blocked,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    PaymentRequired,
    Problem,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from amo_mcp.amocrm.http import Response

_GATEWAY_STATUSES = (502, 503, 504)
"""What a gateway answers when it could not pass a write on, or lost what came back."""

_GATEWAY_GAVE_UP = (408, 499, 504)
"""The gateway does not wait any more, and the API may still be at work."""

MOVED_HINT = "Check the account's address (AMO_BASE_URL): the account may have been renamed."
"""What to do about an address behind which there is no account any more."""

_HOST = re.compile(r"[a-z0-9.-]{1,253}(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def data_of(method: str, response: Response) -> Any:
    """The JSON of a success; None for an empty response.

    Raises:
        Unavailable: a read that was answered with another page, or with nothing where there has to be something.
        OutcomeUnknown: a write that was answered with another page, or with `null`.
    """
    if response.is_empty and response.status == HTTPStatus.NO_CONTENT:
        return None
    if response.is_foreign:
        reason, status = f"answered with a page that is not the API's (status {response.status})", response.status
        if method == "GET":
            raise Unavailable(reason, status, transient=True)
        raise OutcomeUnknown(reason, transient=True, settled=True)
    if response.json is None and method == "GET":
        raise Unavailable("answered with nothing")
    if response.json is None and not response.is_empty:
        raise OutcomeUnknown("answered with nothing")
    return response.json


def error_of(method: str, response: Response, token: SecretStr, hint: str) -> AmoError:
    """The exception that a response without success means.

    Args:
        method: of the request; what is unavailable to a read leaves the outcome of a write unknown.
        response: any response whose status is not 2xx.
        token: what was sent; it is struck out of what the API said.
        hint: what a person has to do when the API does not accept the token.
    """
    status, body = response.status, response.json_object()
    detail = body.get("detail")
    problems = tuple(_problems(body, token))
    refusal = (status, _without(token, detail) if isinstance(detail, str) else "", problems)
    match status:
        case 400 if method != "POST" and problems and {problem.path for problem in problems} == {"id"}:
            return NotFound(*refusal)
        case 401:
            return Unauthorized(*refusal, hint=hint)
        case 402:
            return PaymentRequired(*refusal)
        case 403:
            return Blocked(*refusal) if response.is_foreign else Forbidden(*refusal)
        case 404 if not is_foreign_404(response):
            return Rejected(*refusal) if method == "POST" else NotFound(*refusal)
        case 429:
            return RateLimited(*refusal, retry_after=_retry_after(body, response.headers))
        case _ if 400 <= status < 500 and status not in (404, *_GATEWAY_GAVE_UP):
            return Rejected(*refusal)
        case _:
            return _no_answer(method, response)


def may_have_moved(response: Response) -> bool:
    """Whether this is how the old address of a renamed account may answer."""
    return response.is_redirect or is_foreign_404(response) or response.status == HTTPStatus.UNAUTHORIZED


def is_foreign_404(response: Response) -> bool:
    """Whether it is a 404 of something in front of the API, which sends a problem document with each of its own."""
    if response.status != HTTPStatus.NOT_FOUND:
        return False
    body = response.json_object()
    is_typed = "problem+json" in response.headers.get("content-type", "").lower()
    return not body or not (is_typed or ("title" in body and body.get("status") == HTTPStatus.NOT_FOUND))


def _no_answer(method: str, response: Response) -> Unavailable | OutcomeUnknown:
    """A response that says nothing about the account: a failure, a redirect, or a page that is not the API's."""
    status = response.status
    reason, hint = f"answered with the status {status}", ""
    if response.is_redirect:
        reason, hint = f"redirected the request to {_target(response)} (status {status})", MOVED_HINT
    elif status == HTTPStatus.NOT_FOUND:
        reason, hint = f"answered with a page that is not the API's (status {status})", MOVED_HINT
    # A page in the place of the API, as the web router's 404, means that the request never reached it; the next may.
    may_pass = status in (HTTPStatus.NOT_FOUND, *_GATEWAY_STATUSES)
    if method == "GET":
        return Unavailable(reason, status, transient=may_pass or status >= 500, hint=hint)
    return OutcomeUnknown(reason, transient=may_pass, settled=status not in _GATEWAY_GAVE_UP, hint=hint)


def _target(response: Response) -> str:
    """The host that a redirect leads to, if it may stand in a sentence."""
    try:
        host = urlsplit(response.headers.get("location", "")).netloc
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) else "another address"


def _problems(body: dict[str, Any], token: SecretStr) -> list[Problem]:
    """The entries of `validation-errors`, whatever else is wrong with their shape."""
    groups = body.get("validation-errors")
    found = []
    for group in groups if isinstance(groups, list) else []:
        errors, entry = (group.get("errors"), group.get("request_id")) if isinstance(group, dict) else (None, None)
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                path, detail, code = (_without(token, str(error.get(key) or "")) for key in ("path", "detail", "code"))
                found.append(Problem(path, detail, code, entry if isinstance(entry, str) else ""))
    return found


def _without(token: SecretStr, text: str) -> str:
    """What the API said, without our token, should it have said that."""
    return text.replace(token.get_secret_value(), "…")


def _retry_after(body: dict[str, Any], headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry_after` of the body (documented), else a `Retry-After` header (assumed)."""
    for seconds in (_seconds(body.get("retry_after")), _seconds(headers.get("retry-after")), _until_date(headers)):
        if seconds is not None:
            return seconds
    return None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _until_date(headers: Mapping[str, str]) -> float | None:
    """Seconds until a `Retry-After` that is an HTTP date, by the server's own clock where it says its time."""
    until = _unix_time(headers.get("retry-after"))
    if until is None:
        return None
    now = _unix_time(headers.get("date"))
    return max(0.0, until - (time.time() if now is None else now))


def _unix_time(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
