"""What came of a write whose answer was lost, told by looking at the account.

A namesake that was there before a creation is not the new one. A thing that is neither as it was nor as it was to
become may be somebody else's work, and then nothing is claimed.
"""

from collections.abc import Sequence
from typing import Any

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound
from amo_mcp.amocrm.models import Segment, SegmentPatch, Status
from amo_mcp.reorganize.steps import Entity, Kind, Step

SEGMENT_SETTINGS = frozenset(
    {"id", "name", "color", "custom_fields_values", "available_products_price_types", "created_at"}
)
"""What a person sets in a segment, and what makes it this one; not its customers, who come and go."""


class CannotTell(AmoError):
    """What is there now fits neither a write that was made nor one that was not."""


def settings_of(thing: Entity) -> dict[str, Any]:
    """What a person sets in a thing, and what makes it this one."""
    return thing.model_dump(include=set(SEGMENT_SETTINGS) if isinstance(thing, Segment) else None)


async def listed(client: AmoClient, kind: Kind) -> Sequence[Entity]:
    """All things of a kind, as they are now."""
    return await client.segments() if kind == "segment" else await client.statuses()


async def one(client: AmoClient, kind: Kind, thing_id: int) -> Entity:
    """One thing, as it is now."""
    return await client.segment(thing_id) if kind == "segment" else await client.status(thing_id)


async def look(client: AmoClient, steps: Sequence[Step]) -> Sequence[Entity | None] | None:
    """What the steps have made, in their order (None for a deletion); None in all when they surely did nothing.

    Several steps at once are creations that went in one request.

    Raises:
        CannotTell: looking does not tell.
        AmoError: looking is not possible.
    """
    step = steps[0]
    if step.action == "create":
        return _created(await listed(client, step.kind), steps)
    assert step.before is not None  # noqa: S101 - only a creation has nothing before it
    try:
        now = await one(client, step.kind, step.before.id)
    except NotFound:
        if step.action == "delete":
            return [None]
        raise CannotTell from None
    if step.action == "update" and _became(now, step):
        return [now]
    if step.action == "delete" or settings_of(now) == settings_of(step.before):
        return None
    raise CannotTell


def _created(now: Sequence[Entity], steps: Sequence[Step]) -> Sequence[Entity] | None:
    known = set(steps[0].known)
    new = [thing for thing in now if thing.id not in known]
    if not new:
        return None
    named = {thing.name: thing for thing in new}
    if len(named) != len(new) or named.keys() != {step.name for step in steps} or len(steps) != len(new):
        raise CannotTell
    found = [named[step.name] for step in steps]
    if any(step.sent and step.sent.color not in (None, thing.color) for step, thing in zip(steps, found, strict=True)):
        raise CannotTell
    return found


def _became(now: Entity, step: Step) -> bool:
    """Whether the thing is what the patch makes of it."""
    patch = step.sent
    assert patch is not None  # noqa: S101 - only a deletion sends nothing
    if patch.name not in (None, now.name) or patch.color not in (None, now.color):
        return False
    if isinstance(now, Status):
        # The account renumbers positions, so that a position alone tells nothing.
        return (patch.name, patch.color) != (None, None)
    assert isinstance(patch, SegmentPatch)  # noqa: S101 - a segment takes a segment's patch
    held = {field.field_id: [item.model_dump() for item in field.values] for field in now.custom_fields_values}
    return patch.available_products_price_types in (None, now.available_products_price_types) and all(
        _holds(held.get(field["field_id"], []), field["values"]) for field in patch.custom_fields_values or []
    )


def _holds(held: Sequence[dict[str, Any]], sent: Sequence[dict[str, Any]] | None) -> bool:
    return len(held) == len(sent or []) and all(
        all(have.get(key) == value for key, value in want.items()) for have, want in zip(held, sent or [], strict=True)
    )
