"""What the person sees. It is made from the account as it is, never from the model's words.

Names come from the CRM and may be hostile: they are quoted, stripped of what cannot be seen, and shortened.
"""

from amo_mcp.text import quote, sanitize

_LONGEST_LINE = 600


class Question:
    """One question to a person. Whatever it is made of, every line of it is one line, of what can be seen.

    Attributes:
        title: what will happen, as a button would say it: "Delete segment «VIP»".
        lines: what it means, a sentence a line.
    """

    def __init__(self, title: str, *lines: str) -> None:
        self.title = sanitize(title, _LONGEST_LINE)
        self.lines = tuple(sanitize(line, _LONGEST_LINE) for line in lines if line)

    @property
    def text(self) -> str:
        """The whole question."""
        return "\n".join((f"{self.title}?", *self.lines))


def difference(label: str, before: str, after: str) -> str:
    """Before and after on one line: `Name: was «VIP» → will be «Best»`.

    The words between them keep the order, whatever direction the names are written in.
    """
    return f"{label}: was {before or 'empty'} → will be {after or 'empty'}"


def renaming(label: str, before: str, after: str) -> str:
    """A `difference` of two names; two that look alike are said to differ."""
    unseen = " (they differ in what is not shown here)" if before != after and quote(before) == quote(after) else ""
    return difference(label, quote(before), quote(after)) + unseen
