"""Why a change was not confirmed. In every case nothing was changed.

```
NotConfirmed
├── Declined              the answer was a no, whoever gave it
├── CannotAsk             there is no way to ask a person here
├── Waits                 the question is waiting, and confirm_change goes on with it
│   ├── ConfirmationRequired  it was just asked
│   └── ConfirmationPending   the person has not answered yet
└── ConfirmationExpired   the answer came too late, twice, or from another caller
```
"""


class NotConfirmed(Exception):
    """Base of the reasons; the text is a sentence for the reader."""


class _WithHint(NotConfirmed):
    """A reason that says what to do about it.

    Attributes:
        hint: what the reader, or the operator of the server, can do; it looks at the settings in force.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Declined(_WithHint):
    """The answer was not a yes."""


class CannotAsk(_WithHint):
    """There is no way to ask, or the client's answer was neither a yes nor a no."""


class Waits(NotConfirmed):
    """A question that waits.

    Attributes:
        preview: the question.
        approval_id: what `confirm_change` takes.
        expires: when the answer comes too late, in Unix seconds.
        way: how the person is asked, `page` or `chat`.
        page_url: where to answer, for a page that everybody may be told of: on a team's server; else empty.
        by_another: whether somebody else has to answer there than who asked.
    """

    what = ""

    def __init__(
        self,
        preview: str,
        approval_id: str,
        expires: float,
        way: str,
        page_url: str = "",
        *,
        by_another: bool = False,
    ) -> None:
        super().__init__(self.what)
        self.preview = preview
        self.approval_id = approval_id
        self.expires = expires
        self.way = way
        self.page_url = page_url
        self.by_another = by_another


class ConfirmationRequired(Waits):
    """The question was just asked."""

    what = "A person has to agree first."


class ConfirmationPending(Waits):
    """The person has not answered yet."""

    what = "The person has not answered yet."


class ConfirmationExpired(NotConfirmed):
    """No such question is pending (any more)."""
