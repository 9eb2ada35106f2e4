"""Why a confirmed change did not happen. In every case nothing was changed.

```
NotConfirmed
├── Declined              the person said no, closed the dialog, or left the box empty
├── CannotAsk             there is no way to ask a person here
├── ConfirmationRequired  the question is waiting; the model shows it and calls confirm_change
├── ConfirmationExpired   the answer came too late, twice, or from another caller
└── TargetChanged         the target is no longer what the person was shown
```
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amo_mcp.confirmation.approvals import Approval


class NotConfirmed(Exception):
    """Base of the reasons; the text is a sentence for the reader."""


class Declined(NotConfirmed):
    """The person did not say yes."""


class CannotAsk(NotConfirmed):
    """No dialog can be shown, and the two-step form is not allowed here."""


class ConfirmationRequired(NotConfirmed):
    """The change waits for `confirm_change`."""

    def __init__(self, approval: "Approval") -> None:
        super().__init__(approval.question.title)
        self.approval = approval


class ConfirmationExpired(NotConfirmed):
    """There is no such pending question (any more)."""


class TargetChanged(NotConfirmed):
    """The target differs from the preview."""
