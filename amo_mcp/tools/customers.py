"""Customers as tools: who is in a segment or has a status, and moving them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, Field

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.inputs import EMPTY_IS_NONE, LAX, ZERO_IS_NONE, EntityId, Text
from amo_mcp.amocrm.limits import MAX_SEGMENTS
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.look_through import MAX_PAGES, LookThrough
from amo_mcp.amocrm.models import Customer
from amo_mcp.amocrm.reading import PAGE_SIZE
from amo_mcp.changes.members import Member
from amo_mcp.changes.membership import read_customers
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.snapshot import read_all
from amo_mcp.changes.steps import Entity, Kind, Move
from amo_mcp.failures.failure import invalid_arguments
from amo_mcp.language import message
from amo_mcp.text import fold
from amo_mcp.tools.moved import MovedCustomers
from amo_mcp.tools.runtime.answers import UnreadableEntries, unreadable_in
from amo_mcp.tools.runtime.paging import Cursor, cursor_after, first_that_fit, parse_cursor
from amo_mcp.tools.runtime.tool import DESTRUCTIVE, READ, Confirm, CurrentAccount, Output, tool

_DEFAULT_LIMIT = 100

MAX_MOVED = 250
"""Customers of one `move_customers`."""

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
    query = f"{segment_id} {status_id} {fold(search or '')}"
    start = max(0, parse_cursor(cursor, query) or 0)
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
    if looking.ended and not found and looking.requests < MAX_PAGES:
        await _check_there(account, segment_id, status_id)
    page = first_that_fit([_listed(account, customer) for _, customer in [*found.values()][:limit]])
    goes_on = (looking.page - 1) * PAGE_SIZE if not looking.ended else None
    if len(page) < len(found):
        goes_on = [*found.values()][len(page)][0]
    return CustomerList(
        customers=list(page),
        complete=goes_on is None and not looking.repeats,
        next_cursor=None if goes_on is None else cursor_after(goes_on, query),
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


SegmentIds = Annotated[list[EntityId] | None, Field(max_length=MAX_SEGMENTS), EMPTY_IS_NONE]


@tool("Move customers", DESTRUCTIVE)
async def move_customers(
    customer_ids: Annotated[list[EntityId], Field(min_length=1, max_length=MAX_MOVED, description="Which customers")],
    account: CurrentAccount,
    add_to: Annotated[SegmentIds, Field(description="Segments to put them into")] = None,
    remove_from: Annotated[SegmentIds, Field(description="Segments to take them out of")] = None,
    to_status: Annotated[EntityId | None, ZERO_IS_NONE, Field(description="Status to give them")] = None,
) -> Confirm[MovedCustomers]:
    """Move customers: put them into segments, take them out, or give them a status, after a person has confirmed it.

    Reads back what came of it.
    """
    _check_places(add_to, remove_from, to_status)
    kind: Kind = "segment" if to_status is None else "status"
    entities = {entity.id: entity for entity in await read_all(account.client, kind)}
    into = _places("add_to", add_to, entities) if to_status is None else _places("to_status", [to_status], entities)
    step = Move(kind, (), into, _places("remove_from", remove_from, entities))
    ids = dict.fromkeys(customer_ids)
    found = await read_customers(account.client, ids)
    if unknown := [(f"customer_ids.{place}", one) for place, one in enumerate(customer_ids) if one not in found]:
        raise invalid_arguments([(path, f"{one} is no customer of this account") for path, one in unknown])
    # The first one goes alone, to see whether the API moves anybody, so it has to be one who is not there yet.
    members = sorted((Member.of(found[one]) for one in ids), key=step.placement.is_reached)
    if step.placement.is_reached(members[0]):
        raise invalid_arguments([("customer_ids", "are all there already; nothing would change")])
    names = [(member.id, found[member.id].name) for member in members] if account.names_customers else []
    return Confirm(PendingChange((replace(step, customers=tuple(members)),), names=tuple(names)))


def _check_places(add_to: list[int] | None, remove_from: list[int] | None, to_status: int | None) -> None:
    problem = ""
    if to_status is not None and (add_to or remove_from):
        problem = "a status cannot be given together with segments"
    elif to_status is None and not (add_to or remove_from):
        problem = "at least one of them is required"
    elif both := {*(add_to or ())} & {*(remove_from or ())}:
        problem = f"{min(both)} is in both lists"
    if problem:
        raise invalid_arguments([("add_to, remove_from, to_status", problem)])


def _places(argument: str, ids: list[int] | None, entities: Mapping[int, Entity]) -> tuple[Entity, ...]:
    """The segments or the status that an argument names.

    Raises:
        Failure: `invalid_arguments`, when there is none of that id.
    """
    kind = "status" if argument == "to_status" else "segment"
    if unknown := [one for one in ids or () if one not in entities]:
        raise invalid_arguments([(argument, f"{one} is no {kind} of this account") for one in unknown])
    return tuple(entities[one] for one in dict.fromkeys(ids or ()))


TOOLS = (list_customers, move_customers)
