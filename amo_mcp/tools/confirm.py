"""The second step of a confirmation that no dialog asks for: on the page, or in the conversation."""

from typing import Annotated, Any

from mcp_types import ToolAnnotations
from pydantic import ConfigDict, Field

from amo_mcp.amocrm.inputs import Text
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.tools.runtime.tool import Confirmed, CurrentCall, Output, Watched, tool


class ConfirmedChange(Output):
    """What the confirmed tool would have answered; of a plan or an undo also what was done and what was not."""

    model_config = ConfigDict(extra="allow")

    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    deleted: dict[str, Any] | None = None
    change_id: str


@tool(
    "Carry out a confirmed change",
    ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False),
)
async def confirm_change(
    approval_id: Annotated[Text, Field(description="From the error confirmation_required")], call: CurrentCall
) -> Confirmed[ConfirmedChange] | Watched:
    """Carry out a pending change exactly as previewed.

    With way page it waits for the person's answer in their browser. With way chat call it only after the person has
    seen the preview and said yes.
    """
    if run := await call.account.run_of(approval_id=approval_id):
        return Watched(run)
    try:
        return Confirmed(await call.confirm(approval_id))
    except ConfirmationExpired:
        # Of several calls that waited for one yes, one carries it out, and the others watch.
        if run := await call.account.run_of(approval_id=approval_id):
            return Watched(run)
        raise


TOOLS = (confirm_change,)
