"""Why a change was not confirmed. In every case nothing was changed.

```
NotConfirmed
├── Declined              the answer was a no, whoever gave it
├── CannotAsk             there is no way to ask a person here
├── ConfirmationRequired  the question is waiting; confirm_change goes on with it
├── ConfirmationPending   the question is still waiting for the person
└── ConfirmationExpired   the answer came too late, twice, or from another caller
```
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amo_mcp.confirmation.approvals import Approval


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


class _Waits(NotConfirmed):
    """A question that waits.

    Attributes:
        approval: the question.
    """

    def __init__(self, what: str, approval: "Approval") -> None:
        super().__init__(what)
        self.approval = approval


class ConfirmationRequired(_Waits):
    """The change waits for `confirm_change`."""

    def __init__(self, approval: "Approval") -> None:
        super().__init__("A person has to agree first.", approval)


class ConfirmationPending(_Waits):
    """The person has not answered yet."""

    def __init__(self, approval: "Approval") -> None:
        super().__init__("The person has not answered yet.", approval)


class ConfirmationExpired(NotConfirmed):
    """No such question is pending (any more)."""
