"""Reads JSON documents into the shapes that they must have."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

_T = TypeVar("_T")
_MAX_ERRORS = 3


def read(shape: type[_T], text: str | bytes) -> _T:
    """The JSON document `text` as a `shape`, which is a pydantic model or dataclass.

    Raises:
        ValueError: it is not JSON or has another shape; the first errors are named, each with its dotted path.
    """
    try:
        return TypeAdapter(shape).validate_json(text)
    except ValidationError as error:
        sentences = []
        for item in error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]:
            path, reason = ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")
            sentences.append(f"{path}: {reason}" if path else reason)
        raise ValueError("; ".join(sentences)) from error
