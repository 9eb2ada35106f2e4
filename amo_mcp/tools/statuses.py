"""The five status endpoints as tools (reference: "Статусы и сегменты покупателей", the periodicity mode)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from amo_mcp.accounts.account import AmoAccount, as_sent
from amo_mcp.amocrm.inputs import EntityId, Name, Sort, StatusColor, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import MAX_STATUSES
from amo_mcp.amocrm.models import Status
from amo_mcp.confirmation.ask import Answer, Called, Confirm, ask, carry_out
from amo_mcp.confirmation.question import Question, difference, renaming
from amo_mcp.failures import ToolFailure, invalid_arguments
from amo_mcp.text import quote, quote_unless_code
from amo_mcp.tools.runtime.tool import CREATE, DESTROY, READ, CurrentAccount, Output, tool

StatusId = Annotated[EntityId, Field(description="Status id")]


class StatusList(Output):
    """The statuses of the account."""

    statuses: list[Status]
    total: int
    limit: int


class CreatedStatuses(Output):
    """What was created. `note` says when the statuses could not be read back."""

    statuses: list[Status]
    change_id: str
    note: str | None = None


class StatusUpdate(Output):
    """A status before and after."""

    before: Status
    after: Status
    change_id: str


class StatusDeletion(Output):
    """The status as it was."""

    deleted: Status
    change_id: str


@tool("List statuses", READ)
async def list_statuses(account: CurrentAccount) -> StatusList:
    """List the customer statuses by position. They exist in the periodicity mode only."""
    return status_list(await account.client.statuses())


def status_list(statuses: Sequence[Status]) -> StatusList:
    """The statuses by position."""
    ordered = sorted(statuses, key=lambda status: (status.sort, status.id))
    return StatusList(statuses=ordered, total=len(ordered), limit=MAX_STATUSES)


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
    """Create customer statuses, all or none. An account holds at most 30, the system ones included."""
    change = await account.create_statuses(statuses)
    created = [step.after for step in change.steps if isinstance(step.after, Status)]
    if not any(as_sent(status) for status in created):
        return CreatedStatuses(statuses=created, change_id=change.id)
    note = "Created, but they could not be read back: what was sent is shown. Do not create them again."
    return CreatedStatuses(statuses=created, change_id=change.id, note=note)


@dataclass(frozen=True)
class UpdateStatus:
    """A status and what it shall become."""

    status: Status
    patch: StatusPatch

    def question(self) -> Question:
        """Before and after, and nothing else of the status changes."""
        status, patch = self.status, self.patch
        return Question(
            f"Change status {quote(status.name)}",
            f"Status id {status.id}.",
            "" if patch.name is None else renaming("Name", status.name, patch.name),
            "" if patch.sort is None else difference("Position", str(status.sort), str(patch.sort)),
            "" if patch.color is None else difference("Colour", quote_unless_code(status.color), patch.color),
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether the status is what was shown."""
        return await account.client.status(self.status.id) == self.status

    async def write(self, account: AmoAccount) -> StatusUpdate:
        """Change it."""
        change = await account.update(self.status, self.patch)
        after = change.steps[0].after
        assert isinstance(after, Status)  # noqa: S101 - an update that is done has made a status of it
        return StatusUpdate(before=self.status, after=after, change_id=change.id)


@dataclass(frozen=True)
class DeleteStatus:
    """A status that shall go."""

    status: Status

    def question(self) -> Question:
        """What becomes of its customers."""
        return Question(
            f"Delete status {quote(self.status.name)}",
            f"Status id {self.status.id}, position {self.status.sort}, colour {quote_unless_code(self.status.color) or 'none'}.",
            "Its customers will be moved to other statuses by their conditions, within some time.",
            "Its conditions cannot be set again through the API." if any(self.status.conditions) else "",
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether the status is what was shown."""
        return await account.client.status(self.status.id) == self.status

    async def write(self, account: AmoAccount) -> StatusDeletion:
        """Delete it."""
        change = await account.delete(self.status)
        return StatusDeletion(deleted=self.status, change_id=change.id)


async def confirm_update(
    status_id: int, name: str | None, sort: int | None, color: str | None, ctx: Called
) -> Elicit[Confirm]:
    """The question before a change."""
    patch = StatusPatch(name=name, sort=sort, color=color)
    if not patch.to_payload():
        raise invalid_arguments([("name, sort, color", "at least one of them is required")])

    async def prepare(account: AmoAccount) -> UpdateStatus:
        return UpdateStatus(await account.client.status(status_id), patch)

    return await ask(ctx, prepare)


@tool("Change a status", DESTROY)
async def update_status(
    status_id: StatusId,
    answer: Annotated[Answer, Resolve(confirm_update)],
    ctx: Called,
    name: Annotated[Name | None, Field(description="New name")] = None,
    sort: Annotated[Sort | None, Field(description="New position")] = None,
    color: Annotated[StatusColor | None, Field(description="New colour, as in create_statuses")] = None,
) -> StatusUpdate:
    """Rename, move or recolour a customer status, after a person has confirmed it. Give at least one change."""
    updated: StatusUpdate = await carry_out(ctx, answer)
    return updated


async def confirm_delete(status_id: int, ctx: Called) -> Elicit[Confirm]:
    """The question before a deletion."""

    async def prepare(account: AmoAccount) -> DeleteStatus:
        status = await account.client.status(status_id)
        if status.is_default:
            raise ToolFailure(
                "rejected",
                f"{quote(status.name)} is a system status, and those cannot be deleted. Nothing was changed.",
                "It can be renamed, moved and recoloured.",
            )
        return DeleteStatus(status)

    return await ask(ctx, prepare)


@tool("Delete a status", DESTROY)
async def delete_status(
    status_id: StatusId, answer: Annotated[Answer, Resolve(confirm_delete)], ctx: Called
) -> StatusDeletion:
    """Delete a customer status, after a person has confirmed it. Its customers move to other statuses."""
    deletion: StatusDeletion = await carry_out(ctx, answer)
    return deletion


TOOLS = (list_statuses, get_status, create_statuses, update_status, delete_status)
