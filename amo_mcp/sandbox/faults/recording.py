"""The outermost layer: records requests, adds `X-Request-Id` to responses, limits the size of bodies and the rate."""

from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.sandbox.api import body
from amo_mcp.sandbox.api.problems import ProblemError

MAX_RECORDED = 2_000

_API = "/api/"
_OAUTH = "/oauth2/"
_SECRETS = ("client_secret", "code", "refresh_token")
_RETRY_AFTER = 1
_WINDOW_SECONDS = 1


@dataclass
class Request:
    """One request received.

    Attributes:
        at: when it arrived, in `time.monotonic()` seconds.
        method: the HTTP method.
        path: the path with its query.
        status: the status of a response sent in full; None while there is none and when the connection was dropped.
        body: the JSON value of the body, or None; under `/oauth2/` only an object, with "…" for its secrets.
    """

    at: float
    method: str
    path: str
    status: int | None = None
    body: Any = None

    @property
    def of_api(self) -> bool:
        """Whether it was for the API, rather than for sign-in."""
        return self.path.startswith(_API)


class Recording:
    """Records the requests under `/api/` and `/oauth2/`, and refuses those under `/api/` above the rate limit.

    The limit is a number of requests in one second, or None. A window of one second is half-open: two requests exactly
    a second apart are not in the same one. A refused request counts too, so only a pause helps (assumed).

    Attributes:
        requests: the last 2,000 requests, in order.
        over_limit: how many requests were refused for the limit.

    Raises:
        ValueError: the `rate_limit` is less than 1.
    """

    def __init__(self, rate_limit: int | None) -> None:
        if rate_limit is not None and rate_limit < 1:
            raise ValueError(f"rate_limit is {rate_limit}, not at least 1")
        self.requests: list[Request] = []
        self.over_limit = 0
        self._limit = rate_limit
        self._arrivals: deque[float] = deque()

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application that records its requests and passes them on to `app`, with their bodies read."""

        async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve(app, scope, receive, send)

        return recorded

    def busiest_second(self) -> int:
        """The largest number of recorded requests under `/api/` that arrived within one second."""
        window: deque[float] = deque()
        return max((_push(window, at) for at in sorted(item.at for item in self.requests if item.of_api)), default=0)

    async def _serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        record = self._record(scope)
        refused = record.of_api and self._limit is not None and _push(self._arrivals, record.at) > self._limit
        self.over_limit += refused
        respond = _with_request_id(record, send)
        raw = await _read(receive)
        if raw is None:
            await ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE).response()(scope, receive, respond)
            return
        try:
            record.body = _without_secrets(record, body.parse(raw))
        except ValueError:
            record.body = None
        if refused:
            problem = ProblemError(HTTPStatus.TOO_MANY_REQUESTS, retry_after=_RETRY_AFTER)
            await problem.response()(scope, receive, respond)
            return
        await app(scope, _replaying(raw, receive), respond)

    def _record(self, scope: Scope) -> Request:
        query = scope["query_string"].decode("latin-1")
        record = Request(monotonic(), scope["method"], f"{scope['path']}?{query}" if query else scope["path"])
        if scope["path"].startswith((_API, _OAUTH)):
            self.requests.append(record)
            del self.requests[:-MAX_RECORDED]
        return record


def _push(window: deque[float], at: float) -> int:
    """Add an arrival, remove those a second or more before it, and return how many there are."""
    window.append(at)
    while at - window[0] >= _WINDOW_SECONDS:
        window.popleft()
    return len(window)


def _without_secrets(record: Request, value: Any) -> Any:
    if not record.path.startswith(_OAUTH):
        return value
    if not isinstance(value, dict):
        return None
    return {name: "…" if name in _SECRETS else item for name, item in value.items()}


async def _read(receive: Receive) -> bytes | None:
    raw: bytes = b""
    while len(raw) <= body.MAX_BYTES:
        message = await receive()
        raw += message.get("body", b"")
        if not message.get("more_body", False):
            return raw if len(raw) <= body.MAX_BYTES else None
    return None


def _replaying(raw: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": raw, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_request_id(record: Request, send: Send) -> Send:
    request_id = (b"x-request-id", uuid4().hex.encode())
    status = 0

    async def send_with_id(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])
            message = {**message, "headers": [*message["headers"], request_id]}
        elif not message.get("more_body", False):
            # Recorded before it is sent: a client that has the response may read the record at once.
            record.status = status
        await send(message)

    return send_with_id
