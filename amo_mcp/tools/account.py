"""The account itself and the custom fields of its segments as tools."""

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import Account, CustomField, StrOrNull
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class Used(Output):
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
    limits: list[Used]


class FieldList(Output):
    """The custom fields that segments can have."""

    fields: list[CustomField]
    total: int
    limit: int


@tool("Get the account", READ)
async def get_account(account: CurrentAccount) -> AccountOverview:
    """Get the account's name, host and customers mode, and how much of each limit is used."""
    told = await account.client.account()
    used = []
    if told.customers_mode == "segments":
        used = used_in_segments(len(await account.client.segments()), len(await account.client.segment_fields()))
    if told.customers_mode == "periodicity":
        used = used_in_periodicity(len(await account.client.statuses()))
    return overview(account, told, used)


@tool("List custom fields of segments", READ)
async def list_segment_fields(account: CurrentAccount) -> FieldList:
    """List the custom fields that segments can have, with their types and choices."""
    return field_list(await account.client.segment_fields())


def overview(account: AmoAccount, told: Account, used: list[Used]) -> AccountOverview:
    """The account as it is told."""
    return AccountOverview(
        id=told.id, name=told.name, host=account.host, customers_mode=told.customers_mode, limits=used
    )


def used_in_segments(segments: int, fields: int) -> list[Used]:
    """What is used of the limits of the segments mode."""
    return [
        Used(kind="segments", used=segments, limit=MAX_SEGMENTS),
        Used(kind="segment_fields", used=fields, limit=MAX_SEGMENT_FIELDS),
    ]


def used_in_periodicity(statuses: int) -> list[Used]:
    """What is used of the limit of the periodicity mode."""
    return [Used(kind="statuses", used=statuses, limit=MAX_STATUSES)]


def field_list(fields: list[CustomField]) -> FieldList:
    """The fields as they are told."""
    told = [
        CustomField.model_construct(**{name: getattr(field, name) for name in CustomField.model_fields})
        for field in fields
    ]
    return FieldList(fields=told, total=len(told), limit=MAX_SEGMENT_FIELDS)


TOOLS = (get_account, list_segment_fields)
