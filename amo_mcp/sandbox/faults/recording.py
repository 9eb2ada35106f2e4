"""The outermost layer: records requests, adds `X-Request-Id` to responses, limits the size of bodies and the rate."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.sandbox.api import body
from amo_mcp.sandbox.api.problems import ProblemResponse, problem

MAX_RECORDED = 2_000

_API = "/api/"
_OAUTH = "/oauth2/"
_SECRETS = ("client_secret", "code", "refresh_token")
_RETRY_AFTER = 1


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
    """Passes requests on with their bodies read, and appends those under `/api/` and `/oauth2/` to `requests`.

    `admit` is given the time that a request under `/api/` arrived at, and returns whether it may pass; one that may
    not is refused with 429.
    """

    def __init__(self, app: ASGIApp, requests: list[Request], admit: Callable[[float], bool]) -> None:
        self._app = app
        self._requests = requests
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(scope)
        admitted = not record.of_api or self._admit(record.at)
        respond = _with_request_id(record, send)
        raw = await _read(scope, receive)
        if raw is None:
            document = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await ProblemResponse(document, status_code=document["status"])(scope, receive, respond)
            return
        try:
            record.body = _without_secrets(record, body.parse(raw))
        except ValueError:
            record.body = None
        if not admitted:
            document = {**problem(HTTPStatus.TOO_MANY_REQUESTS), "retry_after": _RETRY_AFTER}
            await ProblemResponse(document, status_code=document["status"])(scope, receive, respond)
            return
        await self._app(scope, _replaying(raw, receive), respond)

    def _record(self, scope: Scope) -> Request:
        query = scope["query_string"].decode("latin-1")
        record = Request(monotonic(), scope["method"], f"{scope['path']}?{query}" if query else scope["path"])
        if scope["path"].startswith((_API, _OAUTH)):
            del self._requests[: max(0, len(self._requests) - MAX_RECORDED + 1)]
            self._requests.append(record)
        return record


def _without_secrets(record: Request, value: Any) -> Any:
    if not record.path.startswith(_OAUTH):
        return value
    if not isinstance(value, dict):
        return None
    return {name: "…" if name in _SECRETS else item for name, item in value.items()}


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > body.MAX_BYTES:
        return None
    raw: bytes = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if len(raw) > body.MAX_BYTES:
            return None
        if not message.get("more_body", False):
            return raw


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
