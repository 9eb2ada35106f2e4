"""What waits to be written to the client on stdio, and how many of its requests wait for their answers."""

import logging
import math

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import INTERNAL_ERROR, JSONRPCError, JSONRPCMessage, JSONRPCResponse

from amo_mcp.transports.descriptors import Write
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.messages import error_line

logger = logging.getLogger(__name__)

MAX_UNREAD_BYTES = MAX_MESSAGE_BYTES
"""How much of refusals may wait for a client that reads nothing: about 8,000 of them."""


class ClientReadsNothing(Exception):
    """The client goes on sending what is refused, and reads none of the refusals."""


class Outbox:
    """All that goes to the client: the SDK's messages, and the refusals of what never came so far.

    Every request that is admitted is settled once: when its answer's turn comes, or by `settle`. Whoever admits them
    bounds them, and with them the answers that wait here.

    Attributes:
        messages: the stream for the SDK to write to, and to close.
        calls: requests that were admitted and are not settled.
    """

    def __init__(self) -> None:
        self.messages, self._waiting = anyio.create_memory_object_stream[SessionMessage | bytes](math.inf)
        self._refusals = self.messages.clone()
        self._refusal_bytes = 0
        self._settled = anyio.Event()
        self.calls = 0

    def close(self) -> None:
        """Take nothing more; what is waiting is still written."""
        self.messages.close()
        self._refusals.close()

    def refuse(self, line: bytes) -> None:
        """Take the answer to what was never admitted.

        Raises:
            ClientReadsNothing: more than `MAX_UNREAD_BYTES` of them are waiting already.
        """
        if self._refusal_bytes > MAX_UNREAD_BYTES:
            raise ClientReadsNothing
        self._refusal_bytes += len(line)
        self._refusals.send_nowait(line)

    def admit(self) -> None:
        """Count a request that is handed to the SDK."""
        self.calls += 1

    async def settle(self) -> None:
        """Count a request as done; it is called by the SDK for one that was cancelled and gets no answer."""
        self.calls -= 1
        self._settled.set()

    async def all_settled(self) -> None:
        """Wait until no request waits for its answer."""
        while self.calls:
            self._settled = anyio.Event()
            await self._settled.wait()

    async def write_with(self, write: Write) -> None:
        """Write all that is sent, line by line, until `close`.

        Raises:
            OSError: it cannot be written.
        """
        with self._waiting:
            async for item in self._waiting:
                if isinstance(item, bytes):
                    await write(item)
                    self._refusal_bytes -= len(item)
                else:
                    # Before it is written: a client that has its answer may send the next request at once.
                    if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                        await self.settle()
                    await write(_line(item.message))


def _line(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except ValueError:
        # Half a character pair (a lone surrogate), which a text of the CRM may hold, has no UTF-8.
        logger.warning("a message could not be written as JSON")
        if isinstance(message, JSONRPCResponse):
            return error_line(INTERNAL_ERROR, "The answer cannot be written as JSON.", message.id)
        return b""
