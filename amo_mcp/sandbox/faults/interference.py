"""The layer that makes faults happen: it stands between the network and the application."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus

from anyio import sleep
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.sandbox.api.problems import problem, title
from amo_mcp.sandbox.faults.faults import Fault, Faults

_HTML = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass
class _Response:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.body += message.get("body", b"")


class Interference:
    """Passes requests to `app`, except where a fault applies; `/_sandbox/` is never affected."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        fault = None
        if scope["type"] == "http" and not scope["path"].startswith("/_sandbox/"):
            fault = self._faults.take(scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._apply(fault, scope, receive, send)

    async def _apply(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await sleep(fault.delay)
        if fault.drop == "before":
            await _drop(scope, receive)
            return
        response = _Response()
        if fault.drop or fault.after_effect or not fault.responds:
            await self._app(scope, receive, response.collect)
        if fault.drop == "after":
            await _drop(scope, receive)
            return
        if fault.responds:
            response = _response_of(fault)
        response.headers |= {name.lower().encode(): value.encode() for name, value in fault.headers.items()}
        # A status that allows no body would be a whole response already, not half of one.
        if fault.drop == "body" and not response.body:
            await _drop(scope, receive)
            return
        await send(
            {"type": "http.response.start", "status": response.status, "headers": list(response.headers.items())}
        )
        if fault.drop == "body":
            half = response.body[: len(response.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await _drop(scope, receive)
            return
        await send({"type": "http.response.body", "body": response.body})


def _response_of(fault: Fault) -> _Response:
    default = HTTPStatus.OK if fault.retry_after is None else HTTPStatus.TOO_MANY_REQUESTS
    status = fault.status or default.value
    body, content_type = _body_of(fault, status)
    headers = {}
    if fault.content_type or content_type:
        headers[b"content-type"] = (fault.content_type or content_type).encode()
    # A body after these would break the connection for its next request.
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return _Response(status, headers)
    encoded = body.encode()
    return _Response(status, {**headers, b"content-length": str(len(encoded)).encode()}, encoded)


def _body_of(fault: Fault, status: int) -> tuple[str, str]:
    fails = status >= HTTPStatus.BAD_REQUEST
    if fault.html:
        return fault.body or _HTML.format(title=f"{status} {title(status)}"), "text/html"
    if fault.body is not None:
        return fault.body, "application/problem+json" if fails else "application/hal+json"
    if not fails or status == HTTPStatus.METHOD_NOT_ALLOWED:
        return "", ""
    document = problem(status)
    if fault.retry_after is not None:
        document["retry_after"] = fault.retry_after
    return json.dumps(document, ensure_ascii=False), "application/problem+json"


async def _drop(scope: Scope, receive: Receive) -> None:
    drop = scope.get("state", {}).get("drop_connection")
    if drop is None:
        raise ConnectionResetError("the sandbox dropped the connection because of a fault")
    drop()
    # To return before the server has noticed would be logged as a broken application.
    while (await receive())["type"] != "http.disconnect":
        pass
