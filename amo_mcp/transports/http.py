"""One MCP server as an ASGI application over Streamable HTTP.

Both eras of the protocol are at `/mcp`, and `GET /healthz` says that the process serves. There is no sign-in: every
program that reaches it is served. What a browser shows is kept out by the Host and Origin headers, which a page cannot
choose.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from http import HTTPStatus

import anyio
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.server.base import McpServer
from amo_mcp.transports.limits import LAST_WORDS_SECONDS, LAST_WRITE_SECONDS, MAX_MESSAGE_BYTES
from amo_mcp.transports.messages import BUSY, SHUTTING_DOWN, Refused, error_line, error_message, parse
from amo_mcp.transports.sessions import Sessions

PATH = "/mcp"
LOOPBACK_HOSTS = ("127.0.0.1", "[::1]", "localhost")
"""Names of this machine, as the Host header has them."""

MAX_SESSIONS = 200
"""Sessions of 2025-11-25 that are kept by default."""

BODY_SECONDS = 10.0
"""Seconds that the body of a request may take to come."""

_SESSION_ID = "mcp-session-id"


class HttpApp:
    """The ASGI application of an MCP server; it ends by `drain`, `all_answered` and `end`, in this order.

    It serves while its lifespan runs. Mounted in another application, which ASGI does not tell the mounted ones of, it
    serves while `running` is entered.

    Args:
        server: what is served, with its account open; all sessions share it.
        security: the hosts by which it may be called, and the origins of the pages that may; this machine's by default.
        max_sessions: sessions of 2025-11-25 that are kept; with one more the one idle longest ends.
        stateless: there are no sessions: the next request of a client may be another process's to answer.

    Attributes:
        server: what is served.
        sessions: the sessions of 2025-11-25 that are open.
        stateless: whether there are no sessions.
        draining: whether it takes no new request, since the server ends.
    """

    def __init__(
        self,
        server: McpServer,
        *,
        security: TransportSecuritySettings | None = None,
        max_sessions: int = MAX_SESSIONS,
        stateless: bool = False,
    ) -> None:
        security = security or known_as(*LOOPBACK_HOSTS)
        self.server = server
        self.stateless = stateless
        self._max_sessions = max_sessions
        self._app: ASGIApp = server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=stateless,
            transport_security=security,
            max_request_body_size=MAX_MESSAGE_BYTES,
            # Sessions are counted here, once they are open; this bounds how many are being opened.
            max_sessions=2 * max_sessions,
            custom_starlette_routes=[Route("/healthz", _health(server.version, security), methods=["GET"])],
        )
        self._url = f"http://{security.allowed_hosts[0]}{PATH}"
        self._in_process = HttpTransport(timeout=math.inf, app=self._app)
        self._calls: dict[anyio.CancelScope, bool] = {}
        self._answered = anyio.Event()
        self.draining = False
        self.sessions = Sessions()

    def running(self) -> AbstractAsyncContextManager[None]:
        """What the lifespan does; it can be entered once."""
        return self.server.session_manager.run()

    def drain(self) -> None:
        """Begin to end: stop the server, and take no request any more but those of open sessions.

        An open session cancels its calls by requests.
        """
        self.draining = True
        self.server.stop(LAST_WRITE_SECONDS)

    async def all_answered(self) -> None:
        """Wait until no call is under way, nor what outlives one; clients that only listen are not waited for."""
        while self._calls:
            self._answered = anyio.Event()
            await self._answered.wait()
        await self.server.at_rest()

    async def end(self) -> None:
        """End what is left: each session as its client's own DELETE would, and the calls that have none."""
        self.server.stop(0)
        with anyio.move_on_after(LAST_WORDS_SECONDS):
            await self.all_answered()
        for session_id in list(self.sessions):
            await self._end_session(session_id)
        for call, in_session in list(self._calls.items()):
            if not in_session:
                call.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session_id = Headers(scope=scope).get(_SESSION_ID)
        if self.draining and session_id not in self.sessions:
            await _shutting_down()(scope, receive, send)
        elif scope["method"] == "POST":
            await self._call(session_id, scope, receive, send)
        elif self.stateless and scope["path"] == PATH:
            await Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": "POST"})(scope, receive, send)
        elif session_id is not None and scope["method"] in {"GET", "DELETE"}:
            await self._listen_or_end(session_id, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _call(self, session_id: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call, which may open a session; when `end` cancels it, it is answered all the same."""
        started, body = False, bytearray()

        async def on_start(start: Message) -> None:
            nonlocal started
            started = True
            if session_id is None:
                await self._note_new_session(start)
            elif start["status"] == HTTPStatus.BAD_REQUEST:
                await self._end_dialog(session_id, bytes(body))
            body.clear()

        with anyio.CancelScope() as call, self.sessions.using(session_id, "call"):
            self._calls[call] = session_id in self.sessions
            try:
                await self._app(scope, _bounded(receive, body), _watched(send, on_start))
            finally:
                del self._calls[call]
                if not self._calls:
                    self._answered.set()
        if call.cancelled_caught and started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif call.cancelled_caught:
            await _shutting_down()(scope, receive, send)

    async def _listen_or_end(self, session_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as listening:

            async def on_start(start: Message) -> None:
                if start["status"] != HTTPStatus.OK:
                    return
                if scope["method"] == "DELETE":
                    self.sessions.pop(session_id, None)
                else:
                    listening.enter_context(self.sessions.using(session_id, "stream"))

            await self._app(scope, receive, _watched(send, on_start))

    async def _note_new_session(self, start: Message) -> None:
        """Count the session that a call has opened; when there are too many, the one idle longest ends."""
        session_id = Headers(raw=list(start["headers"])).get(_SESSION_ID)
        if session_id is None or start["status"] >= HTTPStatus.BAD_REQUEST:
            return
        self.sessions.add(session_id)
        if len(self.sessions) > self._max_sessions and (idle := self.sessions.idle_longest(but=session_id)):
            await self._end_session(idle)

    async def _end_dialog(self, session_id: str, body: bytes) -> None:
        """End the dialog whose answer was refused, by an error in its place; else its call would wait on."""
        try:
            parse(body)
        except Refused as refusal:
            if refusal.answers is not None:
                message = error_message(refusal.code, str(refusal), refusal.answers)
                headers = {_SESSION_ID: session_id, "accept": "application/json, text/event-stream"}
                await self._in_process.send("POST", self._url, headers=headers, body=message.model_dump(by_alias=True))

    async def _end_session(self, session_id: str) -> None:
        """End a session by the DELETE that its client would send.

        Not ended through the session manager: that waits five seconds per open dialog for a cancellation nobody can
        deliver.
        """
        await self._in_process.send("DELETE", self._url, headers={_SESSION_ID: session_id})
        self.sessions.pop(session_id, None)


def _watched(send: Send, on_start: Callable[[Message], Awaitable[None]]) -> Send:
    """`send`, where `on_start` sees the start of the response first."""

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            await on_start(message)
        await send(message)

    return watched


def _bounded(receive: Receive, body: bytearray) -> Receive:
    """`receive`, where a body that has not come in time is a 408; what comes after the body can take any time.

    What has come of it is in `body`.
    """
    deadline = anyio.current_time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal deadline
        with anyio.CancelScope(deadline=deadline) as waiting:
            message = await receive()
        if waiting.cancelled_caught:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"connection": "close"})
        if not message.get("more_body", False):
            deadline = math.inf
        body.extend(message.get("body", b""))
        return message

    return bounded


def _shutting_down() -> Response:
    return Response(
        error_line(BUSY, SHUTTING_DOWN, None),
        status_code=HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"connection": "close"},
        media_type="application/json",
    )


def known_as(*hosts: str) -> TransportSecuritySettings:
    """Accept only these names and addresses, at any port, and pages from there; a rebound DNS name still sends its own.

    They are without a port, and an IPv6 address is in [].
    """
    return TransportSecuritySettings(
        allowed_hosts=[host for name in hosts for host in (name, f"{name}:*")],
        allowed_origins=[f"http://{host}" for name in hosts for host in (name, f"{name}:*")],
    )


def _health(version: str, security: TransportSecuritySettings) -> Callable[[Request], Awaitable[Response]]:
    check = TransportSecurityMiddleware(security).validate_request

    async def health(request: Request) -> Response:
        """That the process serves; amoCRM is not asked."""
        return await check(request) or JSONResponse({"status": "ok", "server": "amo-mcp", "version": version})

    return health
