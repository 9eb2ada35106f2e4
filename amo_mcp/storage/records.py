"""Records as JSON text, as a database keeps them."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from amo_mcp.changes.journal import JournalUnusable

_T = TypeVar("_T")


def dump(value: object) -> str:
    """The text of a value.

    Raises:
        TypeError: it has something in it that is no JSON.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can have and UTF-8 cannot, is kept as an escape.
        return json.dumps(value, separators=(",", ":"))
    return text


def load(text: str, build: Callable[[Any], _T]) -> _T:
    """What `build` makes of the value of a text.

    Raises:
        JournalUnusable: it cannot.
    """
    try:
        return build(json.loads(text))
    except (ValueError, LookupError, TypeError) as error:
        raise JournalUnusable(f"a record cannot be read ({type(error).__name__})") from error
