"""Steps made ready to be sent: as they are recorded before it, on the account as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from amo_mcp.changes.positions import Place, is_intact, position_back, position_between
from amo_mcp.changes.snapshot import Snapshot, TargetChanged, on_account
from amo_mcp.changes.steps import Create, Delete, Move, Step, Update, moves_status
from amo_mcp.text import quote

MAX_SNAPSHOT_AGE = 2.0
"""Seconds after which the account is read again before the next step is compared with it."""


def places_status(step: Step) -> bool:
    """Whether the step puts a status somewhere among the others."""
    return moves_status(step) or (isinstance(step, Create) and step.place is not None)


def is_read_before(steps: Sequence[Step], span: range) -> bool:
    """Whether the account is read right before these steps, however young the last reading is.

    Customers may have entered a segment that is to be deleted, and our own changes give the statuses other positions.
    """
    step = steps[span.start]
    others = any(earlier.kind == "status" for earlier in steps[: span.start])
    return span.start > 0 and (isinstance(step, Delete) or (places_status(step) and others))


def as_pending(batch: Sequence[Step], snapshot: Snapshot, earlier: Sequence[Step] = ()) -> list[Step]:
    """The steps as they are recorded before they are sent: with what is really there now, and with today's positions.

    Raises:
        TargetChanged: where a status is to come back to cannot be told any more.
    """
    created = {step.after.id: step.old_id for step in earlier if isinstance(step, Create) and step.after is not None}
    new_ids = {old_id: new_id for new_id, old_id in created.items()}
    pending: list[Step] = []
    for step in on_account(batch, snapshot):
        if isinstance(step, Move) and step.recreated is not None:
            pending.append(_into_recreated(step, earlier).with_outcome("pending"))
        elif isinstance(step, Create):
            hidden = (one for one in snapshot.unreadable.get(step.kind, ()) if one is not None)
            existing = tuple({*snapshot.ids(step.kind), *hidden, *created})
            pending.append(_placed(replace(step, existing_ids=existing, outcome="pending"), snapshot, new_ids))
        elif isinstance(step, Update):
            pending.append(_placed(step.with_outcome("pending"), snapshot, new_ids))
        else:
            pending.append(step.with_outcome("pending"))
    return pending


def _into_recreated(step: Move, earlier: Sequence[Step]) -> Move:
    """The move into what an earlier step has created again."""
    creations = (one for one in earlier if isinstance(one, Create) and one.undoes == step.recreated)
    created = next((one.after for one in creations if one.after is not None), None)
    if created is None:
        raise TargetChanged(reason=f"{quote(step.name)} was not created again, so nobody can be put back into it.")
    return replace(step, into=(created,), recreated=None)


def _placed(step: Create | Update, snapshot: Snapshot, new_ids: Mapping[int | None, int]) -> Create | Update:
    """A step that puts a status back to its place with the position that leads there among the statuses as they are.

    The place is named by the ids of today: `new_ids` has those that statuses got by the same change, by their old ones.
    Where it cannot be told any more, a status is created all the same: that overwrites nothing.
    """
    if step.place is None:
        return step
    place, places = Place(*(one and new_ids.get(one, one) for one in step.place)), snapshot.places
    if not is_intact(places, place):
        if isinstance(step, Create):
            return replace(step, place=place)
        raise TargetChanged(reason=f"What stood around the status {quote(step.name)} was moved or deleted since.")
    if isinstance(step, Create):
        draft = step.draft.model_copy(update={"sort": position_between(places, place)})
        return replace(step, draft=draft, place=place)
    position = position_back(places, step.before.id, place, getattr(step.patch, "sort", None) or 0)
    return replace(step, patch=step.patch.model_copy(update={"sort": position}), place=place)
