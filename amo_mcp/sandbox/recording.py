"""The outermost layer: notes every request, marks every answer with `X-Request-Id`, bounds every body."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.sandbox import body
from amo_mcp.sandbox.problems import ProblemResponse, problem

MAX_RECORDED = 100_000

_RECORDED = ("/api/", "/oauth2/")


@dataclass
class Request:
    """One request received.

    Attributes:
        at: when it arrived, in `time.monotonic()` seconds.
        method: the HTTP method.
        path: the path with its query.
        status: the status answered in full; None while there is none and when the connection was dropped.
        body: the JSON value of the body, or None.
    """

    at: float
    method: str
    path: str
    status: int | None = None
    body: Any = None


class Recording:
    """Passes requests on with their bodies read, and appends those under `/api/` and `/oauth2/` to `requests`."""

    def __init__(self, app: ASGIApp, requests: list[Request]) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(scope)
        answer = _marking(record, send)
        raw = await _read(scope, receive)
        if raw is None:
            document = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await ProblemResponse(document, status_code=document["status"])(scope, receive, answer)
            return
        try:
            record.body = body.parse(raw)
        except ValueError:
            record.body = None
        await self._app(scope, _replaying(raw, receive), answer)

    def _record(self, scope: Scope) -> Request:
        query = scope["query_string"].decode("latin-1")
        record = Request(time.monotonic(), scope["method"], f"{scope['path']}?{query}" if query else scope["path"])
        if scope["path"].startswith(_RECORDED):
            del self._requests[: max(0, len(self._requests) - MAX_RECORDED + 1)]
            self._requests.append(record)
        return record


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
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _marking(record: Request, send: Send) -> Send:
    mark = (b"x-request-id", uuid4().hex.encode())
    status = 0

    async def marked(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])
            message = {**message, "headers": [*message["headers"], mark]}
        elif not message.get("more_body", False):
            # Noted before it is sent: whoever has the answer may look at the record at once.
            record.status = status
        await send(message)

    return marked
