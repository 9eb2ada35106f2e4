"""The account itself and the custom fields of its segments as tools."""

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.cache import CachedReads
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import FieldChoice, StrOrNull
from amo_mcp.tools.runtime.answers import UnreadableEntries, unreadable_in
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class Usage(Output):
    """How much of one limit is used."""

    kind: str
    used: int
    limit: int


class AccountOverview(Output):
    """The account, its mode, and what is used of the limits of that mode.

    Days in answers and arguments are those of `time_zone`; `note` says when the account tells none. `language` is what
    the person is asked in.
    """

    id: int
    name: StrOrNull
    host: str
    customers_mode: str
    time_zone: str
    language: str
    limits: list[Usage]
    note: str | None = None


class SegmentField(Output):
    """One custom field, as the documentation describes it; what else the API says is left out."""

    id: int
    name: StrOrNull
    type: StrOrNull
    code: str | None
    enums: list[FieldChoice]


class FieldList(Output):
    """The custom fields that segments can have."""

    fields: list[SegmentField]
    total: int
    limit: int
    unreadable: UnreadableEntries = None


@tool("Get the account", READ)
async def get_account(account: CurrentAccount) -> AccountOverview:
    """Get the account's name, host and customers mode, and how much of each limit is used."""
    return await overview(account.client, account)


async def overview(reads: AmoClient | CachedReads, held: AmoAccount) -> AccountOverview:
    """The account as it is answered."""
    account, reader = await reads.account(), await held.profile.reader()
    limits = []
    if account.customers_mode == "segments":
        segments, fields = await reads.segments(), await reads.segment_fields()
        limits = [
            Usage(kind="segments", used=segments.size, limit=MAX_SEGMENTS),
            Usage(kind="segment_fields", used=fields.size, limit=MAX_SEGMENT_FIELDS),
        ]
    if account.customers_mode == "periodicity":
        limits = [Usage(kind="statuses", used=(await reads.statuses()).size, limit=MAX_STATUSES)]
    return AccountOverview(
        id=account.id,
        name=account.name,
        host=held.host,
        customers_mode=account.customers_mode,
        time_zone=reader.zone.name,
        language=reader.language,
        limits=limits,
        note=None if reader.zone.is_known else "The account's time zone is not known: days are those of UTC.",
    )


@tool("List custom fields of segments", READ)
async def list_segment_fields(account: CurrentAccount) -> FieldList:
    """List the custom fields that segments can have, with their types and choices."""
    listed = await account.client.segment_fields()
    fields = [
        SegmentField(id=field.id, name=field.name, type=field.type, code=field.code, enums=field.enums)
        for field in listed
    ]
    return FieldList(fields=fields, total=len(fields), limit=MAX_SEGMENT_FIELDS, unreadable=unreadable_in(listed))


TOOLS = (get_account, list_segment_fields)
