"""One amoCRM account as the server holds it: the client, and the writes made safe.

The answer to a write can be lost. Then the account is looked at: found done is success, surely not done may be tried
again or is said, and only what cannot be told from looking is `OutcomeUnknown`. That is why a creation lists what is
there first: a namesake that was there before is not the new one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, Unavailable
from amo_mcp.amocrm.models import CreatedStatus, Segment, SegmentDraft, SegmentPatch, Status, StatusDraft, StatusPatch
from amo_mcp.amocrm.palette import MAX_SEGMENTS, MAX_STATUSES

_T = TypeVar("_T")
_EntityT = TypeVar("_EntityT", Status, Segment)

SEGMENT_SETTINGS = frozenset(
    {"id", "name", "color", "custom_fields_values", "available_products_price_types", "created_at"}
)
"""What a person sets in a segment, and what makes it this one; not its customers, who come and go."""


class LimitReached(Exception):
    """The account has no room for what was to be created; nothing was sent.

    Attributes:
        kind: "segments" or "statuses".
        held: how many there are.
        limit: how many there can be.
        wanted: how many were to be created.
    """

    def __init__(self, kind: str, held: int, limit: int, wanted: int) -> None:
        super().__init__(f"{held} of {limit} {kind}")
        self.kind = kind
        self.held = held
        self.limit = limit
        self.wanted = wanted


class AmoAccount:
    """One account: its client, and the writes.

    Every method can raise what the client's methods raise (`amo_mcp.amocrm.errors.AmoError`).
    """

    def __init__(self, client: AmoClient) -> None:
        self.client = client

    async def create_statuses(self, drafts: Sequence[StatusDraft]) -> tuple[list[Status], bool]:
        """Create statuses and read them back, since the API answers only ids.

        Returns:
            The created statuses in the order of `drafts`, and whether they are as the account has them. When they
            could not be read back, they are as they were sent.

        Raises:
            LimitReached: the account would have more than 30 statuses.
        """
        before = await self.client.statuses()
        _check_room("statuses", len(before), MAX_STATUSES, len(drafts))

        async def look() -> list[CreatedStatus] | None:
            new = _new(await self.client.statuses(), before)
            named = {status.name: status for status in new}
            if len(named) != len(new) or named.keys() != {draft.name for draft in drafts}:
                _only_if(not new)
                return None
            return [CreatedStatus(id=named[draft.name].id) for draft in drafts]

        created = await _created(lambda: self.client.create_statuses(drafts), look)
        try:
            listed = {status.id: status for status in await self.client.statuses()}
        except AmoError:
            listed = {}
        statuses = [listed.get(item.id) or _as_sent(item, draft) for item, draft in zip(created, drafts, strict=True)]
        return statuses, all(status.id in listed for status in statuses)

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        """Create a segment.

        Raises:
            LimitReached: the account has 100 segments already.
        """
        before = await self.client.segments()
        _check_room("segments", len(before), MAX_SEGMENTS, 1)

        async def look() -> Segment | None:
            new = _new(await self.client.segments(), before)
            if len(new) == 1 and new[0].name == draft.name and draft.color in (None, new[0].color):
                return new[0]
            _only_if(not new)
            return None

        return await _created(lambda: self.client.create_segment(draft), look)

    async def update_status(self, before: Status, patch: StatusPatch) -> Status:
        """Change a status that is `before` now."""

        async def look() -> Status | None:
            now = await self.client.status(before.id)
            # The account renumbers positions, so that a position tells nothing.
            wanted = patch.model_dump(include={"name", "color"}, exclude_none=True)
            if wanted and now.model_dump(include=set(wanted)) == wanted:
                return now
            _only_if(now == before)
            return None

        return await _changed(lambda: self.client.update_status(before.id, patch), look)

    async def update_segment(self, before: Segment, patch: SegmentPatch) -> Segment:
        """Change a segment that is `before` now."""

        async def look() -> Segment | None:
            now = await self.client.segment(before.id)
            if _has(now, patch):
                return now
            _only_if(settings_of(now) == settings_of(before))
            return None

        return await _changed(lambda: self.client.update_segment(before.id, patch), look)

    async def delete_status(self, status_id: int) -> None:
        """Delete a status."""
        await _deleted(lambda: self.client.delete_status(status_id), lambda: self.client.status(status_id))

    async def delete_segment(self, segment_id: int) -> None:
        """Delete a segment."""
        await _deleted(lambda: self.client.delete_segment(segment_id), lambda: self.client.segment(segment_id))


def settings_of(segment: Segment) -> dict[str, Any]:
    """What a person sets in a segment."""
    return segment.model_dump(include=set(SEGMENT_SETTINGS))


class _CannotTell(AmoError):
    """What is there now fits neither a write that was made nor one that was not."""


async def _created(write: Callable[[], Awaitable[_T]], look: Callable[[], Awaitable[_T | None]]) -> _T:
    """Write; after a lost answer look, and write once more when it was surely not done."""
    try:
        return await write()
    except OutcomeUnknown as lost:
        found = await _looked(lost, look)
    if found is not None:
        return found
    return await _changed(write, look)


async def _changed(write: Callable[[], Awaitable[_T]], look: Callable[[], Awaitable[_T | None]]) -> _T:
    """Write; after a lost answer look, and say when it was surely not done."""
    try:
        return await write()
    except OutcomeUnknown as lost:
        found = await _looked(lost, look)
        if found is None:
            raise Unavailable(lost.reason) from lost
        return found


async def _looked(lost: OutcomeUnknown, look: Callable[[], Awaitable[_T | None]]) -> _T | None:
    """What came of the write; None when it was surely not made.

    Raises:
        OutcomeUnknown: looking does not tell.
    """
    try:
        found = await look()
    except AmoError as error:
        raise lost from error
    if found is None and not lost.settled:
        raise lost
    return found


async def _deleted(write: Callable[[], Awaitable[None]], read: Callable[[], Awaitable[Any]]) -> None:
    async def look() -> bool | None:
        try:
            await read()
        except NotFound:
            return True
        return None

    async def delete() -> bool:
        await write()
        return True

    await _changed(delete, look)


def _new(now: Sequence[_EntityT], before: Sequence[_EntityT]) -> list[_EntityT]:
    known = {item.id for item in before}
    return [item for item in now if item.id not in known]


def _only_if(untouched: bool) -> None:  # noqa: FBT001 - reads as a sentence where it is used
    """Go on to say that nothing was done; anything else than what was there leaves it open who did it.

    Raises:
        _CannotTell: it is not as it was.
    """
    if not untouched:
        raise _CannotTell


def _has(segment: Segment, patch: SegmentPatch) -> bool:
    """Whether `segment` is what `patch` makes of it."""
    held = {field.field_id: [item.model_dump() for item in field.values] for field in segment.custom_fields_values}
    return (
        patch.name in (None, segment.name)
        and patch.color in (None, segment.color)
        and patch.available_products_price_types in (None, segment.available_products_price_types)
        and all(_holds(held.get(field["field_id"], []), field["values"]) for field in patch.custom_fields_values or [])
    )


def _holds(held: list[dict[str, Any]], sent: list[dict[str, Any]] | None) -> bool:
    return len(held) == len(sent or []) and all(
        all(have.get(key) == value for key, value in want.items()) for have, want in zip(held, sent or [], strict=True)
    )


def _check_room(kind: str, held: int, limit: int, wanted: int) -> None:
    if held + wanted > limit:
        raise LimitReached(kind, held, limit, wanted)


def _as_sent(created: CreatedStatus, draft: StatusDraft) -> Status:
    return Status(id=created.id, name=draft.name, sort=draft.sort, color=draft.color or "")
