"""Cursors of listings: what was given out is taken back, and nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.failures.failure import Failure
from amo_mcp.text import quote_given
from amo_mcp.tools.runtime.paging import cursor_after, parse_cursor

NUMBERS = st.integers(-(10**19) + 1, 10**19 - 1)


@given(NUMBERS)
def test_a_cursor_leads_to_the_number_that_it_was_made_of(number: int) -> None:
    cursor = cursor_after(number)
    assert parse_cursor(cursor) == number
    assert cursor.isascii()
    assert "=" not in cursor


def test_no_cursor_is_the_first_page() -> None:
    assert parse_cursor(None) is None


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "=", "2", "page2", "я", "\ud800", "after:2", "YWZ0ZXI6Mg==\n", "YWZ0ZXI6Mg AA"),
        *map(encoded, ("after:", "after:x", "after:1.5", "before:2", "after:2 ", "after:" + "9" * 20, "after:٢")),
    ],
)
def test_any_other_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_cursor(cursor)
    assert caught.value.answer["error"]["fields"] == [
        {
            "path": "cursor",
            "detail": f"{quote_given(cursor)} is not a cursor from this tool; leave it out to start from the beginning",
        }
    ]


@given(st.text(max_size=30))
def test_any_text_is_taken_back_or_refused(cursor: str) -> None:
    try:
        number = parse_cursor(cursor)
    except Failure as failure:
        assert failure.code == "invalid_arguments"
    else:
        assert isinstance(number, int)
