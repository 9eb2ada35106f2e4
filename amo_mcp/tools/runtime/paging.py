"""Cursors of listings that are ordered by a number: the next page begins after the last number that was given.

A listing that changes between two pages neither skips nor repeats anything that stays.
"""

import base64
import binascii
import re

from amo_mcp.failures import invalid_arguments

_CURSOR = re.compile(rb"after:(-?[0-9]{1,19})")


def cursor_after(number: int) -> str:
    """The cursor of the page that follows `number`."""
    return base64.urlsafe_b64encode(b"after:%d" % number).decode().rstrip("=")


def parse_cursor(cursor: str | None) -> int | None:
    """The number after which the page begins; None for the first page.

    Raises:
        Failure: `invalid_arguments`, when the cursor is not one that was given out.
    """
    if cursor is None:
        return None
    try:
        match = _CURSOR.fullmatch(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise invalid_arguments(
            [("cursor", "is not a cursor from this tool; leave it out to start from the beginning")]
        )
    return int(match[1])
