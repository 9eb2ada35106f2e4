"""Lines out of chunks of bytes: complete, unless they are longer than a message may be."""

from collections.abc import AsyncGenerator, AsyncIterable

from amo_mcp.transports.limits import MAX_MESSAGE_BYTES

TAIL_BYTES = 200
"""How much is kept of the end of a line that is too long: the id of a request may be its last member."""


async def lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines in `chunks`, without their ends; the last one needs no end.

    Of a line of more than `MAX_MESSAGE_BYTES` only so many of its first bytes and the last `TAIL_BYTES` are kept.
    """
    line = bytearray()
    async for chunk in chunks:
        for number, piece in enumerate(chunk.split(b"\n")):
            if number > 0:
                yield bytes(line)
                line.clear()
            line += piece
            del line[MAX_MESSAGE_BYTES:-TAIL_BYTES]
    if line:
        yield bytes(line)
