"""Completion of `segment_id` and `status_id`: ids by their beginning, or by any part of a name, best first."""

from collections.abc import Sequence
from contextlib import suppress

from mcp_types import Completion

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.changes.steps import Entity
from amo_mcp.text import fold

MAX_COMPLETIONS = 100
"""Values of one completion (the protocol's limit)."""


async def complete(account: AmoAccount, argument: str, typed: str) -> Completion:
    """The ids that `typed` may become; none of another argument, or while the account cannot be read."""
    entities: Sequence[Entity] = []
    with suppress(AmoError):
        if argument == "segment_id":
            entities = await account.cached.segments()
        if argument == "status_id":
            entities = await account.cached.statuses()
    ranked = sorted(
        (rank, entity.name.casefold(), entity.id)
        for entity in entities
        if (rank := _rank(entity, fold(typed))) is not None
    )
    values = [str(entity_id) for _, _, entity_id in ranked]
    return Completion(values=values[:MAX_COMPLETIONS], total=len(values), has_more=len(values) > MAX_COMPLETIONS)


def _rank(entity: Entity, typed: str) -> int | None:
    """How well an entity fits what was typed: 0 is best, None not at all."""
    name, entity_id = fold(entity.name), str(entity.id)
    fits = (
        typed == entity_id,
        entity_id.startswith(typed),
        name.startswith(typed),
        any(fold(word).startswith(typed) for word in entity.name.split()),
        typed in name,
    )
    return fits.index(True) if any(fits) else None
