"""A line is one JSON-RPC message, or it is refused whole, with the id of its request where that can be read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.messages import Refused, error_line, parse

NOT_UTF8 = (-32700, "Parse error: the line is not UTF-8")
NOT_JSON = (-32700, "Parse error: the line is not JSON")
NOT_A_MESSAGE = (-32600, "Invalid request: the line is not one JSON-RPC message")
NOT_AN_ID = (-32600, "Invalid request: the id is neither a string nor an integer")
TOO_LONG = (-32600, f"Invalid request: the line has more than {MAX_MESSAGE_BYTES} bytes")

REQUEST = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%s"}}'


def refused(line: bytes) -> tuple[tuple[int, str], str | int | None]:
    with pytest.raises(Refused) as caught:
        parse(line)
    return (caught.value.code, str(caught.value)), caught.value.request_id


def test_a_request_a_notification_and_an_answer_are_taken() -> None:
    assert parse(b' {"jsonrpc":"2.0","id":"a","method":"ping"}\r') == JSONRPCRequest(
        jsonrpc="2.0", id="a", method="ping"
    )
    assert parse('{"jsonrpc":"2.0","method":"ё","params":{"id":1}}'.encode()) == JSONRPCNotification(
        jsonrpc="2.0", method="ё", params={"id": 1}
    )
    assert parse(b'{"jsonrpc":"2.0","id":1,"result":{}}') == JSONRPCResponse(jsonrpc="2.0", id=1, result={})


@pytest.mark.parametrize(
    "part",
    [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80", "ё".encode("cp1251")],
    ids=["no first byte", "cut off", "surrogate", "overlong", "five bytes", "cp1251"],
)
def test_a_line_with_a_part_that_is_not_utf8_is_refused_whole(part: bytes) -> None:
    assert refused(REQUEST % part) == (NOT_UTF8, 7)
    assert refused(part + REQUEST % b"") == (NOT_UTF8, None)


@given(st.binary())
def test_what_is_not_utf8_is_never_a_message(part: bytes) -> None:
    try:
        part.decode()
    except UnicodeDecodeError:
        assert refused(REQUEST % part)[0] == NOT_UTF8


@pytest.mark.parametrize(
    ("line", "why", "request_id"),
    [
        (REQUEST % b"\\ud800", NOT_JSON, 7),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', NOT_JSON, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping",}', NOT_JSON, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"', NOT_JSON, 7),
        (b'{"method":"ping","id":"a"', NOT_JSON, "a"),
        (b'{"method":"ping","id":12', NOT_JSON, None),
        (b'{"method":"ping","id":', NOT_JSON, None),
        (b'{"method":"ping","id" 12}', NOT_JSON, None),
        (b'{"method":"ping",12:1,"id":12}', NOT_JSON, None),
        (b'{"id":7,"result":{"\\ud800":1}}', NOT_JSON, None),
        (b"[" * 100_000, NOT_JSON, None),
        (b'{"id":7,"method":"ping","params":' + b"[" * 100_000, NOT_JSON, 7),
        (b"this is not JSON", NOT_JSON, None),
        (b"\x00", NOT_JSON, None),
        (b"{}", NOT_A_MESSAGE, None),
        (b"7", NOT_A_MESSAGE, None),
        (b"[]", NOT_A_MESSAGE, None),
        (b'[{"jsonrpc":"2.0","id":7,"method":"ping"}]', NOT_A_MESSAGE, None),
        (b'{"id":7,"method":"ping"}', NOT_A_MESSAGE, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', NOT_A_MESSAGE, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":1}', NOT_A_MESSAGE, None),
        (b'{"jsonrpc":"2.0","id":7,"result":1}', NOT_A_MESSAGE, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', NOT_AN_ID, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', NOT_AN_ID, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', NOT_AN_ID, None),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else str(value),
)
def test_a_line_that_is_no_message_is_refused_with_the_id_of_its_request(
    line: bytes, why: tuple[int, str], request_id: Any
) -> None:
    assert refused(line) == (why, request_id)


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":null}', 7),
        (b'{"jsonrpc":"2.0","id":"a","result":[]}', "a"),
        (b'{"jsonrpc":"2.0","id":7,"error":"no window"}', 7),
        (b'{"id":7,"result":{}}', 7),
        (b'{"jsonrpc":"2.0","id":7,"result":{"action":"\\ud800"}}', 7),
        (b'{"jsonrpc":"2.0","id":7,"result":{"action":"\xff"}}', 7),
        (b'{"jsonrpc":"2.0","id":7,"result":{"action":"acc', None),
        (b'{"jsonrpc":"2.0","id":7,"resu', None),
        (b'{"jsonrpc":"2.0","id":null,"result":[]}', None),
    ],
)
def test_a_refused_answer_names_the_request_that_it_was_to_answer(line: bytes, answers: str | int | None) -> None:
    with pytest.raises(Refused) as caught:
        parse(line)
    assert caught.value.answers == answers


@pytest.mark.parametrize(
    ("head", "tail", "request_id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"bbb', b'bbb"}}', 7),
        (b'{"method":"x","params":{"a":"bbb', b'bbb"},"jsonrpc":"2.0","id":12}', 12),
        (b'{"method":"x","params":{"a":"bbb', b'bbb"} , "id":"\\"a" }\r', '"a'),
        (b'{"method":"x","params":{"a":"bbb', b'bbb\\"id":12}', None),
        (b'{"method":"x","params":{"a":"bbb', b'bbb,"id":12}}', None),
        (b'{"method":"x","params":{"a":"bbb', b'bbb"},"id":"\xff"}', None),
        (b'{"jsonrpc":"2.0","id":7,"result":{"a":"bbb', b'bbb"}}', None),
        (b"bbb", b"bbb", None),
    ],
)
def test_of_a_line_that_is_too_long_the_id_is_read_at_either_end(head: bytes, tail: bytes, request_id: Any) -> None:
    assert refused(head + b"b" * MAX_MESSAGE_BYTES + tail) == (TOO_LONG, request_id)


def test_an_error_is_one_line_with_the_id_or_null() -> None:
    line = error_line(-32700, "Parse\nerror", None)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "Parse\nerror"},
    }
    assert json.loads(error_line(-32600, "ё", "a"))["id"] == "a"
