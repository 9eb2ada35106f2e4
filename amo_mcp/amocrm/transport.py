"""One request, well done: signed in, bounded in time and size, and every answer turned into data or an exception.

The only module that speaks HTTP. It sends to paths under the configured root and nowhere else: redirects and the
absolute `_links` of answers are never followed, so that the token goes to the operator's host alone.
"""

import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import httpx2
from pydantic import SecretStr

from amo_mcp import __version__
from amo_mcp.amocrm.errors import (
    AmoError,
    Blocked,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    PaymentRequired,
    Problem,
    RateLimited,
    Refused,
    Rejected,
    Unauthorized,
    Unavailable,
)

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A larger answer is not read to its end: 250 full segments are well under one megabyte."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class SignIn(Protocol):
    """Where the bearer token comes from."""

    async def token(self) -> SecretStr:
        """The token to send now."""
        ...


class LongLivedToken:
    """A token that the operator gave; it cannot be refreshed."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    async def token(self) -> SecretStr:
        """The token, as given."""
        return self._token


class Transport:
    """HTTP to one account.

    Args:
        root: the account's address, such as `https://example.amocrm.ru`.
        sign_in: where the bearer token comes from.
        timeout: seconds for each of connecting, sending and waiting for bytes.
        app: an ASGI application to call in process instead of the network (the sandbox).
    """

    def __init__(self, root: str, sign_in: SignIn, *, timeout: float, app: Any = None) -> None:
        self.root = root.rstrip("/")
        self._sign_in = sign_in
        self._timeout = timeout
        self._http = httpx2.AsyncClient(
            headers={"User-Agent": f"amo-mcp/{__version__}", "Accept": "application/hal+json, application/json"},
            timeout=timeout,
            follow_redirects=False,
            trust_env=app is None,
            transport=None if app is None else httpx2.ASGITransport(app=app),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self, method: str, path: str, *, params: Mapping[str, int] | None = None, body: Any = None
    ) -> Any:
        """Send one request and give the JSON that came back, `None` for an empty answer.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: the path under the root, such as `/api/v4/customers/segments`.
            params: the query.
            body: what to send as JSON.

        Raises:
            Unavailable: no usable answer, and the request cannot have changed anything.
            OutcomeUnknown: a write was sent, and no usable answer came.
            Refused: the API said no; see its subclasses.
        """
        token = await self._sign_in.token()
        request = self._http.build_request(
            method,
            self.root + path,
            params=params,
            json=body,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
        )
        started = time.monotonic()
        status, headers, content = await self._exchange(request)
        request_id = headers.get("x-request-id")
        logger.info(
            "%s %s -> %d in %d ms, X-Request-Id %s",
            method,
            path,
            status,
            (time.monotonic() - started) * 1e3,
            request_id,
        )
        if 200 <= status < 300:  # noqa: PLR2004 - any success will do, the documentation names several
            return self._parsed(method, content, headers)
        raise _refusal(method, status, headers, content, request_id)

    async def _exchange(self, request: httpx2.Request) -> tuple[int, httpx2.Headers, bytes]:
        """Send, and read the answer whole, up to `MAX_ANSWER_BYTES`."""
        try:
            response = await self._http.send(request, stream=True)
            try:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        _no_answer(request.method, "sent an answer that is too large to be right")
            finally:
                await response.aclose()
        except _NEVER_SENT as error:
            logger.warning("%s %s was not sent: %s", request.method, request.url.path, type(error).__name__)
            raise Unavailable("could not be reached; check the address and the network") from error
        except httpx2.TimeoutException as error:
            logger.warning("%s %s timed out: %s", request.method, request.url.path, type(error).__name__)
            _no_answer(request.method, f"did not answer within {self._timeout:g} s", error)
        except (httpx2.HTTPError, OSError) as error:
            logger.warning("%s %s broke off: %s", request.method, request.url.path, type(error).__name__)
            _no_answer(request.method, "broke the connection off before it had answered", error)
        return response.status_code, response.headers, bytes(content)

    def _parsed(self, method: str, content: bytes, headers: httpx2.Headers) -> Any:
        if not content.strip():
            return None
        try:
            return parse_json(content)
        except ValueError as error:
            kind = headers.get("content-type", "no content type")
            logger.warning("%s was answered with what is not JSON (%s)", method, kind.partition(";")[0][:80])
            _no_answer(method, "answered with something that is not JSON", error)


def parse_json(content: bytes) -> Any:
    """Parse JSON; half of a surrogate pair, which could not be passed on as text, becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, or nested deeper than can be read.
    """
    try:
        parsed = json.loads(content)
        if _SURROGATE.search(content):
            text = json.dumps(parsed, ensure_ascii=False)
            parsed = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return parsed


def _no_answer(method: str, reason: str, cause: Exception | None = None) -> NoReturn:
    raise (Unavailable(reason) if method == "GET" else OutcomeUnknown(reason)) from cause


def _refusal(method: str, status: int, headers: httpx2.Headers, content: bytes, request_id: str | None) -> AmoError:
    """The exception for an answer that is no success."""
    body = _problem_body(content)
    detail = body.get("detail")
    problems = _problems(body)
    told = (status, detail if isinstance(detail, str) else "", problems, request_id)
    match status:
        case 400 if problems and {problem.path for problem in problems} == {"id"}:
            return NotFound(*told)
        case 401:
            return Unauthorized(*told)
        case 402:
            return PaymentRequired(*told)
        case 403:
            return Blocked(*told) if _is_html(headers, content) else Forbidden(*told)
        case 404:
            return NotFound(*told)
        case 429:
            return RateLimited(*told, retry_after=_retry_after(body, headers))
        case _ if 400 <= status < 500:  # noqa: PLR2004 - the class of statuses that say: your request
            return Rejected(*told)
        case _:
            reason = f"answered with the status {status}"
            return Unavailable(reason, status) if method == "GET" else OutcomeUnknown(reason)


def _problem_body(content: bytes) -> dict[str, Any]:
    try:
        body = parse_json(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_html(headers: httpx2.Headers, content: bytes) -> bool:
    return "html" in headers.get("content-type", "") or content.lstrip().startswith(b"<")


def _problems(body: dict[str, Any]) -> tuple[Problem, ...]:
    """The entries of `validation-errors`, whatever else is wrong with their shape."""
    groups = body.get("validation-errors")
    found = []
    for group in groups if isinstance(groups, list) else []:
        errors = group.get("errors") if isinstance(group, dict) else None
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                path, detail, code = (str(error.get(key) or "") for key in ("path", "detail", "code"))
                found.append(Problem(path, detail, code))
    return tuple(found)


def _retry_after(body: dict[str, Any], headers: httpx2.Headers) -> float | None:
    """Seconds to wait: `retry_after` of the body (documented), else a `Retry-After` header in seconds (assumed)."""
    for value in (body.get("retry_after"), headers.get("retry-after")):
        try:
            seconds = float(str(value))
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


__all__ = ["MAX_ANSWER_BYTES", "LongLivedToken", "Refused", "SignIn", "Transport", "parse_json"]
