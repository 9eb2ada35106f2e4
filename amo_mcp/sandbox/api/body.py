"""The body of a request: what may come in, and what it says."""

import json
from http import HTTPStatus
from typing import Any

from amo_mcp.sandbox.api.problems import ProblemError, empty_data

MAX_BYTES = 1024 * 1024


def parse(raw: bytes) -> Any:
    """The JSON value of `raw`.

    Raises:
        ValueError: it is not JSON, or holds what no JSON answer could repeat (NaN, an infinity, half a surrogate pair).
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constants)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def read(raw: bytes) -> Any:
    """The data that a write brings.

    Raises:
        ProblemError: 400 when it is not JSON, or asks for nothing.
    """
    if not raw.strip():
        raise empty_data()
    try:
        data = parse(raw)
    except ValueError:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Request data is not valid JSON") from None
    # PHP, which amoCRM speaks, cannot tell an empty object from an empty array (assumed to show).
    if data is None or data in ([], {}):
        raise empty_data()
    return data


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
