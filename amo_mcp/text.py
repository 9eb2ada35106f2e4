"""Texts of the CRM made safe to show in a sentence of ours.

Anybody who can write to the account can write them, and they may be made to look like our own words. In a sentence a
name is quoted, stripped of invisible characters and shortened, and a code is bare only when it looks like one.
"""

import re
import unicodedata
from functools import lru_cache

MAX_NAME_CHARACTERS = 80
"""Characters of a name that are shown."""

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_YO = re.compile("е\u0308")
_MAX_MARKS = 2
_QUOTES = str.maketrans({"«": "‹", "»": "›"})
_CODE = re.compile("#?[A-Za-z0-9_]{1,30}")


def sanitize(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """`text` on one line of at most `limit` characters, without control, bidirectional and zero-width characters.

    A run of combining marks is cut to two, and none begins the text, so that a name cannot grow over its neighbours.
    """
    kept: list[str] = []
    marks = _MAX_MARKS
    for char in _VARIATIONS.sub("", text[: limit * 20]):
        category = unicodedata.category(char)
        if category[0] == "M":
            marks += 1
            if marks <= _MAX_MARKS:
                kept.append(char)
        elif category[0] == "Z" or char in "\t\n\r\v\f":
            kept.append(" ")
        elif category[0] != "C" and char not in _INVISIBLE:
            kept.append(char)
            marks = 0
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


@lru_cache(4096)
def is_invisible(char: str) -> bool:
    """Whether nobody sees it: control, format and bidirectional characters, variation selectors, blank letters."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp") or char in _INVISIBLE or bool(_VARIATIONS.match(char))


def visible(text: str) -> str:
    """`text` of several lines without the characters that nobody sees; tabs and line feeds stay."""
    return "".join(char for char in text if char in "\t\n" or not is_invisible(char))


def escape_invisible(json: str) -> str:
    """The JSON text `json` with an escape for each character that nobody sees: equal when parsed, seen when read."""
    escapes = {ord(char): _escape(char) for char in set(json) if is_invisible(char)}
    return json.translate(escapes) if escapes else json


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def fold(text: str) -> str:
    """`text` as names are searched: without case, spaces, what nobody sees, how letters are composed, and ё for е."""
    letters = unicodedata.normalize("NFKD", text)
    seen = "".join(char for char in letters if not char.isspace() and not is_invisible(char))
    return unicodedata.normalize("NFKC", _YO.sub("е", unicodedata.normalize("NFKD", seen.casefold())))


def counted(number: int, noun: str) -> str:
    """`1 customer`, `2 customers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def quote(name: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """`name`, sanitized, in guillemets that it cannot close itself."""
    visible = sanitize(name, limit)
    return f"«{visible.translate(_QUOTES)}»" if visible else "(no visible name)"


def quote_given(text: str) -> str:
    """What a caller gave, quoted, with an escape for each character that nobody sees: it may be what is wrong."""
    return quote(escape_invisible(text[: MAX_NAME_CHARACTERS * 20]))


def quote_unless_code(text: str) -> str:
    """A colour, a mode or a type as it is, such as `ff8f92`; quoted when it does not look like a code."""
    return text if not text or _CODE.fullmatch(text) else quote(text)
