"""Customers moved: one batch sent, read back, and put back where they went missing.

What an answer to such a request says is only that it came. Whether the segments in it replace those of a customer or
are added to them is not documented, so all of them are sent, those that were just read and those that are added: a
reading that replaces takes nothing away, and what it came to is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, Rejected, Unavailable
from amo_mcp.amocrm.inputs import CustomerPatch
from amo_mcp.changes.members import Member
from amo_mcp.changes.membership import MAX_MERGE_PAGES, find_customers, read_members, where_they_are
from amo_mcp.changes.steps import Move, Step

BATCH = 50
"""Customers in one request (the vendor's advice; it takes 250)."""


async def in_batches(client: AmoClient, steps: Iterable[Step]) -> list[Step]:
    """The steps as they are sent: customers in batches, the first of them alone, to see whether it has an effect.

    A batch is of one page of all customers, so that it is read and read back with one request each.

    Raises:
        Unavailable: whose customers are to be moved has more than can be looked through.
        AmoError: they cannot be read.
    """
    batches: list[Step] = []
    for step in steps:
        if isinstance(step, Move):
            located = await _located(client, step)
            sent = [
                replace(step, customers=tuple(batch), page=page)
                for page, batch in batched(located, alone=1, most=BATCH)
            ]
            batches += sent or [replace(step, customers=())]
        else:
            batches.append(step)
    return batches


async def _located(client: AmoClient, step: Move) -> list[tuple[int, Member]]:
    """The customers of a move, each after the page that it is on; of a merge those who are not there yet."""
    if step.source is None:
        pages = (await find_customers(client, [member.id for member in step.customers])).pages
        # The first one shows whether the API moves anybody; of its last segment it may let go of nobody.
        known = sorted(step.customers, key=lambda one: bool(step.out_of) and not step.placement.segments_of(one))
        return [(pages.get(member.id, 0), member) for member in known]
    members = await read_members(client, step.source, MAX_MERGE_PAGES, filtered=False)
    if members is None:
        raise Unavailable("has more customers than can be looked through")
    return [(page, member) for page, member in members if not step.placement.is_reached(member)]


def batched(located: Sequence[tuple[int, Member]], *, alone: int, most: int) -> Iterator[tuple[int, list[Member]]]:
    """The customers in batches of at most `most`, each of one page; the first `alone` of them by themselves."""
    first, rest = located[:alone], sorted(located[alone:], key=lambda item: item[0])
    for part in (first, rest):
        for page, group in groupby(part, key=lambda item: item[0]):
            members = [member for _, member in group]
            for start in range(0, len(members), most):
                yield page, members[start : start + most]


async def send_move(client: AmoClient, step: Move) -> Move:
    """Send one batch, for those who are not where they are to be, and read everybody back.

    Raises:
        OutcomeUnknown: it was sent, and they could not be read back.
        AmoError: it was refused, or not sent.
    """
    refused = await patch_customers(client, {member.id: _patch_of(step, member) for member in step.sent})
    found = await _read_back(client, step)
    again = _once_more(step, found)
    if again:
        # What cannot be put back is seen when they are read, and told.
        with suppress(AmoError):
            await patch_customers(client, again)
        found = await _read_back(client, step)
    missed = tuple(customer_id for customer_id, patch in again.items() if not patch.clears)
    return replace(step.read_back(found.values(), refused), missed=missed)


async def verify_move(client: AmoClient, step: Move) -> Move | None:
    """The batch with what came of it, None where everybody is where they were.

    It may also be that nothing can be said: then the fates of the step that is returned have nobody who was moved.
    """
    found = await where_they_are(client, step)
    verified = step.read_back(found.values(), {})
    fates = {verified.fates[member.id] for member in step.sent}
    return None if fates and fates <= {"ignored", "gone"} else verified


def _patch_of(step: Move, member: Member) -> CustomerPatch:
    if step.kind == "status":
        return CustomerPatch(id=member.id, status_id=step.placement.status_id)
    return CustomerPatch(id=member.id, segments=step.placement.segments_of(member))


async def patch_customers(client: AmoClient, patches: Mapping[int, CustomerPatch]) -> dict[int, str]:
    """Send the patches, without those that the API names as wrong, and give what it said of each of these."""
    refused: dict[int, str] = {}
    while left := [patch for customer_id, patch in patches.items() if customer_id not in refused]:
        try:
            await client.update_customers(left)
        except (Rejected, NotFound) as error:
            named = {problem.entry: problem.detail or problem.code for problem in error.problems}
            wrong = {patch.id: named[str(patch.id)] for patch in left if str(patch.id) in named}
            # All of them may be gone by now, which is seen when they are read.
            if not wrong or (len(wrong) == len(left) and not isinstance(error, NotFound)):
                raise
            refused |= wrong
        else:
            break
    return refused


def _once_more(step: Move, found: Mapping[int, Member]) -> dict[int, CustomerPatch]:
    """What is sent again: for who left what they were to stay in, and for whom an empty list did not take out."""
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
        return await where_they_are(client, step)
    except AmoError as error:
        raise OutcomeUnknown("took the change, and the customers could not be read back", settled=True) from error
