"""The dialog: a form with one box, shown by the client (elicitation), in the way of the protocol's era.

Up to 2025-11-25 the server sends the client a request while the call is open. In 2026-07-28 the call ends with
`input_required`, and comes again with the answer and with the state that it was given.
"""

from datetime import UTC, datetime
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import ValidationError

from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.errors import CannotAsk, ConfirmationExpired, Declined
from amo_mcp.protocol import STATELESS_SINCE, Ctx

_BOX = "confirm"
_NO_ANSWER = "The dialog's answer was not a yes or a no."


def can_show_dialog(ctx: Ctx) -> bool:
    """Whether the client declared form dialogs (a bare `elicitation: {}` means forms) and can be asked now."""
    capabilities = ctx.session.client_capabilities
    declared = capabilities.elicitation if capabilities else None
    if declared is None or (declared.form is None and declared.url is not None):
        return False
    return ctx.session.can_send_request or ctx.protocol_version >= STATELESS_SINCE


async def show_dialog(ctx: Ctx, approval: Approval, lifetime: float) -> None:
    """Ask by a request to the client, and wait for a yes (up to 2025-11-25).

    Raises:
        Declined: the answer was not a yes.
        CannotAsk: the client failed to show the dialog.
        ConfirmationExpired: nobody answered for `lifetime` seconds.
    """
    form = _form(approval)
    with anyio.move_on_after(lifetime):
        try:
            answer = await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
        except MCPError as error:
            raise CannotAsk("The client could not show the dialog.") from error
        except ValidationError as error:
            raise Declined(_NO_ANSWER) from error
        return check_answer(answer)
    raise ConfirmationExpired("The dialog was not answered in time.")


def dialog_result(approval: Approval) -> InputRequiredResult:
    """The question as the result of a call (2026-07-28); its state names the approval, and is sealed on its way out."""
    return InputRequiredResult(
        input_requests={_BOX: ElicitRequest(params=_form(approval))},
        request_state=approval.id,
    )


def answer_in(responses: dict[str, Any] | None) -> Any:
    """The answer that a call brings to `dialog_result`; None when it brings none."""
    return (responses or {}).get(_BOX)


def check_answer(answer: Any) -> None:
    """Accept a plain yes, and nothing else.

    Raises:
        Declined: it is none.
    """
    if not isinstance(answer, ElicitResult):
        raise Declined(_NO_ANSWER)
    if answer.action != "accept":
        raise Declined("The person declined." if answer.action == "decline" else "The person closed the dialog.")
    match (answer.content or {}).get(_BOX):
        case True:
            return
        case False:
            raise Declined("The person did not tick the box.")
        case _:
            raise Declined(_NO_ANSWER)


def _form(approval: Approval) -> ElicitRequestFormParams:
    """The question, and one box titled with what will happen.

    The nonce makes the wording of every question its own, so that the answer to one is none to another.
    """
    until = datetime.fromtimestamp(approval.expires, UTC)
    return ElicitRequestFormParams(
        message=approval.question.text,
        requested_schema={
            "type": "object",
            "properties": {
                _BOX: {
                    "type": "boolean",
                    "title": approval.question.title,
                    "description": f"Question {approval.nonce}, open until {until:%H:%M:%S} UTC",
                }
            },
            "required": [_BOX],
        },
    )
