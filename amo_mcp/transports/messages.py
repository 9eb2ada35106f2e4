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
    """

    def __init__(self, code: int, reason: str, request_id: RequestId | None) -> None:
        super().__init__(reason)
        self.code = code
        self.request_id = request_id


def parse(line: bytes) -> JSONRPCMessage:
    """The message in a line of `lines`.

    Raises:
        Refused: the line is too long, not UTF-8, not JSON (-32700), or no JSON-RPC message (-32600).
    """
    if len(line) > MAX_MESSAGE_BYTES:
        reason = f"Invalid request: the line has more than {MAX_MESSAGE_BYTES} bytes"
        raise Refused(INVALID_REQUEST, reason, _id_of_long(line))
    try:
        line.decode()
    except UnicodeDecodeError:
        raise Refused(PARSE_ERROR, "Parse error: the line is not UTF-8", _id_in(_members(line))) from None
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        request_id = _id_in(_members(line))
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
            raise Refused(PARSE_ERROR, "Parse error: the line is not JSON", request_id) from None
        raise Refused(INVALID_REQUEST, "Invalid request: the line is not one JSON-RPC message", request_id) from None
    # The model of a notification takes any object with a method, and so a request whose id is none.
    if isinstance(message, JSONRPCNotification) and b'"id"' in line and "id" in _members(line):
        raise Refused(INVALID_REQUEST, "Invalid request: the id is neither a string nor an integer", None)
    return message


def error_line(code: int, message: str, request_id: RequestId | None) -> bytes:
    """An error answer as a line."""
    answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))
    return answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _id_of_long(line: bytes) -> RequestId | None:
    members = _members(line[:MAX_MESSAGE_BYTES])
    if "id" not in members and (last := _LAST_ID.search(line[-TAIL_BYTES:].decode(errors=_AS_SURROGATES))):
        members["id"] = json.loads(last[1])
    return _id_in(members)


def _id_in(members: dict[str, Any]) -> RequestId | None:
    """The id, where it surely is one of a request: an answer to the client's own id is never made up."""
    match members:
        case {"method": str(), "id": int() as number} if not isinstance(number, bool):
            return number
        case {"method": str(), "id": str() as text} if not _SURROGATE.search(text):
            return text
    return None


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
