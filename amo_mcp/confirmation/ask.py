"""From a prepared change to a person's answer, and from the answer to the write.

`ask` is what a resolver returns and `carry_out` what a tool's body does. Between them stands the SDK, which shows the
question in the way of the protocol's era: a request to the client (up to 2025-11-25), or `input_required` (2026-07-28),
where the whole call comes a second time with the answer. `asking` stands around both, and sees to it that a question
whose call has ended is answered by nothing that comes later.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult
from mcp.server.request_state import authenticated_principal, compact_json
from pydantic import BaseModel, Field, StrictBool, create_model

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import NotFound, RateLimited, Unavailable
from amo_mcp.confirmation.approvals import Approval, Approvals, Caller, Change
from amo_mcp.confirmation.errors import CannotAsk, ConfirmationExpired, ConfirmationRequired, Declined, TargetChanged

_INPUT_REQUIRED = "2026-07-28"
"""The first revision whose calls answer `input_required` (ISO dates compare as text)."""


@dataclass(frozen=True)
class AppState:
    """What one running server holds; the SDK hands it to every call.

    Attributes:
        account: the amoCRM account.
        approvals: the pending questions.
        two_step: whether `confirm_change` may stand in for a dialog that the client cannot show.
    """

    account: AmoAccount
    approvals: Approvals
    two_step: bool


Called = Context[AppState, Any]


class Confirm(BaseModel):
    """The form: one box, empty at first."""

    confirm: StrictBool


Answer = ElicitationResult[Confirm]


@dataclass
class Asking:
    """The question that the current call has put to a person.

    Attributes:
        approval: the question, once it is asked.
        state: what the client brings in another call together with the answer; None: the question ends with this call.
    """

    approval: Approval | None = None
    state: str | None = None
    wait: anyio.CancelScope = field(default_factory=anyio.CancelScope)


_asking: ContextVar[Asking] = ContextVar("asking")


def serving(ctx: Called) -> AppState:
    """What the server that got this call holds."""
    return ctx.request_context.lifespan_context


@contextmanager
def asking(ctx: Called) -> Iterator[Asking]:
    """Around one call: whatever way it ends, its question ends with it, unless it is left open on purpose."""
    current = Asking()
    token = _asking.set(current)
    try:
        yield current
    finally:
        _asking.reset(token)
        if current.approval is not None and current.state is not None:
            serving(ctx).approvals.leave_open(current.approval, current.state)
        elif current.approval is not None:
            serving(ctx).approvals.end(current.approval)


async def ask(ctx: Called, prepare: Callable[[AmoAccount], Awaitable[Change]]) -> Elicit[Confirm]:
    """The question about the change that `prepare` makes from the account as it is now.

    When the call comes with an answer (2026-07-28), it is the question that was asked, word for word.

    Raises:
        CannotAsk: no dialog, and no two-step form here.
        ConfirmationRequired: no dialog, so the change waits for `confirm_change`.
        ConfirmationExpired: the call brings an answer to a question that is no longer pending.
    """
    held, caller, request = serving(ctx), caller_of(ctx), _request(ctx)
    current = _asking.get()
    if ctx.request_state is not None:
        current.approval = held.approvals.left_open(ctx.request_state, caller, request)
        return _form(current.approval)
    dialog = _can_show_dialog(ctx)
    if not dialog and not held.two_step:
        raise CannotAsk("This needs a person's confirmation, and the client cannot show a dialog.")
    change = await prepare(held.account)
    if not dialog:
        raise ConfirmationRequired(held.approvals.open("two steps", caller, request, change))
    current.approval = held.approvals.open("dialog", caller, request, change)
    current.wait.deadline = anyio.current_time() + held.approvals.lifetime
    return _form(current.approval)


async def carry_out(ctx: Called, answer: Answer) -> Any:
    """Act on the person's answer: on a yes read the target again, then write.

    Raises:
        Declined: anything but a yes.
        ConfirmationExpired: the question is no longer pending.
        TargetChanged: the target is no longer what was shown.
    """
    if not isinstance(answer, AcceptedElicitation):
        raise Declined("The person declined." if answer.action == "decline" else "The person closed the dialog.")
    if not answer.data.confirm:
        raise Declined("The person did not tick the box.")
    asked = _asking.get().approval
    if asked is None:
        raise ConfirmationExpired("No question was asked in this call.")
    approval = serving(ctx).approvals.claim(asked.id, "dialog", caller_of(ctx))
    return await _perform(approval, serving(ctx).account)


async def confirm(ctx: Called, approval_id: str) -> Any:
    """Carry out the change that waits for `approval_id` (the two-step form).

    A yes that could not be acted on, because amoCRM was not to be had, is not used up.

    Raises:
        ConfirmationExpired: there is no such pending question of this caller.
        TargetChanged: the target is no longer what was shown.
    """
    approvals = serving(ctx).approvals
    approval = approvals.claim(approval_id, "two steps", caller_of(ctx))
    try:
        return await _perform(approval, serving(ctx).account)
    except (Unavailable, RateLimited):
        approvals.restore(approval)
        raise


async def _perform(approval: Approval, account: AmoAccount) -> Any:
    try:
        stands = await approval.change.still_stands(account)
    except NotFound as error:
        raise TargetChanged("It is no longer there.") from error
    if not stands:
        raise TargetChanged("It has been changed since the question was asked.")
    return await approval.change.write(account)


def _form(approval: Approval) -> Elicit[Confirm]:
    """The dialog: the question, and one box titled with what will happen.

    The reference makes the wording of every question its own, so that the answer to one is none to another.
    """
    until = approval.expires_at.strftime("%H:%M:%S UTC")
    form = create_model(
        "Confirm",
        __base__=Confirm,
        confirm=Annotated[
            StrictBool,
            Field(title=approval.question.title, description=f"Question {approval.reference}, open until {until}"),
        ],
    )
    return Elicit(approval.question.text, form)


def _can_show_dialog(ctx: Called) -> bool:
    """Whether the client declared form dialogs (a bare `elicitation: {}` means forms) and can be asked now."""
    declared = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if declared is None or (declared.form is None and declared.url is not None):
        return False
    return ctx.session.can_send_request or (ctx.protocol_version or "") >= _INPUT_REQUIRED


def caller_of(ctx: Called) -> Caller:
    """Who calls: an approval of one caller is none to another."""
    client = ctx.session.client_params.client_info if ctx.session.client_params else None
    has_session = (ctx.protocol_version or "") < _INPUT_REQUIRED
    return Caller(
        principal=authenticated_principal(ctx.request_context),
        session=(ctx.headers or {}).get("mcp-session-id") if has_session else None,
        client=f"{client.name} {client.version}" if client else None,
    )


def _request(ctx: Called) -> str:
    """The tool and the digest of its arguments."""
    params = ctx.request_context.params or {}
    told = compact_json([params.get("name"), params.get("arguments")], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
