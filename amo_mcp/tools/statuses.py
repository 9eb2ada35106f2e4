"""The five status endpoints as tools (reference: «Статусы и сегменты покупателей», the periodicity mode)."""

from typing import Annotated

from pydantic import Field

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.inputs import BLANK_IS_NONE, EntityId, Name, Sort, StatusColor, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import MAX_STATUSES
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Status
from amo_mcp.changes.delivery import was_read_back
from amo_mcp.changes.membership import remembering
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.snapshot import Snapshot, on_account, read_snapshot
from amo_mcp.changes.steps import Create, Delete, Update
from amo_mcp.failures.failure import Failure, invalid_arguments
from amo_mcp.text import quote
from amo_mcp.tools.runtime.answers import Deleted, UnreadableEntries, Updated, unreadable_in
from amo_mcp.tools.runtime.tool import CREATE, DESTRUCTIVE, READ, Confirm, CurrentAccount, Output, tool

StatusId = Annotated[EntityId, Field(description="Status id")]


class StatusList(Output):
    """The statuses of the account."""

    statuses: list[Status]
    total: int
    limit: int
    unreadable: UnreadableEntries = None


class CreatedStatuses(Output):
    """What was created. `note` says when the statuses could not be read back."""

    statuses: list[Status]
    change_id: str
    note: str | None = None


@tool("List statuses", READ, on_board=True)
async def list_statuses(account: CurrentAccount) -> StatusList:
    """List (show) the customer statuses by position. They exist in the periodicity mode only."""
    return status_list(await account.client.statuses())


def status_list(statuses: Listing[Status]) -> StatusList:
    """The statuses by position."""
    ordered = sorted(statuses, key=lambda status: (status.sort, status.id))
    return StatusList(statuses=ordered, total=len(ordered), limit=MAX_STATUSES, unreadable=unreadable_in(statuses))


@tool("Get a status", READ)
async def get_status(status_id: StatusId, account: CurrentAccount) -> Status:
    """Get one customer status by id."""
    return await account.client.status(status_id)


@tool("Create statuses", CREATE)
async def create_statuses(
    statuses: Annotated[
        list[StatusDraft], Field(min_length=1, max_length=MAX_STATUSES, description="The statuses to create")
    ],
    account: CurrentAccount,
) -> CreatedStatuses:
    """Create (add) customer statuses, all or none. An account holds at most 30, the system ones included."""
    execution = await account.execute("create_statuses", PendingChange(tuple(Create(draft) for draft in statuses)))
    created = execution.created(Status)
    note = "Created, but they could not be read back: what was sent is shown. Do not create them again."
    return CreatedStatuses(
        statuses=created,
        change_id=execution.record.id,
        note=None if all(map(was_read_back, created)) else note,
    )


@tool("Change a status", DESTRUCTIVE)
async def update_status(
    status_id: StatusId,
    account: CurrentAccount,
    name: Annotated[Name | None, Field(description="New name")] = None,
    sort: Annotated[Sort | None, BLANK_IS_NONE, Field(description="New position")] = None,
    color: Annotated[StatusColor | None, BLANK_IS_NONE, Field(description="New colour, as in create_statuses")] = None,
) -> Confirm[Updated[Status]]:
    """Rename, move (reorder) or recolour a customer status, after a person has confirmed it.

    Pass at least one field.
    """
    patch = StatusPatch(name=name, sort=sort, color=color)
    if not patch.to_payload():
        raise invalid_arguments([(", ".join(StatusPatch.model_fields), "at least one of them is required")])
    if sort is None:
        return Confirm(PendingChange((Update(await account.client.status(status_id), patch),)))
    status, snapshot = await _among_the_others(account, status_id)
    return Confirm(PendingChange(on_account([Update(status, patch)], snapshot)))


@tool("Delete a status", DESTRUCTIVE)
async def delete_status(status_id: StatusId, account: CurrentAccount) -> Confirm[Deleted[Status]]:
    """Delete (remove) a customer status, after a person has confirmed it. Its customers move to other statuses."""
    status, snapshot = await _among_the_others(account, status_id)
    if status.is_default:
        raise Failure(
            "rejected",
            f"{quote(status.name)} is a system status, and those cannot be deleted.",
            "It can be renamed, moved and recoloured.",
        )
    return Confirm(PendingChange(await remembering(account.client, on_account([Delete(status)], snapshot))))


async def _among_the_others(account: AmoAccount, status_id: int) -> tuple[Status, Snapshot]:
    """A status, and all of them: a position means something only beside those of the others."""
    snapshot = await read_snapshot(account.client, ["status"])
    status = snapshot.entities["status"].get(status_id)
    return (status if isinstance(status, Status) else await account.client.status(status_id)), snapshot


TOOLS = (list_statuses, get_status, create_statuses, update_status, delete_status)
