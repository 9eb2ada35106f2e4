"""Customers as tools: who is in a segment or has a status."""

from typing import Annotated

from pydantic import BaseModel, Field

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.inputs import LAX, ZERO_IS_NONE, EntityId, Text
from amo_mcp.amocrm.look_through import MAX_PAGES, LookThrough
from amo_mcp.amocrm.models import Customer, Listing
from amo_mcp.amocrm.reading import PAGE_SIZE
from amo_mcp.failures.failure import invalid_arguments
from amo_mcp.language import message
from amo_mcp.text import fold
from amo_mcp.tools.runtime.answers import UnreadableEntries, unreadable_in
from amo_mcp.tools.runtime.paging import Cursor, cursor_after, first_that_fit, parse_cursor
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool

_DEFAULT_LIMIT = 100

_REPEATS = "amoCRM answers the same page of customers again, so the others cannot be read."


class ListedCustomer(BaseModel):
    """One customer; what else the API says of it stays out."""

    id: int
    name: str | None = None
    segments: list[int] | None = None
    status_id: int | None = None


class CustomerList(Output):
    """Some of the customers that were asked for; `complete` says whether there are no others."""

    customers: list[ListedCustomer]
    complete: bool
    next_cursor: str | None = None
    note: str | None = None
    unreadable: UnreadableEntries = None


@tool("List customers", READ)
async def list_customers(
    account: CurrentAccount,
    segment_id: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Only who is in this segment")] = None,
    status_id: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Only who has this status")] = None,
    search: Annotated[Text | None, Field(description="Part of the name, in any case")] = None,
    limit: Annotated[
        Annotated[int, Field(ge=1, le=PAGE_SIZE), LAX] | None, ZERO_IS_NONE, Field(description="Page size")
    ] = None,
    cursor: Cursor = None,
) -> CustomerList:
    """List customers: the members of a segment, who has a status, or find some by name.

    With complete false there may be more: pass next_cursor.
    """
    if segment_id is not None and status_id is not None:
        raise invalid_arguments([("segment_id, status_id", "only one of them can be given")])
    start = max(0, parse_cursor(cursor) or 0)
    looking = LookThrough(account.client, start // PAGE_SIZE + 1, status_id)
    limit = limit or _DEFAULT_LIMIT
    found: dict[int, tuple[int, Customer]] = {}
    unreadable: list[int | None] = []
    while not looking.ended and looking.requests < MAX_PAGES and len(found) < limit:
        if account.report is not None and looking.requests:
            looked = message("Looking through the customers, page {page}", page=looking.page)
            await account.report(looking.requests, MAX_PAGES, looked)
        position = (looking.page - 1) * PAGE_SIZE
        customers = await looking.read()
        unreadable += customers.unreadable
        found |= {
            customer.id: (place, customer)
            for place, customer in enumerate(customers, position)
            if place >= start and customer.id not in found and _is_wanted(customer, segment_id, status_id, search)
        }
    if looking.ended and not found and start == 0 and looking.requests < MAX_PAGES:
        await _check_there(account, segment_id, status_id)
    page = first_that_fit([_listed(account, customer) for _, customer in [*found.values()][:limit]])
    goes_on = (looking.page - 1) * PAGE_SIZE if not looking.ended else None
    if len(page) < len(found):
        goes_on = [*found.values()][len(page)][0]
    return CustomerList(
        customers=list(page),
        complete=goes_on is None and not looking.repeats,
        next_cursor=None if goes_on is None else cursor_after(goes_on),
        note=_REPEATS if looking.repeats else None,
        unreadable=unreadable_in(Listing((), unreadable)),
    )


def _is_wanted(customer: Customer, segment_id: int | None, status_id: int | None, search: str | None) -> bool:
    return (
        (segment_id is None or segment_id in (customer.segments or ()))
        and status_id in (None, customer.status_id)
        and (search is None or fold(search) in fold(customer.name))
    )


def _listed(account: AmoAccount, customer: Customer) -> ListedCustomer:
    return ListedCustomer(
        id=customer.id,
        name=customer.name if account.names_customers else None,
        segments=customer.segments,
        status_id=customer.status_id,
    )


async def _check_there(account: AmoAccount, segment_id: int | None, status_id: int | None) -> None:
    """Nobody was found: perhaps there is no such segment or status.

    Raises:
        AmoError: there is none, or the account is in the other mode.
    """
    if segment_id is not None:
        await account.client.segment(segment_id)
    if status_id is not None:
        await account.client.status(status_id)


TOOLS = (list_customers,)
