"""From a pending change to a person's yes, in the way that the client and the operator allow."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp.server.request_state import authenticated_principal
from mcp_types import InputRequiredResult

from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation import dialog
from amo_mcp.confirmation.approvals import NOT_PENDING, Approval, ApprovalStore, Caller, Channel
from amo_mcp.confirmation.errors import CannotAsk, ConfirmationExpired, ConfirmationRequired
from amo_mcp.protocol import STATELESS_SINCE, Ctx


@dataclass(frozen=True)
class Asker:
    """Asks a person before a change is carried out.

    Attributes:
        approvals: the pending questions.
        chat: whether `confirm_change` may stand in for a dialog that the client cannot show.
    """

    approvals: ApprovalStore
    chat: bool

    def channel(self, ctx: Ctx) -> Channel:
        """How the person behind this call is asked.

        Raises:
            CannotAsk: there is no way.
        """
        if dialog.can_show_dialog(ctx):
            return "dialog"
        if self.chat:
            return "chat"
        raise CannotAsk("This needs a person's confirmation, and the client cannot show a dialog.")

    def check_can_ask(self, ctx: Ctx) -> None:
        """Raise CannotAsk when there is no way to ask the person behind this call."""
        self.channel(ctx)

    async def ask(self, ctx: Ctx, tool: str, change: PendingChange, reader: Reader) -> Approval | InputRequiredResult:
        """Ask about a change: the consumed approval of a yes, or the question that ends the call (2026-07-28).

        Raises:
            ConfirmationRequired: the change waits for `confirm_change`.
            NotConfirmed: anything but a yes.
        """
        channel, caller = self.channel(ctx), caller_of(ctx)
        approval = await self.approvals.open(channel, caller, tool, _digest(ctx), change, reader)
        if channel == "chat":
            raise ConfirmationRequired(approval.question.text, approval.id, approval.expires)
        if ctx.protocol_version >= STATELESS_SINCE:
            return dialog.dialog_result(approval)
        async with self._ends_with_the_call(approval):
            await dialog.show_dialog(ctx, approval, self.approvals.lifetime)
            return await self.approvals.consume(approval.id, channel, caller)

    async def resume(self, ctx: Ctx, state: str, responses: dict[str, Any] | None) -> Approval | InputRequiredResult:
        """Go on with a call that comes again with an answer (2026-07-28); without one it is asked again.

        `state` is the one of `dialog_result`, unsealed.

        Raises:
            NotConfirmed: anything but a yes, or the question is no longer pending.
        """
        caller = caller_of(ctx)
        approval = await self.approvals.pending(state, "dialog", caller)
        if approval.request_digest != _digest(ctx):
            raise ConfirmationExpired(NOT_PENDING)
        answer = dialog.answer_in(responses)
        if answer is None:
            return dialog.dialog_result(approval)
        async with self._ends_with_the_call(approval):
            dialog.check_answer(answer)
            return await self.approvals.consume(approval.id, "dialog", caller)

    async def confirm(self, ctx: Ctx, approval_id: str) -> Approval:
        """Consume the approval that waits for `confirm_change`.

        Raises:
            ConfirmationExpired: no such question of this caller is pending.
        """
        return await self.approvals.consume(approval_id, "chat", caller_of(ctx))

    @asynccontextmanager
    async def _ends_with_the_call(self, approval: Approval) -> AsyncIterator[None]:
        """Whatever way the call ends but with a consumed approval, its question ends with it."""
        try:
            yield
        except BaseException:
            await self.approvals.close(approval)
            raise


def caller_of(ctx: Ctx) -> Caller:
    """Who calls: an approval of one caller is none to another."""
    client = ctx.session.client_params.client_info if ctx.session.client_params else None
    headers = getattr(ctx.request, "headers", None) or {}
    return Caller(
        principal=authenticated_principal(ctx),
        session=headers.get("mcp-session-id") if ctx.protocol_version < STATELESS_SINCE else None,
        client=f"{client.name} {client.version}" if client else None,
    )


def _digest(ctx: Ctx) -> str:
    """The tool and its arguments, digested."""
    params = ctx.params or {}
    text = json.dumps([params.get("name"), params.get("arguments")], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
