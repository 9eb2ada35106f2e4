"""Serves a sandbox on a real port, over connections that a fault can cut."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, cast

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from amo_mcp.listen import authority, listen
from amo_mcp.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from asyncio import BaseTransport, Transport

_GRACE_SECONDS = 1


async def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 8901, started: Callable[[str], None] | None = None
) -> None:
    """Serve until Ctrl-C, SIGTERM or cancellation; `started` is given the base URL once requests are served.

    Port 0 means any free port. Requests under way at the end get a second to finish.

    Raises:
        NotLoopback: `host` is neither a loopback address nor `localhost`.
        OSError: the address can not be listened on.
    """
    with listen(host, port) as listener:
        url = f"http://{authority(listener)}"
        server = _Server(sandbox, lambda: started(url) if started else None)
        try:
            await server.serve([listener])
        except anyio.get_cancelled_exc_class():
            if server.started:
                with anyio.CancelScope(shield=True):
                    await server.shutdown([listener])
            raise


@contextmanager
def running(sandbox: Sandbox, port: int = 0) -> Iterator[str]:
    """Serve on 127.0.0.1 from a thread for as long as the context lasts; the value is the base URL."""
    ready = threading.Event()
    server = _Server(sandbox, ready.set)
    with listen("127.0.0.1", port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
        thread.start()
        ready.wait()
        try:
            yield f"http://{authority(listener)}"
        finally:
            server.should_exit = True
            thread.join()


class _Protocol(H11Protocol):
    """Lets the application cut its connection, which neither ASGI nor uvicorn has a public way for.

    uvicorn documents neither this base class nor `app_state`, which it copies into `scope["state"]`, where the faults
    look for it.
    """

    def connection_made(self, transport: "BaseTransport") -> None:
        connection = cast("Transport", transport)
        super().connection_made(connection)
        self.app_state = {**self.app_state, "drop_connection": connection.abort}


class _Server(uvicorn.Server):
    """A server that says when it serves; uvicorn documents none of `startup`, `shutdown` and `handle_exit`."""

    def __init__(self, sandbox: Sandbox, on_start: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal again after a clean stop, and end in a KeyboardInterrupt.
        self.force_exit = self.should_exit
        self.should_exit = True
