"""Lines out of chunks of bytes: complete, and never longer than a message may be."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from amo_mcp.transports.limits import MAX_MESSAGE_BYTES

_TAIL_BYTES = 200
"""How much is kept of the end of a line that is too long: the id of a request may be its last member."""


@dataclass(frozen=True)
class LongLine:
    """What is kept of a line of more than `MAX_MESSAGE_BYTES`.

    Attributes:
        head: its first `MAX_MESSAGE_BYTES` bytes.
        tail: its last 200 bytes.
    """

    head: bytes
    tail: bytes


async def lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes | LongLine, None]:
    """The lines in `chunks`, without their ends; the last one needs no end."""
    line = _Line()
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            line.add(end)
            yield line.take()
        line.add(rest)
    if line:
        yield line.take()


class _Line:
    """The line that is being received."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = b""
        self._too_long = False

    def __bool__(self) -> bool:
        return bool(self._head)

    def add(self, piece: bytes) -> None:
        room = MAX_MESSAGE_BYTES - len(self._head)
        self._head += piece[:room]
        if len(piece) > room:
            self._too_long = True
            self._tail = (self._tail + piece[room:])[-_TAIL_BYTES:]

    def take(self) -> bytes | LongLine:
        head, tail = bytes(self._head), self._tail
        self._head.clear()
        self._tail = b""
        if not self._too_long:
            return head
        self._too_long = False
        return LongLine(head, (head[-_TAIL_BYTES:] + tail)[-_TAIL_BYTES:])
