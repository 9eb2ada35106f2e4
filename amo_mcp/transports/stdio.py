"""Serves one MCP server over stdin and stdout.

The SDK hands every read and write to a thread, cannot be interrupted in it, and takes a line of any length. Here both
are read and written when the system says that they are ready; where it does not say that of pipes (Windows), a thread
of its own reads, which ends with the process. A line that is too long is dropped without being held.
"""

import logging
import os
import select
import sys
from collections.abc import AsyncIterable, AsyncIterator
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import Thread

import anyio
import anyio.lowlevel
from mcp.server.stdio import stdio_server

from amo_mcp.server.app import MOST_BYTES, AmoServer

logger = logging.getLogger(__name__)

TELLS_READY = sys.platform != "win32"
"""Whether the system says of a pipe that it is ready."""

_AT_ONCE = 65_536


async def serve_stdio(server: AmoServer) -> None:
    """Serve until stdin ends, or nobody reads stdout any more."""
    with open(os.devnull, "r+b") as nothing:  # noqa: ASYNC230, PTH123 - it never makes anybody wait
        stdin = _taken(0, nothing.fileno())
        # Without a stdout of ours, the SDK takes it in the same way.
        stdout = Stdout(_taken(1, 2 if sys.stderr else nothing.fileno())) if TELLS_READY else None
    chunks = _when_ready(stdin) if TELLS_READY else _by_thread(stdin)
    try:
        async with stdio_server(lines(chunks), stdout) as (incoming, outgoing):  # type: ignore[arg-type]  # no more is used
            await server.run_on(incoming, outgoing)
    except* ConnectionError:
        logger.info("the client does not read any more")
    except* anyio.BrokenResourceError:
        # When it is interrupted while more comes in, the SDK breaks its own streams.
        logger.info("ended before everything was read")


class Stdout:
    """A pipe, a socket, a terminal or a file, written to without waiting in the system.

    Args:
        fd: its descriptor.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def write(self, text: str) -> None:
        """Write `text` whole.

        Raises:
            ConnectionError: nobody reads it any more.
        """
        left = memoryview(text.encode())
        while left:
            if not select.select((), (self._fd,), (), 0)[1]:
                await anyio.wait_writable(self._fd)
            # What is ready takes so much at once.
            left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]

    async def flush(self) -> None:
        """Nothing is held back."""


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines in `chunks`; for one of `MOST_BYTES` or more an empty one, which is no message."""
    held = bytearray()
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            _hold(held, end)
            yield _line(held)
            held.clear()
        _hold(held, rest)
    if held:
        yield _line(held)


def _hold(held: bytearray, more: bytes) -> None:
    held += more[: MOST_BYTES - len(held)]


def _line(held: bytearray) -> str:
    if len(held) < MOST_BYTES:
        return held.decode(errors="replace")
    logger.warning("a line of more than %d bytes was dropped", MOST_BYTES)
    return ""


async def _when_ready(fd: int) -> AsyncIterator[bytes]:
    while True:
        # A file is always ready, and cannot be waited for.
        if not select.select((fd,), (), (), 0)[0]:
            await anyio.wait_readable(fd)
        if not (chunk := _read(fd)):
            break
        yield chunk


async def _by_thread(fd: int) -> AsyncIterator[bytes]:
    import anyio.from_thread

    send, receive = anyio.create_memory_object_stream[bytes]()
    token = anyio.lowlevel.current_token()

    def read() -> None:
        # What is raised when the server has ended before its input.
        with suppress(RuntimeError, CancelledError, anyio.BrokenResourceError):
            while chunk := _read(fd):
                anyio.from_thread.run(send.send, chunk, token=token)
            anyio.from_thread.run_sync(send.close, token=token)

    Thread(target=read, name="stdin", daemon=True).start()
    async with receive:
        async for chunk in receive:
            yield chunk


def _read(fd: int) -> bytes:
    """What has come; nothing at the end, which a broken connection is as well."""
    try:
        return os.read(fd, _AT_ONCE)
    except OSError:
        return b""


def _taken(fd: int, instead: int) -> int:
    """Keep `fd` for us alone: who else uses it, such as a program that a keychain starts, gets `instead`."""
    ours = os.dup(fd)
    os.dup2(instead, fd)
    return ours
