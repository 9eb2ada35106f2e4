"""The second step of a confirmation, for clients that cannot show a dialog."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from amo_mcp.amocrm.inputs import Text
from amo_mcp.confirmation.ask import Called, confirm
from amo_mcp.tools.runtime.tool import Hints, Output, tool


class ConfirmedChange(Output):
    """What the confirmed tool would have answered; of a plan or an undo also what was done and what was not."""

    model_config = ConfigDict(extra="allow")

    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    deleted: dict[str, Any] | None = None
    change_id: str


@tool("Carry out a confirmed change", Hints(destroys=True, repeatable=False))
async def confirm_change(
    approval_id: Annotated[Text, Field(description="From the error confirmation_required")], ctx: Called
) -> ConfirmedChange:
    """Carry out a pending change exactly as previewed. Only after the person has seen the preview and said yes."""
    change: Output = await confirm(ctx, approval_id)
    return ConfirmedChange(**change.model_dump(mode="json", exclude_none=True, exclude_unset=True))


TOOLS = (confirm_change,)
