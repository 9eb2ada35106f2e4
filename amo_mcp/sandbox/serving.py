"""Serves a sandbox on a real port, over connections that a fault can cut."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from amo_mcp.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from asyncio import Transport

_GRACE_SECONDS = 1


async def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 8901, started: Callable[[str], None] | None = None
) -> None:
    """Serve until Ctrl-C, SIGTERM or cancellation; `started` is told the base URL once requests are answered.

    Port 0 means any free port. Answers still under way at the end get a second to finish.

    Raises:
        OSError: the address can not be listened on.
    """
    listener, url = _listen(host, port)
    server = _Server(_config(sandbox), lambda: started(url) if started else None)
    with listener:
        try:
            await server.serve([listener])
        except anyio.get_cancelled_exc_class():
            if server.started:
                with anyio.CancelScope(shield=True):
                    await server.shutdown([listener])
            raise


@contextmanager
def running(sandbox: Sandbox, port: int = 0) -> Iterator[str]:
    """Serve from a thread for as long as the context lasts; the value is the base URL."""
    listener, url = _listen("127.0.0.1", port)
    ready = threading.Event()
    server = _Server(_config(sandbox), ready.set)
    with listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
        thread.start()
        ready.wait()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


class _Protocol(H11Protocol):
    def connection_made(self, transport: "Transport") -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn copies this into `scope["state"]`, which is where the faults look for it.
        self.app_state = {**self.app_state, "drop_connection": transport.abort}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # uvicorn's own would raise the signal again after a clean stop, and end in a KeyboardInterrupt.
        self.force_exit = self.should_exit
        self.should_exit = True


def _config(sandbox: Sandbox) -> uvicorn.Config:
    return uvicorn.Config(
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


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio switches Nagle's algorithm off for named TCP only, and it costs 44 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listener, f"http://{shown}:{listener.getsockname()[1]}"
