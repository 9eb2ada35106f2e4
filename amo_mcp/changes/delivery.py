"""Sending the steps of a change, and seeing what came of them when the answer was lost.

Found done is success, surely not done may be tried again or is said, and only what cannot be told from looking is
`OutcomeUnknown`.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Unavailable
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.outcome import look
from amo_mcp.changes.steps import Entity, Step

_EntityT = TypeVar("_EntityT", Segment, Status)


def batches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """What goes in one request: creations of statuses that follow each other, else one step."""
    batch: list[Step] = []
    for step in steps:
        if batch and not (_batched(step) and _batched(batch[-1])):
            yield batch
            batch = []
        batch.append(step)
    if batch:
        yield batch


def _batched(step: Step) -> bool:
    return (step.kind, step.action) == ("status", "create")


async def send(client: AmoClient, steps: Sequence[Step]) -> Sequence[Entity | None]:
    """Send the steps of one batch; a creation that was surely not made is tried once more.

    Returns:
        Each thing as the step left it, None for a deletion.

    Raises:
        OutcomeUnknown: whether it was done cannot be told.
        Unavailable: it was surely not done.
        Refused: the API said no.
    """
    tries = 2 if steps[0].action == "create" else 1
    while True:
        tries -= 1
        try:
            return await _request(client, steps)
        except OutcomeUnknown as lost:
            found = await _looked(client, lost, steps)
            if found is not None:
                return found
            if not tries:
                raise Unavailable(lost.reason) from lost


async def _looked(client: AmoClient, lost: OutcomeUnknown, steps: Sequence[Step]) -> Sequence[Entity | None] | None:
    """What came of a lost write; None when it was surely not made.

    Raises:
        OutcomeUnknown: looking does not tell.
    """
    try:
        found = await look(client, steps)
    except AmoError as error:
        raise lost from error
    if found is None and not lost.settled:
        raise lost
    return found


async def _request(client: AmoClient, steps: Sequence[Step]) -> Sequence[Entity | None]:
    step = steps[0]
    match step.before, step.sent:
        case None, SegmentDraft():
            return _new_only([await client.create_segment(step.sent)], step)
        case None, _:
            return await _create_statuses(client, steps)
        case Segment(), None:
            await client.delete_segment(step.before.id)
        case Status(), None:
            await client.delete_status(step.before.id)
        case Segment(), SegmentPatch():
            return [await client.update_segment(step.before.id, step.sent)]
        case Status(), StatusPatch():
            return [await client.update_status(step.before.id, step.sent)]
    return [None]


async def _create_statuses(client: AmoClient, steps: Sequence[Step]) -> Sequence[Status]:
    """Create statuses and read them back, since the API answers only ids; as they were sent when that fails."""
    drafts = [step.sent for step in steps if isinstance(step.sent, StatusDraft)]
    made = _new_only(
        [
            Status.model_validate({**draft.to_payload(), "request_id": None, "id": item.id})
            for item, draft in zip(await client.create_statuses(drafts), drafts, strict=True)
        ],
        steps[0],
    )
    try:
        listed = {status.id: status for status in await client.statuses()}
    except AmoError:
        listed = {}
    return [listed.get(status.id) or status for status in made]


def _new_only(made: Sequence[_EntityT], step: Step) -> Sequence[_EntityT]:
    """What was created; an answer about what was there before does not say what was done."""
    if {thing.id for thing in made} & {*step.known}:
        raise OutcomeUnknown("answered with what was there before")
    return made
