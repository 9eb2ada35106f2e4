"""Serves one MCP client over stdin and stdout.

Two tasks stand between the descriptors and the SDK's `Server.run`: one makes messages of lines, the other lines of
messages. A line that is no message is answered with its error, lines and calls under way are bounded, and however it
ends, it ends in the same order: no more input, then the SDK's end, then the last answers.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import JSONRPCRequest

from amo_mcp.server.base import McpServer
from amo_mcp.transports import descriptors
from amo_mcp.transports.limits import (
    LAST_WORDS_SECONDS,
    LAST_WRITE_SECONDS,
    MAX_CONCURRENT_CALLS,
    SHUTDOWN_SECONDS,
)
from amo_mcp.transports.lines import lines
from amo_mcp.transports.messages import BUSY, SHUTTING_DOWN, Refused, error_line, error_message, parse
from amo_mcp.transports.outbox import ClientReadsNothing, Outbox

logger = logging.getLogger(__name__)

_LAST_ANSWERS_SECONDS = 2.0
"""Seconds that the client has to read the last answers, once nothing more will come."""


class StdioClosed(Exception):
    """The process was started without a stdin or a stdout, through which a client would speak with it."""


def claim_stdio() -> tuple[int, int]:
    """Take stdin and stdout away from everybody else in this process and from the programs that it starts.

    Whoever reads stdin then finds it empty, and what is printed goes to stderr, or nowhere if there is none.

    Returns:
        The descriptors that the client is at.

    Raises:
        StdioClosed: there is no client.
    """
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)):
        if stream is None:
            raise StdioClosed(f"{name} is closed, and a client speaks with the server through stdin and stdout")
    with open(os.devnull, "r+b") as nothing:
        return _claim(0, nothing.fileno()), _claim(1, 2 if sys.stderr else nothing.fileno())


def _claim(fd: int, instead: int) -> int:
    ours = os.dup(fd)
    os.dup2(instead, fd)
    return ours


async def serve_stdio(server: McpServer, stdin: int, stdout: int) -> None:
    """Serve one client until its input ends, it does not read any more, or Ctrl-C or SIGTERM comes.

    The descriptors can be pipes, sockets, terminals or files. After a signal, calls under way have `SHUTDOWN_SECONDS`
    to finish; a second signal ends them at once.
    """
    await _Connection(server, stdout).serve(descriptors.chunks_of(stdin))


class _Connection:
    """The one client, from its first line to the last answer."""

    def __init__(self, server: McpServer, stdout: int) -> None:
        self._server = server
        self._stdout = stdout
        self._outbox = Outbox()
        self._settle = ServerMessageMetadata(on_request_unanswered=self._outbox.settle)
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope(shield=True)
        self._busy = False
        self._stopping = False

    async def serve(self, chunks: AsyncGenerator[bytes, None]) -> None:
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception]()
        served, written = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._serve_messages, receive, served)
            group.start_soon(self._write_answers, written)
            if descriptors.POSIX:
                group.start_soon(self._stop_on_signals, group)
            try:
                with send, self._reading:
                    await self._read_messages(chunks, send)
            finally:
                self._server.stop(LAST_WRITE_SECONDS)
                with anyio.CancelScope(shield=True):
                    await served.wait()
                    with anyio.move_on_after(_LAST_ANSWERS_SECONDS):
                        await written.wait()
                self._writing.cancel()
                group.cancel_scope.cancel()

    async def _read_messages(
        self, chunks: AsyncGenerator[bytes, None], send: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        """Hand every message to the SDK, and answer what is no message or too much."""
        async with aclosing(chunks), aclosing(lines(chunks)) as received:
            async for line in received:
                if not line.strip():
                    continue
                try:
                    message = parse(line)
                    if isinstance(message, JSONRPCRequest):
                        self._admit(message)
                except Refused as refusal:
                    try:
                        self._refuse(refusal)
                    except ClientReadsNothing:
                        logger.warning("ended: the client reads nothing and goes on sending")
                        return
                    if refusal.answers is not None:
                        # Else the call that waits for it would wait on.
                        await send.send(SessionMessage(error_message(refusal.code, str(refusal), refusal.answers)))
                else:
                    await send.send(SessionMessage(message, self._settle))

    def _admit(self, request: JSONRPCRequest) -> None:
        if self._stopping:
            raise Refused(BUSY, SHUTTING_DOWN, request.id)
        if self._outbox.calls >= MAX_CONCURRENT_CALLS:
            raise Refused(BUSY, f"Busy: {MAX_CONCURRENT_CALLS} requests are being answered", request.id)
        self._outbox.admit()
        self._busy = False

    def _refuse(self, refusal: Refused) -> None:
        # A client that sends too much does so many times in a row.
        if refusal.code != BUSY or not self._busy:
            logger.warning("refused a message: %s", refusal)
        self._busy = refusal.code == BUSY
        self._outbox.refuse(error_line(refusal.code, str(refusal), refusal.request_id))

    async def _serve_messages(
        self, receive: MemoryObjectReceiveStream[SessionMessage | Exception], served: anyio.Event
    ) -> None:
        """Run the SDK's server until the messages end; nothing else interrupts it."""
        try:
            with receive, anyio.CancelScope(shield=True):
                options = self._server.create_initialization_options()
                await self._server.run(receive, self._outbox.messages, options)
        finally:
            self._outbox.close()
            served.set()

    async def _write_answers(self, written: anyio.Event) -> None:
        try:
            with self._writing, descriptors.writer_to(self._stdout) as write:
                await self._outbox.write_with(write)
        except ConnectionError:
            logger.info("the client does not read any more")
        except OSError as error:
            logger.warning("stdout cannot be written: %s", error.strerror)
        finally:
            self._reading.cancel()
            written.set()

    async def _stop_on_signals(self, group: TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)
            self._stopping = True
            self._server.stop(LAST_WRITE_SECONDS)
            group.start_soon(self._stop_when_answered)
            await anext(signals)
        self._server.stop(0)
        with anyio.move_on_after(LAST_WORDS_SECONDS):
            await self._outbox.all_settled()
        self._reading.cancel()

    async def _stop_when_answered(self) -> None:
        with anyio.move_on_after(SHUTDOWN_SECONDS):
            await self._outbox.all_settled()
        self._reading.cancel()
