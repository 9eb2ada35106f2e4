"""What came of a write whose answer was lost, told by looking at the account.

A namesake that was there before a creation is not the new one. A thing that is neither as it was nor as it was to
become may be somebody else's work, and then nothing is claimed.
"""

from collections.abc import Sequence
from typing import Any

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound
from amo_mcp.amocrm.inputs import SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import FieldValue, Listing, Segment, Status, comparable
from amo_mcp.changes.steps import Entity, Kind, Sent, Step


class Indeterminate(AmoError):
    """What is there now fits neither a write that was made nor one that was not."""


async def listed(client: AmoClient, kind: Kind) -> Listing[Segment] | Listing[Status]:
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
    if step.before is None:
        now_listed = await listed(client, step.kind)
        created = _created(now_listed, steps)
        if created is None and now_listed.unreadable:
            raise Indeterminate
        return created
    try:
        now = await one(client, step.kind, step.before.id)
    except NotFound:
        if step.sent is None:
            return [None]
        raise Indeterminate from None
    if step.sent is None:
        return None
    if isinstance(now, Status):
        done = _became_status(now, step.before, step.sent)
    else:
        done = _became_segment(now, step.before, step.sent)
    return [now] if done else None


def _created(now: Sequence[Entity], steps: Sequence[Step]) -> Sequence[Entity] | None:
    known = set(steps[0].known)
    new = [thing for thing in now if thing.id not in known]
    if not new:
        return None
    named = {thing.name: thing for thing in new}
    if len(named) != len(new) or named.keys() != {step.name for step in steps} or len(steps) != len(new):
        raise Indeterminate
    found = [named[step.name] for step in steps]
    if any(step.sent and step.sent.color not in (None, thing.color) for step, thing in zip(steps, found, strict=True)):
        raise Indeterminate
    return found


def _became_status(now: Status, before: Entity, patch: Sent) -> bool:
    """Whether the patch was made; the account renumbers positions, so that those prove nothing."""
    assert isinstance(patch, StatusPatch)  # noqa: S101 - a status takes a status's patch
    telling = [name for name in ("name", "color") if getattr(patch, name) not in (None, getattr(before, name))]
    if telling and all(getattr(now, name) == getattr(patch, name) for name in telling):
        return True
    was, is_now = comparable(before), comparable(now)
    if telling or patch.sort is None:
        del was["sort"], is_now["sort"]
    return _not_made(was == is_now)


def _became_segment(now: Segment, before: Entity, patch: Sent) -> bool:
    """Whether the patch was made."""
    assert isinstance(patch, SegmentPatch)  # noqa: S101 - a segment takes a segment's patch
    held: dict[int, list[FieldValue]] = {field["field_id"]: field["values"] for field in now.custom_fields_values}
    if (
        patch.name in (None, now.name)
        and patch.color in (None, now.color)
        and patch.available_products_price_types in (None, now.available_products_price_types)
        and all(_holds(held.get(field["field_id"], []), field["values"]) for field in patch.custom_fields_values or [])
    ):
        return True
    return _not_made(comparable(now) == comparable(before))


def _not_made(untouched: bool) -> bool:  # noqa: FBT001 - reads as a sentence where it is used
    """False; anything else than what was there leaves it open who did it.

    Raises:
        CannotTell: it is not as it was.
    """
    if not untouched:
        raise Indeterminate
    return False


def _holds(held: Sequence[FieldValue], sent: Sequence[dict[str, Any]] | None) -> bool:
    return len(held) == len(sent or []) and all(
        all(have.get(key) == value for key, value in want.items()) for have, want in zip(held, sent or [], strict=True)
    )
