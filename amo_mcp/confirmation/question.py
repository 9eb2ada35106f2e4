"""What the person sees. It is made from the account as it is, never from the model's words.

Names come from the CRM and may be hostile: they are quoted, stripped of what cannot be seen, and shortened.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_NAME = 80
"""Characters of a name that are shown."""

_INVISIBLE = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_MOST_MARKS = 2
_QUOTES = str.maketrans({"«": "‹", "»": "›"})


@dataclass(frozen=True)
class Question:
    """One question to a person.

    Attributes:
        title: what will happen, as a button would say it: "Delete segment «VIP»".
        lines: what it means, a sentence a line.
    """

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole question."""
        return "\n".join((f"{self.title}?", *self.lines))


def visible(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` on one line, without control, bidirectional, zero-width and other unseen characters, shortened.

    A run of combining marks is cut to two, so that a name cannot grow over its neighbours.
    """
    kept: list[str] = []
    marks = 0
    for char in text[: longest * 20]:
        category = unicodedata.category(char)
        if category in ("Zl", "Zp", "Zs") or char in "\t\n\r\v\f":
            kept.append(" ")
        elif category[0] == "C" or char in _INVISIBLE:
            continue
        elif category[0] == "M":
            marks += 1
            if marks <= _MOST_MARKS:
                kept.append(char)
            continue
        else:
            kept.append(char)
        marks = 0
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def quoted(name: str) -> str:
    """`name` in guillemets that it cannot close itself."""
    return f"«{visible(name).translate(_QUOTES)}»"


def differences(pairs: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """One line for each (label, before, after): `Name: «VIP» → «Best»`."""
    return tuple(f"{label}: {before or 'none'} → {after or 'none'}" for label, before, after in pairs)
