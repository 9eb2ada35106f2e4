"""The dialog: a form with one box, shown by the client (elicitation), in the way of the protocol's era.

Up to 2025-11-25 the server sends the client a request while the call is open. In 2026-07-28 the call ends with
`input_required`, and comes again with the answer and with the state that it was given. A link to the page goes the same
two ways.

What answers is a client. Some decline without showing anything, so no answer is told as a person's doing.
"""

from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
)
from pydantic import ValidationError

from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.errors import CannotAsk, Declined
from amo_mcp.confirmation.ways import Client
from amo_mcp.protocol import STATELESS_SINCE, Ctx

AT_ONCE = 0.5
"""Seconds within which no person reads a question and answers no."""

DO_NOT_REPEAT = "Do not call the tool again unless the person asks for it."

_BOX = "confirm"
_NO_ANSWER = "The client's answer to the dialog was neither a yes nor a no."
_WORDS = {"decline": "The dialog was declined.", "cancel": "The dialog was closed."}


def client_of(ctx: Ctx) -> Client:
    """What the client declared (a bare `elicitation: {}` means forms), as far as it can be asked now."""
    capabilities = ctx.session.client_capabilities
    declared = capabilities.elicitation if capabilities else None
    if declared is None or not (ctx.session.can_send_request or ctx.protocol_version >= STATELESS_SINCE):
        return Client()
    url = declared.url is not None
    return Client(form=declared.form is not None or not url, url=url)


async def show_form(ctx: Ctx, approval: Approval, way_out: str) -> Any:
    """Ask by a request to the client (up to 2025-11-25), and wait for its answer, for `check_answer`.

    Raises:
        CannotAsk: the client failed to show the dialog, or answered something else.
    """
    form = _form(approval)
    try:
        return await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
    except MCPError as error:
        raise CannotAsk("The client could not show the dialog.", way_out) from error
    except ValidationError as error:
        raise CannotAsk(_NO_ANSWER, way_out) from error


async def show_link(ctx: Ctx, approval: Approval, address: str, way_out: str) -> Any:
    """Give the client the address of the page by a request (up to 2025-11-25); its answer is for `check_opened`.

    Raises:
        CannotAsk: the client failed to show the link, or answered something else.
    """
    try:
        return await ctx.session.elicit_url(approval.question.text, address, approval.nonce, ctx.request_id)
    except MCPError as error:
        raise CannotAsk("The client could not show the link to the page.", way_out) from error
    except ValidationError as error:
        raise CannotAsk(_NO_ANSWER, way_out) from error


def form_result(approval: Approval) -> InputRequiredResult:
    """The question as the result of a call (2026-07-28); its state names the approval, and is sealed on its way out."""
    return InputRequiredResult(
        input_requests={_BOX: ElicitRequest(params=_form(approval))},
        request_state=approval.id,
    )


def link_result(approval: Approval, address: str) -> InputRequiredResult:
    """The address of the page as the result of a call (2026-07-28), like `form_result`."""
    params = ElicitRequestURLParams(message=approval.question.text, url=address)
    return InputRequiredResult(input_requests={_BOX: ElicitRequest(params=params)}, request_state=approval.id)


def answer_in(responses: dict[str, Any] | None) -> Any:
    """The answer that a call brings to a result with a question; None when it brings none."""
    return (responses or {}).get(_BOX)


def check_answer(answer: Any, after: float, way_out: str) -> None:
    """Accept a plain yes to a form, and nothing else.

    Args:
        answer: what the client answered.
        after: seconds that it took.
        way_out: what the operator can do about a client that answers by itself.

    Raises:
        Declined: it is a no.
        CannotAsk: it is neither a yes nor a no.
    """
    check_opened(answer, after, way_out)
    match (answer.content or {}).get(_BOX):
        case True:
            return
        case False:
            raise _declined("The box in the dialog was left empty.", after, way_out)
        case _:
            raise CannotAsk(_NO_ANSWER, way_out)


def check_opened(answer: Any, after: float, way_out: str) -> None:
    """Check that the client took the question or the link; like `check_answer`, but no yes is needed.

    Raises:
        Declined: it did not.
        CannotAsk: the answer is of another kind.
    """
    if not isinstance(answer, ElicitResult):
        raise CannotAsk(_NO_ANSWER, way_out)
    if answer.action != "accept":
        raise _declined(_WORDS[answer.action], after, way_out)


def _declined(what: str, after: float, way_out: str) -> Declined:
    if after > AT_ONCE:
        return Declined(what, DO_NOT_REPEAT)
    at_once = "The client answered no at once, perhaps without showing the question to a person."
    return Declined(at_once, f"{DO_NOT_REPEAT} {way_out}")


def _form(approval: Approval) -> ElicitRequestFormParams:
    """The question, and one box titled with what will happen.

    The nonce makes the wording of every question its own, so that the answer to one is none to another.
    """
    about = approval.reader.texts("Question {nonce}, open until {time}", nonce=approval.nonce, time=approval.until)
    return ElicitRequestFormParams(
        message=approval.question.text,
        requested_schema={
            "type": "object",
            "properties": {
                _BOX: {
                    "type": "boolean",
                    "title": approval.question.title,
                    "description": about,
                }
            },
            "required": [_BOX],
        },
    )
