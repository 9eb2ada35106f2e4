"""The layer that makes faults happen: it stands between the network and the application."""

import json
from http import HTTPStatus

from anyio import sleep
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.sandbox.api.problems import problem, title
from amo_mcp.sandbox.faults.faults import Fault, Faults

_HTML = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


async def interfere(app: ASGIApp, faults: Faults, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass a request to `app`, except where a fault applies; `/_sandbox/` is never affected."""
    fault = None
    if scope["type"] == "http" and not scope["path"].startswith("/_sandbox/"):
        fault = faults.take(scope["method"], scope["path"])
    if fault is None:
        await app(scope, receive, send)
        return
    await sleep(fault.delay)
    response = Response()
    if fault.drop in ("after", "body") or (fault.drop is None and (fault.after_effect or not fault.responds)):
        response = await _response_of_app(app, scope, receive)
    if fault.responds:
        response = _response_of_fault(fault)
    response.headers.update(fault.headers)
    if fault.drop is None:
        await response(scope, receive, send)
        return
    # A status that allows no body would be a whole response already, not half of one.
    if fault.drop == "body" and response.body:
        half = response.body[: len(response.body) // 2]
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})
    await _drop(scope, receive)


async def _response_of_app(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    start, *parts = messages
    return Response(b"".join(part.get("body", b"") for part in parts), start["status"], Headers(raw=start["headers"]))


def _response_of_fault(fault: Fault) -> Response:
    status = fault.status or (HTTPStatus.OK if fault.retry_after is None else HTTPStatus.TOO_MANY_REQUESTS).value
    body, content_type = _body_of(fault, status)
    # A body after these would break the connection for its next request.
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        body = ""
    content_type = fault.content_type or content_type
    return Response(body, status, {"content-type": content_type} if content_type else {})


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
