"""Customers that another process moves at the same moment: what one write took from the other is put back.

A customer is written with all the segments that it was read with, and amoCRM has no conditional writes: where two
processes read the same customer at once, the later write takes away what the earlier one had added. The journal, which
they share, tells each what the other one did. Both look into it after their write, so whoever looks last sees both.
What somebody does in amoCRM itself at that moment no journal tells.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.inputs import CustomerPatch
from amo_mcp.changes.journal import Journal, JournalUnusable, StepKey
from amo_mcp.changes.membership import where_they_are
from amo_mcp.changes.moving import patch_customers
from amo_mcp.changes.steps import Move, Step

_NEWEST = 30
"""The newest changes of the journal that are looked at; what is under way beside another change is among them."""


async def moves_made(journal: Journal, steps: Iterable[Step]) -> frozenset[StepKey]:
    """The moves that are done by now; those that are done later come beside the steps, if these move customers."""
    if not any(isinstance(step, Move) for step in steps):
        return frozenset()
    return frozenset(key for key, outcome in (await journal.moves(_NEWEST)).items() if outcome == "done")


async def with_others(
    client: AmoClient, journal: Journal, step: Move, change_id: str, made: Collection[StepKey]
) -> Move:
    """A move that was sent and read back, once what other changes did to its customers meanwhile is so again.

    Args:
        client: the API.
        journal: tells what the others did.
        step: the move.
        change_id: the change that it belongs to.
        made: the moves that were done when its customers were read (`moves_made`).
    """
    others: list[Move] = []
    with suppress(JournalUnusable):
        others = await _moves_beside(journal, change_id, made)
    patches = _patches(step, others)
    if not patches:
        return step
    # What cannot be put back is seen when they are read, and told.
    with suppress(AmoError):
        await patch_customers(client, patches)
    with suppress(AmoError):
        found = await where_they_are(client, step)
        back = [one for one in patches if one in found and {*patches[one].segments} <= {*(found[one].segments or ())}]
        return replace(step.read_back(found.values(), dict(step.refused)), missed=(*step.missed, *back))
    return step


async def _moves_beside(journal: Journal, change_id: str, made: Collection[StepKey]) -> list[Move]:
    """The moves of other changes that are not among those that were made, the older first."""
    latest = await journal.moves(_NEWEST)
    beside = [one for one in latest if one[0] != change_id and one not in made and latest[one] in ("pending", "done")]
    steps = (await journal.steps(beside)).values() if beside else ()
    return [step for step in steps if isinstance(step, Move)]


def _patches(step: Move, others: Iterable[Move]) -> Mapping[int, CustomerPatch]:
    """What is sent for customers that others moved too: who is not where both put them.

    A move that is not done will be read back by who makes it; that one will see this one.
    """
    met, given, taken = set[int](), defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
    for other in others:
        into, out_of = other.placement.into, other.placement.out_of
        for member in other.customers:
            met.add(member.id)
            if other.outcome == "done":
                given[member.id] = given[member.id] - out_of | into
                taken[member.id] = taken[member.id] - into | out_of
    patches, placement = {}, step.placement
    for now in step.found or ():
        if step.kind == "segment" and now.id in met and now.segments is not None:
            wanted = {*placement.segments_of(now, *given[now.id])} - (taken[now.id] - placement.into)
            if wanted != {*now.segments}:
                patches[now.id] = CustomerPatch(id=now.id, segments=tuple(sorted(wanted)))
    return patches
