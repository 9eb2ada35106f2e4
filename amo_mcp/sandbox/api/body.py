"""The body of a request: how large it may be, and its JSON value."""

import json
from http import HTTPStatus
from typing import Any, TypeVar

from amo_mcp.sandbox.api.problems import ProblemError, empty_data

MAX_BYTES = 1024 * 1024

_T = TypeVar("_T", dict[str, Any], list[Any])


def parse(raw: bytes) -> Any:
    """The JSON value of `raw`.

    Raises:
        ValueError: it is not JSON, or has what no JSON response could repeat (NaN, an infinity, a lone surrogate).
    """
    try:
        value = json.loads(raw.decode("utf-8"))
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def read(raw: bytes, kind: type[_T]) -> _T:
    """The data of a write: one object (`dict`) or an array (`list`).

    Raises:
        ProblemError: 400 when it is not JSON, of another kind, or empty.
    """
    if not raw.strip():
        raise empty_data()
    try:
        data = parse(raw)
    except ValueError:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Request data is not valid JSON") from None
    # PHP, which amoCRM is written in, cannot tell an empty object from an empty array (assumed to show).
    if data is None or data in ([], {}):
        raise empty_data()
    if not isinstance(data, kind):
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Request data must be an {'object' if kind is dict else 'array'}")
    return data
