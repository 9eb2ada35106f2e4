"""A line of stdin is a JSON-RPC message, or it is refused with the id of its request where that can be read."""

import json
import re
from typing import Any

from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.lines import TAIL_BYTES

BUSY = -32005
"""JSON-RPC error code of a request that is refused because too many are being answered; it can be sent again."""

SHUTTING_DOWN = "The server is shutting down"

_AS_SURROGATES = "surrogateescape"
"""Bytes that are not UTF-8 become what no id can have."""

_COMMA, _COLON = (re.compile(rf"[ \t\r\n]*{sign}[ \t\r\n]*") for sign in ",:")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LAST_ID = re.compile(r'[{,][ \t]*"id"[ \t]*:[ \t]*(-?\d{1,18}|"(?:[^"\\]|\\.)*")[ \t]*\}[ \t\r]*$')
"""The id at the end of a JSON object: in well-formed JSON, what stands before the last brace is the object's own."""


class Refused(Exception):
    """A message that is not served; its text is the sentence that the client reads.

    Attributes:
        code: the JSON-RPC error code.
        request_id: the id of the request, or None where it cannot be read.
        answers: the id of the server's own request that it was to answer, if it was.
    """

    def __init__(self, code: int, reason: str, request_id: RequestId | None, answers: RequestId | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.request_id = request_id
        self.answers = answers


def parse(line: bytes) -> JSONRPCMessage:
    """The message in a line of `lines`.

    Raises:
        Refused: the line is too long, not UTF-8, not JSON (-32700), or no JSON-RPC message (-32600).
    """
    if len(line) > MAX_MESSAGE_BYTES:
        reason = f"Invalid request: the line has more than {MAX_MESSAGE_BYTES} bytes"
        raise _refused(INVALID_REQUEST, reason, _members_of_long(line))
    try:
        line.decode()
    except UnicodeDecodeError:
        raise _refused(PARSE_ERROR, "Parse error: the line is not UTF-8", _members(line)) from None
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        members = _members(line)
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
            raise _refused(PARSE_ERROR, "Parse error: the line is not JSON", members) from None
        raise _refused(INVALID_REQUEST, "Invalid request: the line is not one JSON-RPC message", members) from None
    # The model of a notification takes any object with a method, and so a request whose id is none.
    if isinstance(message, JSONRPCNotification) and b'"id"' in line and "id" in _members(line):
        raise Refused(INVALID_REQUEST, "Invalid request: the id is neither a string nor an integer", None)
    return message


def error_message(code: int, message: str, request_id: RequestId | None) -> JSONRPCError:
    """An error answer."""
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))


def error_line(code: int, message: str, request_id: RequestId | None) -> bytes:
    """An error answer as a line."""
    return error_message(code, message, request_id).model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _refused(code: int, reason: str, members: dict[str, Any]) -> Refused:
    """The refusal of a line of which no more than some members can be read."""
    match members.get("id"):
        case int() as read if not isinstance(read, bool):
            pass
        case str() as read if not _SURROGATE.search(read):
            pass
        case _:
            return Refused(code, reason, None)
    if isinstance(members.get("method"), str):
        return Refused(code, reason, read)
    answers = "method" not in members and members.keys() & {"result", "error"}
    return Refused(code, reason, None, read if answers else None)


def _members_of_long(line: bytes) -> dict[str, Any]:
    members = _members(line[:MAX_MESSAGE_BYTES])
    if "id" not in members and (last := _LAST_ID.search(line[-TAIL_BYTES:].decode(errors=_AS_SURROGATES))):
        members["id"] = json.loads(last[1])
    return members


def _members(line: bytes) -> dict[str, Any]:
    """The members of a JSON object as far as they can be read: up to the first that is broken or cut off."""
    text = line.decode(errors=_AS_SURROGATES).lstrip(" \t\r\n")
    members: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    if not text.startswith("{"):
        return members
    # Every member now stands after a comma.
    text = f",{text[1:]}"
    position = 0
    while comma := _COMMA.match(text, position):
        try:
            name, end = decoder.raw_decode(text, comma.end())
            if not isinstance(name, str) or not (colon := _COLON.match(text, end)):
                break
            value, position = decoder.raw_decode(text, colon.end())
        except (ValueError, RecursionError):
            break
        # A number at the very end may have been cut off.
        if position == len(text) and isinstance(value, int | float):
            break
        members[name] = value
    return members
