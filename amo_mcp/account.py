"""One amoCRM account as the server holds it: the client, and the writes made safe.

The answer to a write can be lost. Then the account is looked at: found done is success, surely not done may be tried
again or is said, and only what cannot be told from looking is `OutcomeUnknown`. That is why a creation lists what is
there first: a namesake that was there before is not the new one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import anyio

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, Refused, Unavailable
from amo_mcp.amocrm.models import (
    Account,
    CreatedStatus,
    CustomField,
    Segment,
    SegmentDraft,
    SegmentPatch,
    Status,
    StatusDraft,
    StatusPatch,
)
from amo_mcp.amocrm.palette import MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.recent import Recent

_T = TypeVar("_T")
_CreatedT = TypeVar("_CreatedT", CreatedStatus, Segment)
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


@dataclass(frozen=True)
class Changed:
    """A change that was made, or may have been.

    Attributes:
        kind: what it was made to.
        ids: which ones, as far as they are known.
        comes_or_goes: whether something appeared or went.
    """

    kind: Literal["segment", "status"]
    ids: tuple[int, ...]
    comes_or_goes: bool = False


async def _to_nobody(_: Changed) -> None:
    """Nobody follows the account."""


class AmoAccount:
    """One account: its client, the writes, and what was read a moment ago.

    Every method can raise what the client's methods raise (`amo_mcp.amocrm.errors.AmoError`).

    Attributes:
        client: the API; what is read through it is fresh.
        tell: is told of every change that is made through this account.
    """

    def __init__(self, client: AmoClient, recent: Recent | None = None) -> None:
        self.client = client
        self.tell: Callable[[Changed], Awaitable[None]] = _to_nobody
        self._recent = recent or Recent()

    @property
    def host(self) -> str:
        """The account's host, such as `example.amocrm.ru`."""
        return urlsplit(self.client.root).netloc

    @property
    def known_mode(self) -> str:
        """The account's mode, if it was read a moment ago; else empty."""
        account = self._recent.peek("account")
        return account.customers_mode if isinstance(account, Account) else ""

    async def recent_account(self) -> Account:
        """The account, at most a few seconds old."""
        return await self._recent.get("account", self.client.account)

    async def recent_segments(self) -> list[Segment]:
        """All segments, at most a few seconds old."""
        return await self._recent.get("segments", self.client.segments)

    async def recent_statuses(self) -> list[Status]:
        """All statuses, at most a few seconds old."""
        return await self._recent.get("statuses", self.client.statuses)

    async def recent_fields(self) -> list[CustomField]:
        """The custom fields of segments, at most a few seconds old."""
        return await self._recent.get("fields", self.client.segment_fields)

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
            fits = named.keys() == {draft.name for draft in drafts} and all(
                draft.color in (None, named[draft.name].color) for draft in drafts
            )
            if not len(named) == len(new) == len(drafts) or not fits:
                _only_if(not new)
                return None
            return [CreatedStatus(id=named[draft.name].id) for draft in drafts]

        async with self._telling("status", comes_or_goes=True) as told:
            created = await _created(lambda: self._new_only(self.client.create_statuses(drafts), before), look)
            told += [item.id for item in created]
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

        async def look() -> list[Segment] | None:
            new = _new(await self.client.segments(), before)
            if len(new) == 1 and new[0].name == draft.name and draft.color in (None, new[0].color):
                return new
            _only_if(not new)
            return None

        async with self._telling("segment", comes_or_goes=True) as told:
            [created] = await _created(lambda: self._new_only(self._create_segment(draft), before), look)
            told.append(created.id)
        return created

    async def update_status(self, before: Status, patch: StatusPatch) -> Status:
        """Change a status that is `before` now."""

        async def look() -> Status | None:
            now = await self.client.status(before.id)
            # The account renumbers positions, so that a position tells nothing.
            wanted = patch.model_dump(include={"name", "color"}, exclude_none=True)
            if now != before and wanted and now.model_dump(include=set(wanted)) == wanted:
                return now
            _only_if(now == before)
            return None

        async with self._telling("status", before.id):
            return await _changed(lambda: self.client.update_status(before.id, patch), look)

    async def update_segment(self, before: Segment, patch: SegmentPatch) -> Segment:
        """Change a segment that is `before` now."""

        async def look() -> Segment | None:
            now = await self.client.segment(before.id)
            if _has(now, patch):
                return now
            _only_if(settings_of(now) == settings_of(before))
            return None

        async with self._telling("segment", before.id):
            return await _changed(lambda: self.client.update_segment(before.id, patch), look)

    async def delete_status(self, status_id: int) -> None:
        """Delete a status."""
        async with self._telling("status", status_id, comes_or_goes=True):
            await _deleted(lambda: self.client.delete_status(status_id), lambda: self.client.status(status_id))

    async def delete_segment(self, segment_id: int) -> None:
        """Delete a segment."""
        async with self._telling("segment", segment_id, comes_or_goes=True):
            await _deleted(lambda: self.client.delete_segment(segment_id), lambda: self.client.segment(segment_id))

    async def _create_segment(self, draft: SegmentDraft) -> list[Segment]:
        return [await self.client.create_segment(draft)]

    async def _new_only(
        self, answer: Awaitable[list[_CreatedT]], before: Sequence[Status | Segment]
    ) -> list[_CreatedT]:
        """What was created; an answer about what was there before does not say what was done."""
        created = await answer
        if {item.id for item in created} & {item.id for item in before}:
            raise OutcomeUnknown("answered with what was there before")
        return created

    @asynccontextmanager
    async def _telling(
        self, kind: Literal["segment", "status"], *ids: int, comes_or_goes: bool = False
    ) -> AsyncIterator[list[int]]:
        """Around a write: whoever follows is told when it was made, or may have been."""
        touched = [*ids]
        try:
            yield touched
        except (Refused, Unavailable):
            raise
        except BaseException:
            self._recent.forget()
            with anyio.CancelScope(shield=True):
                await self.tell(Changed(kind, tuple(touched), comes_or_goes))
            raise
        self._recent.forget()
        await self.tell(Changed(kind, tuple(touched), comes_or_goes))


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
    return Status.model_validate({**draft.wire(), "request_id": None, "id": created.id})
