"""The account itself and the custom fields of its segments as tools."""

from collections.abc import Sequence

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import Account, CustomField, FieldChoice, StrOrNull
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class Usage(Output):
    """How much of one limit is used."""

    kind: str
    used: int
    limit: int


class AccountOverview(Output):
    """The account, its mode, and what is used of the limits of that mode."""

    id: int
    name: StrOrNull
    host: str
    customers_mode: str
    limits: list[Usage]


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


@tool("Get the account", READ)
async def get_account(account: CurrentAccount) -> AccountOverview:
    """Get the account's name, host and customers mode, and how much of each limit is used."""
    client = account.client
    details = await client.account()
    usage = []
    if details.customers_mode == "segments":
        usage = segments_usage(len(await client.segments()), len(await client.segment_fields()))
    if details.customers_mode == "periodicity":
        usage = statuses_usage(len(await client.statuses()))
    return overview(account, details, usage)


@tool("List custom fields of segments", READ)
async def list_segment_fields(account: CurrentAccount) -> FieldList:
    """List the custom fields that segments can have, with their types and choices."""
    return field_list(await account.client.segment_fields())


def overview(account: AmoAccount, details: Account, usage: list[Usage]) -> AccountOverview:
    """The account as it is answered."""
    return AccountOverview(
        id=details.id, name=details.name, host=account.host, customers_mode=details.customers_mode, limits=usage
    )


def segments_usage(segments: int, fields: int) -> list[Usage]:
    """What is used of the limits of the segments mode."""
    return [
        Usage(kind="segments", used=segments, limit=MAX_SEGMENTS),
        Usage(kind="segment_fields", used=fields, limit=MAX_SEGMENT_FIELDS),
    ]


def statuses_usage(statuses: int) -> list[Usage]:
    """What is used of the limit of the periodicity mode."""
    return [Usage(kind="statuses", used=statuses, limit=MAX_STATUSES)]


def field_list(fields: Sequence[CustomField]) -> FieldList:
    """The fields as they are answered."""
    listed = [
        SegmentField(id=field.id, name=field.name, type=field.type, code=field.code, enums=field.enums)
        for field in fields
    ]
    return FieldList(fields=listed, total=len(listed), limit=MAX_SEGMENT_FIELDS)


TOOLS = (get_account, list_segment_fields)
