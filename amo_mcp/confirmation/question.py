"""What the person sees. It is made from the account as it is, never from the model's words.

Names come from the CRM and may be hostile: they are quoted, stripped of what cannot be seen, and shortened.
"""

import re
import unicodedata

LONGEST_NAME = 80
"""Characters of a name that are shown."""

_INVISIBLE = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_MOST_MARKS = 2
_LONGEST_LINE = 600
_QUOTES = str.maketrans({"«": "‹", "»": "›"})


class Question:
    """One question to a person. Whatever it is made of, every line of it is one line, of what can be seen.

    Attributes:
        title: what will happen, as a button would say it: "Delete segment «VIP»".
        lines: what it means, a sentence a line.
    """

    def __init__(self, title: str, *lines: str) -> None:
        self.title = visible(title, _LONGEST_LINE)
        self.lines = tuple(visible(line, _LONGEST_LINE) for line in lines if line)

    @property
    def text(self) -> str:
        """The whole question."""
        return "\n".join((f"{self.title}?", *self.lines))


def visible(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` on one line, without control, bidirectional, zero-width and other unseen characters, shortened.

    A run of combining marks is cut to two, and none begins the text, so that a name cannot grow over its neighbours.
    """
    kept: list[str] = []
    marks = _MOST_MARKS
    for char in _VARIATIONS.sub("", text[: longest * 20]):
        category = unicodedata.category(char)
        if category[0] == "M":
            marks += 1
            if marks <= _MOST_MARKS:
                kept.append(char)
        elif category[0] == "Z" or char in "\t\n\r\v\f":
            kept.append(" ")
        elif category[0] != "C" and char not in _INVISIBLE:
            kept.append(char)
            marks = 0
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def quoted(name: str) -> str:
    """`name` in guillemets that it cannot close itself."""
    return f"«{visible(name).translate(_QUOTES)}»" if visible(name) else "(no visible name)"


def difference(label: str, before: str, after: str) -> str:
    """Before and after on one line: `Name: was «VIP» → will be «Best»`.

    The words between them keep the order, whatever direction the names are written in.
    """
    return f"{label}: was {before or 'empty'} → will be {after or 'empty'}"


def renaming(label: str, before: str, after: str) -> str:
    """A `difference` of two names; two that look alike are said to differ."""
    unseen = " (they differ in what is not shown here)" if before != after and quoted(before) == quoted(after) else ""
    return difference(label, quoted(before), quoted(after)) + unseen
