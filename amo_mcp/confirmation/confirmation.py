"""What a tool's call needs of whoever asks a person: one protocol, for one person's server and for a team's."""

from typing import Any, Protocol

from mcp_types import InputRequiredResult

from amo_mcp.changes.execution import Execution
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.progress import CallProgress
from amo_mcp.protocol import Ctx

WAIT_SECONDS = 45.0
"""Seconds that a call waits for a person's answer on the page."""


class Confirmation(Protocol):
    """Asks a person before a change is carried out."""

    def check_can_ask(self, ctx: Ctx) -> None:
        """Raise CannotAsk when there is no way to ask a person about this call."""
        ...

    async def ask(
        self, ctx: Ctx, progress: CallProgress, tool: str, change: PendingChange, reader: Reader
    ) -> Approval | InputRequiredResult:
        """Ask about a change: the consumed approval of a yes, or the question that ends the call (2026-07-28).

        Raises:
            ConfirmationRequired: the change waits for `confirm_change`.
            NotConfirmed: anything but a yes.
        """
        ...

    async def resume(
        self, ctx: Ctx, progress: CallProgress, state: str, responses: dict[str, Any] | None
    ) -> Approval | InputRequiredResult:
        """Go on with a call that comes again with an answer (2026-07-28); without one it is asked again.

        `state` is the one of the result that asked, unsealed.

        Raises:
            NotConfirmed: anything but a yes, or the question is no longer pending.
        """
        ...

    async def confirm(self, ctx: Ctx, progress: CallProgress, approval_id: str) -> Approval:
        """Consume the approval that waits for `confirm_change`; one of the page once a person has said yes there.

        Raises:
            ConfirmationPending: nobody has answered.
            Declined: a person said no.
            ConfirmationExpired: no such question of this caller is pending.
        """
        ...

    async def settle(self, approval: Approval, result: Execution | BaseException) -> None:
        """Let the page show what came of a yes, or why nothing did."""
        ...
