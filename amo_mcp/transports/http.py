"""Serves one MCP server over Streamable HTTP, on loopback and nowhere else.

Both eras of the protocol are at `/mcp`, and `GET /healthz` says that the process serves. There is no sign-in: every
program of this machine is served. What a browser shows is kept out by the Host and Origin headers, which a page cannot
choose.
"""

import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from ipaddress import ip_address

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import HANDLED_SIGNALS

from amo_mcp.server.app import MOST_BYTES, AmoServer

PATH = "/mcp"
MOST_SESSIONS = 200
_MOST_CONNECTIONS = 800
"""Connections at once; a process may often have 1024 files open."""

_PATIENCE = 3.0
"""Seconds that calls under way have to finish after Ctrl-C or SIGTERM."""


class NotLoopback(Exception):
    """The address is not this machine's own."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address; port 0 means any free port.

    Raises:
        NotLoopback: `host` is neither a loopback address nor `localhost`.
        OSError: it cannot be listened on.
    """
    address = _loopback_address(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named: asyncio switches Nagle's algorithm off for named TCP only, and it costs 44 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _loopback_address(host: str) -> str:
    """Names other than `localhost` are not looked up: who answers could answer otherwise the next time."""
    address = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise NotLoopback(host)


class Loopback(uvicorn.Server):
    """The HTTP server in front of one MCP server, whose account is opened once for all sessions together.

    Args:
        server: what is served.
        listener: where.
    """

    def __init__(self, server: AmoServer, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        security = _security({shown, "127.0.0.1", "[::1]", "localhost"})
        server.custom_route("/healthz", ["GET"])(_health(server.version, security))
        self._app = server.streamable_http_app(
            streamable_http_path=PATH,
            transport_security=security,
            max_request_body_size=MOST_BYTES,
            max_sessions=MOST_SESSIONS,
        )
        self.url = f"http://{shown}:{port}{PATH}"
        self._mcp = server
        self._listener = listener
        self._started: Callable[[], None] = lambda: None
        self._sessions = AsyncExitStack()
        self._calls = 0
        self._idle: anyio.Event | None = None
        super().__init__(
            uvicorn.Config(
                self._counted,
                interface="asgi3",
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )

    async def until_stopped(self, started: Callable[[], None]) -> None:
        """Serve until Ctrl-C, SIGTERM or `should_exit`; `started` is called once requests are answered."""
        self._started = started
        async with self._sessions:
            await self._sessions.enter_async_context(self._mcp.session_manager.run())
            await self.serve([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests from now on."""
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, let calls finish, end the streams that would never end by themselves, and go."""
        for listening in self.servers:
            listening.close()
        self._mcp.end_subscriptions()
        if self._calls:
            self._idle = anyio.Event()
            with anyio.move_on_after(_PATIENCE):
                await self._idle.wait()
        await self._end_sessions()
        await super().shutdown(sockets)

    async def _end_sessions(self) -> None:
        """End what clients of the older era still hold open: streams, and dialogs that nobody has answered.

        Each session is closed as its client's own DELETE would. Closed with their manager, every open dialog is given
        five seconds for a cancellation that nobody carries any more.
        """
        for session in list(self._mcp.session_manager._server_instances.values()):  # noqa: SLF001 - no public way
            await session.terminate()
        await self._sessions.aclose()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While it serves, Ctrl-C and SIGTERM end it in order, and are not raised again.

        The handler is a function on purpose: sse-starlette looks for one that is uvicorn's method, and would cut the
        answers that are under way.
        """

        def stop(*_: object) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        before = {number: signal.signal(number, stop) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, and how many calls it has under way; a GET is a stream that no end is awaited of."""
        counts = scope["method"] == "POST"
        self._calls += counts
        try:
            await self._app(scope, receive, send)
        finally:
            self._calls -= counts
            if self._idle and not self._calls:
                self._idle.set()


def _security(names: set[str]) -> TransportSecuritySettings:
    """A page that was made to resolve to this machine still names its own host."""
    return TransportSecuritySettings(
        allowed_hosts=[host for name in names for host in (name, f"{name}:*")],
        allowed_origins=[f"http://{host}" for name in names for host in (name, f"{name}:*")],
    )


def _health(version: str, security: TransportSecuritySettings) -> Callable[[Request], Awaitable[Response]]:
    check = TransportSecurityMiddleware(security).validate_request

    async def health(request: Request) -> Response:
        """That the process serves; amoCRM is not asked."""
        return await check(request) or JSONResponse({"status": "ok", "server": "amo-mcp", "version": version})

    return health
