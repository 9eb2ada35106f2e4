"""Serves the ASGI application of one MCP server by uvicorn, and ends it in order."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import anyio
import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from amo_mcp.listen import authority
from amo_mcp.server.base import McpServer
from amo_mcp.transports.http import LOOPBACK_HOSTS, PATH, HttpApp, known_as
from amo_mcp.transports.limits import SHUTDOWN_SECONDS

if TYPE_CHECKING:
    from asyncio import TimerHandle

MAX_CONNECTIONS = 800
"""Connections at once; a process may often have 1024 files open."""

PAGE_CONNECTIONS = 64
"""Connections at once to a page on this machine, of those that wait; further ones are not refused."""

HEAD_SECONDS = 10.0
"""Seconds that the head of a request (its first line and headers) may take to come."""


def quiet_config(app: ASGIApp, **chosen: Any) -> uvicorn.Config:
    """How uvicorn serves an application here: without a word, and for a second at most once it is asked to exit."""
    return uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        **chosen,
    )


@asynccontextmanager
async def serving_beside(config: uvicorn.Config, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application as long as the context, beside another server, which hears the signals."""
    server = _Beside(config)

    async def run() -> None:
        # uvicorn closes its connections when it is asked to exit, and not when it is cancelled.
        with anyio.CancelScope(shield=True):
            await server.serve([listener])

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            yield
        finally:
            server.should_exit = True


class _Beside(uvicorn.Server):
    """Leaves signals to others; uvicorn documents no way to say so."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer(uvicorn.Server):
    """An MCP server over HTTP.

    uvicorn ends the application last, when its connections are closed. So a signal does not make it exit: what is
    under way ends while the connections are open, and only then uvicorn exits. It documents neither `startup` nor
    `handle_exit`.

    Args:
        app: the ASGI application of the server.
        listener: where; it is closed at the end.
        front: what requests come to first, and which passes them to `app`.

    Attributes:
        app: the ASGI application of the server.
        url: the address of the MCP endpoint, as this machine has it.
    """

    def __init__(self, app: HttpApp, listener: socket.socket, front: ASGIApp | None = None) -> None:
        self.app = app
        self.url = f"http://{authority(listener)}{PATH}"
        self._listener = listener
        self._answers = anyio.Event()
        self._stopped = anyio.Event()
        self._waiting = anyio.CancelScope()
        super().__init__(quiet_config(front or app, http=_Protocol, lifespan="on", limit_concurrency=MAX_CONNECTIONS))

    @classmethod
    def on_loopback(cls, server: McpServer, listener: socket.socket) -> Self:
        """An MCP server, with its account open, for programs of this machine."""
        host, _, _ = authority(listener).rpartition(":")
        return cls(HttpApp(server, security=known_as(*LOOPBACK_HOSTS, host)), listener)

    def stop(self) -> None:
        """End in order, as on Ctrl-C; called again, do not wait for the calls under way."""
        if self._stopped.is_set():
            self._waiting.cancel()
        self._stopped.set()

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # What this sets is seen within a tenth of a second, when uvicorn wakes the event loop.
        self.stop()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._answers.set()

    async def serve_until_stopped(self, started: Callable[[], None]) -> None:
        """Serve until Ctrl-C, SIGTERM or `stop`; `started` is called once requests are answered.

        Calls under way have `SHUTDOWN_SECONDS` to finish.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._run, group.cancel_scope)
            try:
                await self._answers.wait()
                started()
                await self._stopped.wait()
                self.app.drain()
                if self.app.stateless:
                    self._refuse_connections()
                self._waiting.deadline = anyio.current_time() + SHUTDOWN_SECONDS
                with self._waiting:
                    await self.app.all_answered()
                await self.app.end()
                self.should_exit = True
                await anyio.sleep_forever()
            finally:
                self.should_exit = True

    def _refuse_connections(self) -> None:
        """Take no connection any more, and close those on which nothing is under way.

        A proxy then asks another replica: it may send anew what was never taken. Where there are sessions, their
        clients still have to be heard. uvicorn documents neither `servers` nor `server_state`.
        """
        for server in self.servers:
            server.close()
        for connection in [*self.server_state.connections]:
            connection.shutdown()

    async def _run(self, until: anyio.CancelScope) -> None:
        with anyio.CancelScope(shield=True):
            await self.serve([self._listener])
        until.cancel()


def page_config(page: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves a page on this machine: in its own words, however many connections there are."""
    return quiet_config(page, http=_Protocol, lifespan="off")


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, where a connection is closed on which the head of a request does not come in time.

    When there are too many connections, the one that has waited longest for a head is closed earlier.
    uvicorn documents neither this base class nor its `scope`, `cycle`, `loop`, `transport`, `connections` and
    `limit_concurrency`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timer: TimerHandle | None = None

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) >= (self.limit_concurrency or PAGE_CONNECTIONS):
            self._make_room()
        self._await_head()

    @override
    def data_received(self, data: bytes) -> None:
        scope = self.scope
        super().data_received(data)
        if self.scope is not scope:
            self._stop_waiting()
        elif self.cycle is None or self.cycle.response_complete:
            self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        waiting = {
            other.timer.when(): other
            for other in self.connections
            if isinstance(other, _Protocol) and other.timer is not None
        }
        if waiting:
            waiting[min(waiting)].close()

    def close(self) -> None:
        """Close the connection, which is waited for no longer."""
        self._stop_waiting()
        self.transport.close()

    def _await_head(self) -> None:
        if self.timer is None:
            self.timer = self.loop.call_later(HEAD_SECONDS, self.close)

    def _stop_waiting(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
