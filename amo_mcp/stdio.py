"""Serves one MCP server over stdin and stdout.

The SDK reads stdin in a way that cannot be interrupted, and a line of any length. Here a thread of its own reads it,
which ends with the process, and a line that is too long is dropped without being held.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import Thread
from typing import BinaryIO

import anyio
import anyio.from_thread
import anyio.lowlevel
from mcp.server.stdio import stdio_server

from amo_mcp.server import MOST_BYTES, AmoServer

logger = logging.getLogger(__name__)


async def serve_stdio(server: AmoServer) -> None:
    """Serve until stdin ends, or nobody reads stdout any more."""
    send, receive = anyio.create_memory_object_stream[str]()
    token = anyio.lowlevel.current_token()

    def read() -> None:
        # What is raised when the server has ended before its input.
        with suppress(RuntimeError, CancelledError, anyio.BrokenResourceError):
            for line in lines(_taken_stdin()):
                anyio.from_thread.run(send.send, line, token=token)
            anyio.from_thread.run_sync(send.close, token=token)

    Thread(target=read, name="stdin", daemon=True).start()
    try:
        async with receive, stdio_server(receive) as (incoming, outgoing):  # type: ignore[arg-type]  # it is iterated over
            await server.run_on(incoming, outgoing)
    except* BrokenPipeError:
        logger.info("the client does not read any more")


def lines(stdin: BinaryIO) -> Iterator[str]:
    """The lines of `stdin`; for one of more than `MOST_BYTES` bytes an empty one, which is no message."""
    while line := stdin.readline(MOST_BYTES):
        if len(line) == MOST_BYTES and not line.endswith(b"\n"):
            while (rest := stdin.readline(MOST_BYTES)) and not rest.endswith(b"\n"):
                pass
            logger.warning("a line of more than %d bytes was dropped", MOST_BYTES)
            line = b"\n"
        yield line.decode(errors="replace")


def _taken_stdin() -> BinaryIO:
    """Keep stdin for us alone: who else reads it, such as a program that a keychain starts, finds it empty."""
    ours = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return os.fdopen(ours, "rb")
