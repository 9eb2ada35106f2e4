"""Who is in a segment or has a status, read right before something is done to them or to it."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, TypeGuard

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import NotFound
from amo_mcp.amocrm.look_through import MAX_PAGES, LookThrough
from amo_mcp.amocrm.models import Customer, Segment, Status
from amo_mcp.changes.members import NOBODY, Crowd, Member
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import Delete, Entity, Move, Step, kind_of
from amo_mcp.text import counted, quote

MAX_MERGE_PAGES = 400
"""Pages of customers that a merge looks through at most: 100,000 customers, and a minute at the usual pace."""

_FEW = 5
"""Customers that are read one by one where it is not known on which page they are."""

_POOR = 3
"""Pages without anybody that is looked for, after which the rest is read one by one."""


class Found(NamedTuple):
    """Customers that were found.

    Attributes:
        customers: by id, those that the account has.
        pages: the page of all customers on which each was; not of those that were read one by one.
    """

    customers: dict[int, Customer]
    pages: dict[int, int]


async def find_customers(client: AmoClient, ids: Collection[int], page: int = 0) -> Found:
    """Those of the customers that the account has.

    Many are looked for on the pages of all customers, as long as that takes fewer requests; on the page where they were
    before, if that is known. One that is there and cannot be read is a customer of which nothing but the id is known.
    """
    wanted, found = {*ids}, Found({}, {})
    looking = LookThrough(client, page or 1)
    few = 1 if page else _FEW
    while len(wanted) > few and len(found.customers) < len(wanted) and not looking.ended:
        if looking.requests >= (1 if page else min(len(wanted), len(found.customers) + _POOR)):
            break
        number, listed = looking.page, await looking.read()
        hidden = (Customer(id=one) for one in listed.unreadable if one is not None)
        here = {customer.id: customer for customer in (*hidden, *listed) if customer.id in wanted}
        found.customers.update(here)
        found.pages.update(dict.fromkeys(here, number))
    for customer_id in sorted(wanted - found.customers.keys()):
        with suppress(NotFound):
            found.customers[customer_id] = await client.customer(customer_id)
    return found


async def read_customers(client: AmoClient, ids: Collection[int]) -> dict[int, Customer]:
    """Those of the customers that the account has, by id."""
    return (await find_customers(client, ids)).customers


async def read_members(
    client: AmoClient, place: Entity, most: int, *, filtered: bool = True
) -> list[tuple[int, Member]] | None:
    """Everybody who is in a segment or has a status, each after the page it was on.

    Args:
        client: the API.
        place: the segment or the status.
        most: how many pages are read at most.
        filtered: whether the API is asked for those of a status alone, where it has that filter.

    Returns:
        None where they cannot all be told, within so many pages or at all.
    """
    is_segment = isinstance(place, Segment)
    looking = LookThrough(client, status_id=place.id if filtered and not is_segment else None)
    members: dict[int, tuple[int, Member]] = {}
    while not looking.ended and looking.requests < most:
        number, page = looking.page, await looking.read()
        if page.unreadable:
            return None
        read = map(Member.of, page)
        there = [one for one in read if place.id in ((one.segments or ()) if is_segment else (one.status_id,))]
        members |= {one.id: (number, one) for one in there}
    return [*members.values()] if looking.ended and not looking.repeats else None


async def read_crowd(client: AmoClient) -> Crowd:
    """How many customers are where, looked through as far as one call may."""
    looking, unreadable = LookThrough(client), False
    members: dict[int, tuple[int, Member]] = {}
    while not looking.ended and looking.requests < MAX_PAGES:
        number, page = looking.page, await looking.read()
        members |= {customer.id: (number, Member.of(customer)) for customer in page}
        unreadable |= bool(page.unreadable)
    is_complete = looking.ended and not looking.repeats and not unreadable
    return Crowd(tuple(members.values()), looking.requests, is_complete)


async def remembering(client: AmoClient, steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps, of which deletions read who is in what they delete, where that takes fewer than `MAX_PAGES` requests.

    Whether it does is one request, when something is deleted that has customers, or may have some.
    """
    steps = tuple(steps)
    deletions = [step for step in steps if isinstance(step, Delete) and _may_have_customers(step.before)]
    if not deletions:
        return steps
    only = deletions[0].before if len(deletions) == 1 else None
    last = await client.customers(MAX_PAGES, status_id=only.id if isinstance(only, Status) else None)
    are_few = not last.customers.size and last.number == MAX_PAGES
    return tuple(replace(step, reads_members=are_few) if step in deletions else step for step in steps)


def _may_have_customers(place: Entity) -> bool:
    return not isinstance(place, Segment) or place.customers_count != 0


