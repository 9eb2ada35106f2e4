"""Customers moved: one batch sent, read back, and put back where they went missing.

What an answer to such a request says is only that it came. Whether the segments in it replace those of a customer or
are added to them is not documented, so all of them are sent, those that were just read and those that are added: a
reading that replaces takes nothing away, and what it came to is read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, Rejected
from amo_mcp.amocrm.inputs import CustomerPatch
from amo_mcp.amocrm.look_through import MAX_PAGES, LookThrough
from amo_mcp.amocrm.models import Customer
from amo_mcp.changes.members import Member
from amo_mcp.changes.steps import Move, Step

BATCH = 50
"""Customers in one request (the vendor's advice; it takes 250)."""

_FEW = 5
"""Customers that are read one by one: looking through may take more requests."""

_POOR = 3
"""Pages without anybody that is looked for, after which the rest is read one by one."""


async def read_customers(client: AmoClient, ids: Collection[int]) -> dict[int, Customer]:
    """Those of the customers that the account has, by id.

    Many are looked for on the pages of all customers, as long as that takes fewer requests. One that is there and
    cannot be read is a customer of which nothing but the id is known.
    """
    found: dict[int, Customer] = {}
    looking = LookThrough(client)
    while (
        len(ids) > _FEW
        and len(found) < len(ids)
        and not looking.ended
        and looking.requests < min(MAX_PAGES, len(found) + _POOR)
    ):
        page = await looking.read()
        hidden = (Customer(id=one) for one in page.unreadable if one is not None)
        found |= {customer.id: customer for customer in (*hidden, *page) if customer.id in ids}
    for customer_id in [one for one in ids if one not in found]:
        with suppress(NotFound):
            found[customer_id] = await client.customer(customer_id)
    return found


async def with_members(client: AmoClient, steps: Iterable[Step]) -> list[Step]:
    """The steps with their customers as they are now; of one that is gone nothing is known."""
    return [await _with_members(client, step) if isinstance(step, Move) else step for step in steps]


async def _with_members(client: AmoClient, step: Move) -> Move:
    found = await _read(client, step)
    return replace(step, customers=tuple(found.get(member.id, Member(member.id)) for member in step.customers))


def in_batches(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps as they are sent: customers in batches, the first of them alone, to see whether it has an effect."""
    for step in steps:
        if not isinstance(step, Move):
            yield step
            continue
        yield replace(step, customers=step.customers[:1])
        for start in range(1, len(step.customers), BATCH):
            yield replace(step, customers=step.customers[start : start + BATCH])


def in_parts(steps: Sequence[Step]) -> Iterator[tuple[int, Step]]:
    """The steps as a person thinks of them, each with its position: batches that follow each other are one again."""
    part: tuple[int, Step] | None = None
    for position, step in enumerate(steps):
        if part is not None and (whole := _joined(part[1], step)) is not None:
            part = part[0], whole
            continue
        if part is not None:
            yield part
        part = position, step
    if part is not None:
        yield part


def _joined(one: Step, other: Step) -> Step | None:
    """Two batches of one move, of which the same came, as one; None where they are not."""
    if not (isinstance(one, Move) and isinstance(other, Move)):
        return None
    if (one.placement, one.outcome, one.undoes) != (other.placement, other.outcome, other.undoes):
        return None
    return replace(
        one,
        customers=one.customers + other.customers,
        found=None if one.found is None or other.found is None else one.found + other.found,
        refused=one.refused + other.refused,
        missed=one.missed + other.missed,
    )


async def send_move(client: AmoClient, step: Move) -> Move:
    """Send one batch, for those who are not where they are to be, and read everybody back.

    Raises:
        OutcomeUnknown: it was sent, and they could not be read back.
        AmoError: it was refused, or not sent.
    """
    refused = await _patch(client, {member.id: _patch_of(step, member) for member in step.sent})
    found = await _read_back(client, step)
    again = _once_more(step, found)
    if again:
        # What cannot be put back is seen when they are read, and told.
        with suppress(AmoError):
            await _patch(client, again)
        found = await _read_back(client, step)
    missed = tuple(customer_id for customer_id, patch in again.items() if not patch.clears)
    return replace(step.read_back(found.values(), refused), missed=missed)


async def verify_move(client: AmoClient, step: Move) -> Move | None:
    """The batch with what came of it, None where everybody is where they were.

    It may also be that nothing can be said: then the fates of the step that is returned have nobody who was moved.
    """
    found = await _read(client, step)
    verified = step.read_back(found.values(), {})
    fates = {verified.fates[member.id] for member in step.sent}
    return None if fates and fates <= {"ignored", "gone"} else verified


def _patch_of(step: Move, member: Member) -> CustomerPatch:
    if step.kind == "status":
        return CustomerPatch(id=member.id, status_id=step.placement.status_id)
    return CustomerPatch(id=member.id, segments=step.placement.segments_of(member))


async def _patch(client: AmoClient, patches: Mapping[int, CustomerPatch]) -> dict[int, str]:
    """Send the patches, without those that the API names as wrong, and give what it said of each of these."""
    refused: dict[int, str] = {}
    while left := [patch for customer_id, patch in patches.items() if customer_id not in refused]:
        try:
            await client.update_customers(left)
        except (Rejected, NotFound) as error:
            named = {problem.entry: problem.detail or problem.code for problem in error.problems}
            wrong = {patch.id: named[str(patch.id)] for patch in left if str(patch.id) in named}
            if len(wrong) in (0, len(left)):
                raise
            refused |= wrong
        else:
            break
    return refused


def _once_more(step: Move, found: Mapping[int, Member]) -> dict[int, CustomerPatch]:
    """What is sent for who has left what they were to stay in, and for whom an empty list has taken out of nothing."""
    placement, patches = step.placement, {}
    for before in step.sent:
        after = found.get(before.id)
        if step.kind == "status" or after is None or after.segments is None:
            continue
        wanted = placement.segments_of(before, *after.segments)
        if placement.lost(before, after):
            patches[before.id] = CustomerPatch(id=before.id, segments=wanted)
        elif not wanted and after.segments:
            patches[before.id] = CustomerPatch(id=before.id, clears=True)
    return patches


async def _read_back(client: AmoClient, step: Move) -> dict[int, Member]:
    try:
        return await _read(client, step)
    except AmoError as error:
        raise OutcomeUnknown("took the change, and the customers could not be read back", settled=True) from error


async def _read(client: AmoClient, step: Move) -> dict[int, Member]:
    found = await read_customers(client, [member.id for member in step.customers])
    return {customer_id: Member.of(customer) for customer_id, customer in found.items()}
