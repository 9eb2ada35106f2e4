"""Bytes in pieces of any size become the same lines."""

from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.lines import lines

PIECES = st.lists(st.binary(min_size=1, max_size=6) | st.sampled_from([b"\n", b"\r\n", "ё".encode(), b"\xd1"]))


def read(pieces: Sequence[bytes]) -> list[bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def main() -> list[bytes]:
        return [line async for line in lines(chunks())]

    return anyio.run(main)


@given(PIECES)
def test_pieces_of_any_size_become_the_same_lines(pieces: Sequence[bytes]) -> None:
    *ended, rest = b"".join(pieces).split(b"\n")
    assert read(pieces) == [*ended, *([rest] if rest else [])]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_of_a_line_that_is_too_long_only_its_ends_are_kept_and_its_neighbours_are_whole(end: bytes) -> None:
    longest = b"x" * MAX_MESSAGE_BYTES
    pieces = [b"a\n" + longest, b"\nb\n" + longest + b"y\n", longest, b"z" * 300, b"\nc\n", b"y", longest + end]
    assert read(pieces) == [
        b"a",
        longest,
        b"b",
        longest + b"y",
        longest + b"z" * 200,
        b"c",
        b"y" + longest,
    ]