def needs_crowd(step: Step) -> TypeGuard[Delete]:
    """Whether the step deletes a segment, not by a merge, and records who is in it: only all customers tell that."""
    return isinstance(step, Delete) and step.reads_members and step.merged_into is None and step.kind == "segment"


async def with_members_to_lose(client: AmoClient, steps: Iterable[Step], crowd: Crowd) -> list[Step]:
    """The steps, deletions with the customers who are in what they delete, where those are asked for.

    That may take seconds, so it comes before the reading of the targets with which a step is compared.

    Args:
        client: the API.
        steps: the steps.
        crowd: all customers, for the steps that need them (`needs_crowd`); the others read for themselves.

    Raises:
        TargetChanged: they cannot be told, or some are not where they were to be.
        AmoError: they cannot be read.
    """
    return [
        replace(step, members=await _members_to_lose(client, step, crowd))
        if isinstance(step, Delete) and (step.reads_members or step.merged_into is not None)
        else step
        for step in steps
    ]


async def with_members_to_move(client: AmoClient, steps: Iterable[Step]) -> list[Step]:
    """The steps, moves with their customers as they are now; of one that is gone nothing is known.

    Raises:
        AmoError: they cannot be read.
    """
    return [await _with_members_to_move(client, step) if isinstance(step, Move) else step for step in steps]


async def check_members(client: AmoClient, steps: Sequence[Step]) -> None:
    """Compare the customers of steps that are about to be sent again.

    Those of a merge have to be where they are to be; whoever else was in what is deleted was read.

    Raises:
        TargetChanged: they are not where they were.
        AmoError: they cannot be read.
    """
    compared = [step for step in steps if not isinstance(step, Delete) or step.merged_into is not None]
    if await with_members_to_move(client, await with_members_to_lose(client, compared, NOBODY)) != compared:
        raise TargetChanged(reason="Customers that were to be moved have been moved meanwhile.")


async def where_they_are(client: AmoClient, step: Move) -> dict[int, Member]:
    """Where the customers of a batch are now, without those that are gone."""
    found = await find_customers(client, [member.id for member in step.customers], step.page)
    return {customer_id: Member.of(customer) for customer_id, customer in found.customers.items()}


async def _with_members_to_move(client: AmoClient, step: Move) -> Move:
    now = await where_they_are(client, step)
    return replace(step, customers=tuple(now.get(one.id, Member(one.id)) for one in step.customers))


async def _read_to_lose(client: AmoClient, step: Delete) -> Collection[Member] | None:
    """Everybody who is in what is to be deleted; None where they cannot all be told.

    Where somebody is deleted while pages are read, the others move up, and one may come to a page that was read before.
    So of a merge they are looked through once more where fewer were found than the account counts.
    """
    most = MAX_PAGES if step.merged_into is None else MAX_MERGE_PAGES
    count = step.before.customers_count if isinstance(step.before, Segment) else None
    members: dict[int, Member] = {}
    for _ in range(1 if step.merged_into is None else 2):
        read = await read_members(client, step.before, most)
        if read is None:
            return None
        members |= {member.id: member for _, member in read}
        if len(members) >= (count or 0):
            break
    return members.values()


async def _members_to_lose(client: AmoClient, step: Delete, crowd: Crowd) -> tuple[Member, ...]:
    read = crowd.members_of(step.before.id) if needs_crowd(step) else await _read_to_lose(client, step)
    name = f"{kind_of(step.before)} {quote(step.before.name)}"
    if read is None:
        raise TargetChanged(reason=f"The customers of the {name} cannot all be read any more, so it is kept.")
    members, into = tuple(read), step.merged_into
    if into is None:
        return members
    is_segment = isinstance(into, Segment)
    left = [one for one in members if not is_segment or into.id not in (one.segments or ())]
    if left:
        raise _kept(step, into, len(left))
    return members


def check_merged(batch: Iterable[Step], steps: Sequence[Step]) -> None:
    """Compare what is about to be deleted with where its customers were read back, of a merge.

    Raises:
        TargetChanged: some of them were not where they were to be, as where a rule of the account moved them on.
    """
    for step in batch:
        if isinstance(step, Delete) and step.merged_into is not None:
            moves = [one for one in steps if isinstance(one, Move) and one.source and one.source.id == step.before.id]
            left = sum(fate not in ("moved", "gone") for move in moves for fate in move.fates.values())
            if left:
                raise _kept(step, step.merged_into, left)


def _kept(step: Delete, into: Entity, count: int) -> TargetChanged:
    name, are = f"{kind_of(step.before)} {quote(step.before.name)}", "is" if count == 1 else "are"
    who = counted(count, "customer")
    return TargetChanged(reason=f"{who} of the {name} {are} not in {quote(into.name)}, so it is kept.")
