"""Why a change was not confirmed. In every case nothing was changed.

```
NotConfirmed
├── Declined              the person said no, closed the dialog, or left the box empty
├── CannotAsk             there is no way to ask a person here
├── ConfirmationRequired  the question is waiting; the model shows it and calls confirm_change
└── ConfirmationExpired   the answer came too late, twice, or from another caller
```
"""


class NotConfirmed(Exception):
    """Base of the reasons; the text is a sentence for the reader."""


class Declined(NotConfirmed):
    """The answer was not a yes."""


class CannotAsk(NotConfirmed):
    """No dialog can be shown, and the two-step form is not allowed here."""


class ConfirmationRequired(NotConfirmed):
    """The change waits for `confirm_change`.

    Attributes:
        preview: the question.
        approval_id: what `confirm_change` takes.
        expires: when the answer comes too late, in Unix seconds.
    """

    def __init__(self, preview: str, approval_id: str, expires: float) -> None:
        super().__init__("A person has to agree first.")
        self.preview = preview
        self.approval_id = approval_id
        self.expires = expires


class ConfirmationExpired(NotConfirmed):
    """No such question is pending (any more)."""
