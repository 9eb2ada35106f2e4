"""Bytes in pieces of any size become the same lines."""

import logging
from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.server.app import MOST_BYTES
from amo_mcp.transports.stdio import lines

PIECES = st.lists(st.binary(min_size=1, max_size=6) | st.sampled_from([b"\n", b"\r\n", "ё".encode(), b"\xd1"]))


def read(pieces: Sequence[bytes]) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def main() -> list[str]:
        return [line async for line in lines(chunks())]

    return anyio.run(main)


@given(PIECES)
def test_pieces_of_any_size_become_the_same_lines(pieces: Sequence[bytes]) -> None:
    *ended, rest = b"".join(pieces).split(b"\n")
    assert read(pieces) == [line.decode(errors="replace") for line in [*ended, *([rest] if rest else [])]]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_empty_and_its_neighbours_are_whole(
    end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    longest, longer = b"x" * (MOST_BYTES - 1), b"x" * MOST_BYTES
    with caplog.at_level(logging.WARNING):
        assert read([b"a\n" + longest, b"\nb\n" + longer, b"x\n", longer, b"\nc\n", b"x", longer + end]) == [
            "a",
            longest.decode(),
            "b",
            "",
            "",
            "c",
            "",
        ]
    assert caplog.messages == [f"a line of more than {MOST_BYTES} bytes was dropped"] * 3
