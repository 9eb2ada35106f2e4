"""Where statuses stand after a write: read back, and put right where one came back at another place than its own.

What an answer says of a position proves nothing: the account gives all statuses new ones. So it is read back, and what
counts is between which others a status stands (`positions`).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown
from amo_mcp.amocrm.inputs import StatusPatch
from amo_mcp.amocrm.models import Status
from amo_mcp.changes.leases import LeaseLost
from amo_mcp.changes.positions import (
    Place,
    Places,
    is_between,
    is_intact,
    place_in,
    places_of,
    position_back,
    with_placed,
)
from amo_mcp.changes.steps import Create, Entity, Step, Update, moves_status

_NOT_MOVED = "accepted the new position, and left the status where it was"


async def read_back(client: AmoClient) -> Mapping[int, Status]:
    """The statuses by id; none where they cannot be read."""
    try:
        return {status.id: status for status in await client.statuses()}
    except AmoError:
        return {}


def as_made(step: Create, entity: Entity, listed: Mapping[int, Entity]) -> Create:
    """A creation that is done, with the entity as it was read back, where it was."""
    entity, left = listed.get(entity.id, entity), places_of(listed.values())
    is_there = step.place is None or _is_at(left, entity.id, step.place)
    return replace(step.done(entity), left=left, misplaced=not is_there)


async def put_in_place(client: AmoClient, steps: list[Step]) -> list[Step]:
    """Move a status that came back elsewhere to its place, if that is still there; the steps with what came of it."""
    step = steps[0]
    if not isinstance(step, Create) or not step.misplaced or step.place is None or step.after is None:
        return steps
    if step.after.id not in dict(step.left) or not is_intact(step.left, step.place):
        return steps
    position = position_back(step.left, step.after.id, step.place)
    with suppress(AmoError, LeaseLost):
        await client.update_status(step.after.id, StatusPatch(sort=position))
        return [as_made(step, step.after, await read_back(client))]
    return steps


async def as_moved(client: AmoClient, step: Update) -> Update:
    """An update that is done; where it was to move a status, with the position that is read back.

    Raises:
        OutcomeUnknown: there was nothing else to change, and the status stands where it stood.
    """
    listed = await read_back(client) if moves_status(step) else {}
    if step.after is None or step.after.id not in listed or step.after.id not in dict(step.places):
        return step
    status, wanted, now = listed[step.after.id], step.patch.to_payload(), places_of(listed.values())
    others = {one for one, _ in step.places} & {*listed} - {status.id}
    place = step.place or place_in(with_placed(step.places, status.id, wanted["sort"]), status.id, others)
    is_there = _is_at(now, status.id, place) or (step.place is None and status.sort == wanted["sort"])
    was_there = is_between(now, status.id, place_in(step.places, status.id, others))
    if not is_there and was_there and wanted.keys() == {"sort"}:
        raise OutcomeUnknown(_NOT_MOVED, settled=True)
    after = step.after.model_copy(update={"sort": status.sort})
    return replace(step, after=after, left=now, misplaced=not is_there)


def _is_at(places: Places, status_id: int, place: Place) -> bool:
    return status_id in dict(places) and is_intact(places, place) and is_between(places, status_id, place)
