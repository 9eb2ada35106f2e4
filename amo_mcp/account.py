"""One amoCRM account as the server holds it: the client, the journal, the writes made safe, and short-lived reads.

Every write is recorded before it is sent. Its answer can be lost; then the account is looked at: found done is success,
surely not done may be tried again or is said, and only what cannot be told from looking is `OutcomeUnknown`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Refused, Unavailable
from amo_mcp.amocrm.models import (
    Account,
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
from amo_mcp.reorganize.journal import Journal
from amo_mcp.reorganize.outcome import look
from amo_mcp.reorganize.steps import Change, Entity, Kind, Step, status_of

TellProgress = Callable[[float, float, str], Awaitable[None]]

tell_progress: ContextVar[TellProgress | None] = ContextVar("tell_progress", default=None)
"""Who is told, within the current call, how far it is: steps done, steps in all, and what comes next."""


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

    kind: Kind
    ids: tuple[int, ...]
    comes_or_goes: bool = False


async def _to_nobody(_: Changed) -> None:
    """Nobody follows the account."""


class AmoAccount:
    """One account: its client, the writes, and what was read a moment ago.

    Every method can raise what the client's methods raise (`amo_mcp.amocrm.errors.AmoError`).

    Attributes:
        client: the API; what is read through it is fresh.
        journal: every change that was made through this server.
        per_second: the requests a second that the account is paced at.
        tell: is told of every change that is made through this account.
    """

    def __init__(
        self, client: AmoClient, journal: Journal, recent: Recent | None = None, *, per_second: int = 7
    ) -> None:
        self.client = client
        self.per_second = per_second
        self.journal = journal
        self.tell: Callable[[Changed], Awaitable[None]] = _to_nobody
        self._recent = recent or Recent()

    @property
    def host(self) -> str:
        """The account's host, such as `example.amocrm.ru`."""
        return urlsplit(self.client.root).netloc

    async def recent_account(self) -> Account:
        """The account, at most a few seconds old."""
        return await self._recent.get("account", self.client.account)

    async def recent_segments(self) -> list[Segment]:
        """All segments, at most a few seconds old."""
        return await self._recent.get("segments", self.client.segments)

    async def recent_statuses(self) -> list[Status]:
        """All statuses, at most a few seconds old."""
        return await self._recent.get("statuses", self.client.statuses)

    async def recent(self, kind: Kind) -> Sequence[Entity]:
        """All things of a kind, at most a few seconds old."""
        return await self.recent_segments() if kind == "segment" else await self.recent_statuses()

    def forget_recent(self) -> None:
        """Let what is read next be fresh."""
        self._recent.forget()

    async def recent_fields(self) -> list[CustomField]:
        """The custom fields of segments, at most a few seconds old."""
        return await self._recent.get("fields", self.client.segment_fields)

    async def create_statuses(self, drafts: Sequence[StatusDraft]) -> Change:
        """Create statuses, in one request.

        Raises:
            LimitReached: the account would have more than 30 statuses.
        """
        known = tuple(status.id for status in await self.client.statuses())
        _check_room("statuses", len(known), MAX_STATUSES, len(drafts))
        steps = [Step("create", "status", sent=draft, known=known) for draft in drafts]
        return await self._change("create_statuses", steps)

    async def create_segment(self, draft: SegmentDraft) -> Change:
        """Create a segment.

        Raises:
            LimitReached: the account has 100 segments already.
        """
        known = tuple(segment.id for segment in await self.client.segments())
        _check_room("segments", len(known), MAX_SEGMENTS, 1)
        return await self._change("create_segment", [Step("create", "segment", sent=draft, known=known)])

    async def update(self, before: Entity, patch: SegmentPatch | StatusPatch) -> Change:
        """Change a segment or a status that is `before` now."""
        kind = _kind(before)
        return await self._change(f"update_{kind}", [Step("update", kind, before=before, sent=patch)])

    async def delete(self, before: Entity) -> Change:
        """Delete a segment or a status that is `before` now."""
        kind = _kind(before)
        return await self._change(f"delete_{kind}", [Step("delete", kind, before=before)])

    async def carry_out(
        self, tool: str, steps: Sequence[Step], *, undoes: str | None = None
    ) -> tuple[Change, AmoError | None]:
        """Record the steps, then do one after the other; the first that fails is the last.

        A cancellation stops it between two steps: what was sent is brought to its end and recorded.

        Returns:
            The change with what came of each step, and why it stopped, if it did.
        """
        await self.settle()
        batches = [*_batches(steps)]
        now = [*(step.came("intent") for step in batches[0]), *steps[len(batches[0]) :]]
        change_id = await self.journal.begin(tool, now, undoes=undoes)
        failure: AmoError | None = None
        place = 0
        try:
            for batch in batches:
                await _say_progress(place, len(steps), batch[0].summary)
                with anyio.CancelScope(shield=True):
                    failure = await self._one_batch(change_id, now, range(place, place + len(batch)))
                if failure is not None:
                    break
                place += len(batch)
                await anyio.lowlevel.checkpoint()
            else:
                await _say_progress(place, len(steps), "Done")
        finally:
            await self.journal.set_status(change_id, status_of(tuple(now)))
        change = await self.journal.change(change_id)
        assert change is not None  # noqa: S101 - it was recorded above
        return change, failure

    async def _one_batch(self, change_id: str, now: list[Step], here: range) -> AmoError | None:
        """Do the steps that go in one request, and record what came of them."""
        made_before = tuple(step.after.id for step in now if step.action == "create" and step.after is not None)
        batch = [replace(step, known=(*step.known, *made_before)) for step in now[here.start : here.stop]]
        if here.start:
            await self._note(change_id, now, here, [step.came("intent") for step in batch])
        failure: AmoError | None = None
        try:
            made = await self._do(batch)
            came = [step.came("done", after) for step, after in zip(batch, made, strict=True)]
        except (Refused, Unavailable) as error:
            failure = error
            came = [step.came("failed") for step in batch]
        except OutcomeUnknown as error:
            failure = error
            came = [step.came("unknown") for step in batch]
        await self._note(change_id, now, here, came)
        return failure

    async def settle(self) -> None:
        """Find out what came of the changes that a process left unfinished when it died."""
        for change in await self.journal.unsettled():
            steps = list(change.steps)
            for position, step in enumerate(steps):
                if step.outcome == "intent":
                    steps[position] = await self._settled(step)
            if any(step.outcome == "intent" for step in steps):
                continue
            await self.journal.note(change.id, dict(enumerate(steps)), status_of(tuple(steps)))
            self._recent.forget()

    async def _settled(self, step: Step) -> Step:
        try:
            found = await look(self.client, [step])
        except (Refused, Unavailable):
            return step
        except AmoError:
            return step.came("unknown")
        return step.came("failed") if found is None else step.came("done", found[0])

    async def _change(self, tool: str, steps: Sequence[Step]) -> Change:
        change, failure = await self.carry_out(tool, steps)
        if failure is not None:
            raise failure
        return change

    async def _note(self, change_id: str, now: list[Step], here: range, steps: Sequence[Step]) -> None:
        now[here.start : here.stop] = steps
        await self.journal.note(change_id, dict(zip(here, steps, strict=True)))

    async def _do(self, steps: Sequence[Step]) -> Sequence[Entity | None]:
        """Send the steps, which go in one request, and see what came of them.

        A creation that was surely not made is tried once more.
        """
        tries = 2 if steps[0].action == "create" else 1
        async with self._telling(steps) as touched:
            while True:
                tries -= 1
                try:
                    made = await self._send(steps)
                except OutcomeUnknown as lost:
                    found = await self._looked(lost, steps)
                    if found is None and tries:
                        continue
                    if found is None:
                        raise Unavailable(lost.reason) from lost
                    made = found
                touched += [thing.id for thing in made if thing is not None and thing.id not in touched]
                return made

    async def _looked(self, lost: OutcomeUnknown, steps: Sequence[Step]) -> Sequence[Entity | None] | None:
        """What came of a lost write; None when it was surely not made.

        Raises:
            OutcomeUnknown: looking does not tell.
        """
        try:
            found = await look(self.client, steps)
        except AmoError as error:
            raise lost from error
        if found is None and not lost.settled:
            raise lost
        return found

    async def _send(self, steps: Sequence[Step]) -> Sequence[Entity | None]:
        client, step = self.client, steps[0]
        match step.before, step.sent:
            case None, SegmentDraft():
                return [await client.create_segment(step.sent)]
            case None, _:
                return await self._create_statuses([item.sent for item in steps if isinstance(item.sent, StatusDraft)])
            case Segment(), None:
                await client.delete_segment(step.before.id)
            case Status(), None:
                await client.delete_status(step.before.id)
            case Segment(), SegmentPatch():
                return [await client.update_segment(step.before.id, step.sent)]
            case Status(), StatusPatch():
                return [await client.update_status(step.before.id, step.sent)]
        return [None]

    async def _create_statuses(self, drafts: Sequence[StatusDraft]) -> Sequence[Status]:
        """Create statuses and read them back, since the API answers only ids; as they were sent when that fails."""
        created = await self.client.create_statuses(drafts)
        try:
            listed = {status.id: status for status in await self.client.statuses()}
        except AmoError:
            listed = {}
        return [
            listed.get(item.id) or Status.model_validate({**draft.wire(), "request_id": None, "id": item.id})
            for item, draft in zip(created, drafts, strict=True)
        ]

    @asynccontextmanager
    async def _telling(self, steps: Sequence[Step]) -> AsyncIterator[list[int]]:
        """Around a write: whoever follows is told when it was made, or may have been."""
        touched = [step.before.id for step in steps if step.before is not None]
        try:
            yield touched
        except (Refused, Unavailable):
            raise
        except BaseException:
            await self._tell(steps[0], touched)
            raise
        await self._tell(steps[0], touched)

    async def _tell(self, step: Step, touched: Sequence[int]) -> None:
        self._recent.forget()
        with anyio.CancelScope(shield=True):
            await self.tell(Changed(step.kind, tuple(touched), comes_or_goes=step.action != "update"))


async def _say_progress(done: int, total: int, what: str) -> None:
    tell = tell_progress.get()
    if tell is not None and total > 1:
        await tell(done, total, what)


def as_sent(status: Status) -> bool:
    """Whether a created status could not be read back, and is as it was sent."""
    return "is_default" not in status.model_fields_set


def _kind(thing: Entity) -> Kind:
    return "segment" if isinstance(thing, Segment) else "status"


def _batches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """What goes in one request: creations of statuses that follow each other, else one step."""
    batch: list[Step] = []
    for step in steps:
        together = (step.kind, step.action) == ("status", "create")
        if batch and not (together and (batch[-1].kind, batch[-1].action) == ("status", "create")):
            yield batch
            batch = []
        batch.append(step)
    yield batch


def _check_room(kind: str, held: int, limit: int, wanted: int) -> None:
    if held + wanted > limit:
        raise LimitReached(kind, held, limit, wanted)
