"""Pages of listings that are ordered by a number: the next page begins after the last number that was given.

A listing that changes between two pages neither skips nor repeats anything that stays.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from amo_mcp.amocrm.inputs import BLANK_IS_NONE, Text
from amo_mcp.failures.failure import invalid_arguments
from amo_mcp.text import quote_given
from amo_mcp.tools.runtime.fitting import MAX_ANSWER_BYTES, bytes_of, fits

_MAX_BYTES = MAX_ANSWER_BYTES - 200
"""Bytes of the entities of a page; what is beside them takes the rest at most."""

ModelT = TypeVar("ModelT", bound=BaseModel)

Cursor = Annotated[Text | None, BLANK_IS_NONE, Field(description="next_cursor of the page before")]
"""The type of the argument that says which page."""

_CURSOR = re.compile(rb"after:(-?[0-9]{1,19})(:[0-9a-f]{8})?")


def _whole(entity: BaseModel) -> Any:
    return entity.model_dump(mode="json", exclude_none=True, exclude_unset=True)


def first_that_fit(entities: Sequence[ModelT], written: Callable[[ModelT], Any] = _whole) -> Sequence[ModelT]:
    """As many of the first entities as one page can hold; one at least, so that paging goes on.

    Args:
        entities: what the page and those after it are of.
        written: an entity as it is in the answer.
    """
    all_of_them = [*map(written, entities)]
    if fits(all_of_them, _MAX_BYTES):
        return entities
    sizes = accumulate(bytes_of(one) + 1 for one in all_of_them)
    return entities[: max(1, sum(1 for _ in takewhile(lambda size: size <= _MAX_BYTES, sizes)))]


def cursor_after(number: int, query: str = "") -> str:
    """The cursor of the page that follows `number`, of what was asked for by `query` alone."""
    return base64.urlsafe_b64encode(b"after:%d%b" % (number, _mark(query))).decode().rstrip("=")


def parse_cursor(cursor: str | None, query: str = "") -> int | None:
    """The number after which the page begins; None for the first page.

    Raises:
        Failure: `invalid_arguments`, when the cursor is not one that was given out, or for another query.
    """
    if cursor is None:
        return None
    try:
        match = _CURSOR.fullmatch(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise invalid_arguments(
            [
                (
                    "cursor",
                    f"{quote_given(cursor)} is not a cursor from this tool; leave it out to start from the beginning",
                )
            ]
        )
    if (match[2] or b"") != _mark(query):
        detail = "belongs to another query: repeat the other arguments, or leave it out to start from the beginning"
        raise invalid_arguments([("cursor", detail)])
    return int(match[1])


def _mark(query: str) -> bytes:
    """By which the cursors of one query are told from those of another."""
    return b":%08x" % zlib.crc32(query.encode("utf-8", "replace")) if query else b""
