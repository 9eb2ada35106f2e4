"""One amoCRM account as the server holds it: the client, the journal, the writes made safe, and short-lived reads.

Every write is recorded before it is sent, and once more when it is known what came of it. Reads that are shared by many
are at most a few seconds old.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel

from amo_mcp.accounts.cache import ReadCache
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, OutcomeUnknown, Refused, Unavailable
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Account, CustomField, Segment, Status
from amo_mcp.amocrm.ratelimit import OnWait
from amo_mcp.changes.delivery import batches, send
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.outcome import look
from amo_mcp.changes.steps import LIMITS, Change, Entity, Kind, Step, exceeds_limit, status_of

TellProgress = Callable[[float, float, str], Awaitable[None]]

tell_progress: ContextVar[TellProgress | None] = ContextVar("tell_progress", default=None)
"""Who is told, within the current call, how far it is: steps done, steps in all, and what comes next."""


_PLURAL: Mapping[Kind, str] = {"segment": "segments", "status": "statuses"}


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
        kind: what it was made to; "journal" when a change was recorded to its end.
        ids: which ones, as far as they are known.
        comes_or_goes: whether something appeared or went.
    """

    kind: Kind | Literal["journal"]
    ids: tuple[int, ...] = ()
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
        self, client: AmoClient, journal: Journal, recent: ReadCache | None = None, *, per_second: int = 7
    ) -> None:
        self.client = client
        self.per_second = per_second
        self.journal = journal
        self.tell: Callable[[Changed], Awaitable[None]] = _to_nobody
        self._recent = recent or ReadCache()

    def reporting(self, on_wait: OnWait) -> "AmoAccount":
        """The same account for one call, which is told when its requests have to wait."""
        account = copy(self)
        account.client = self.client.reporting(on_wait)
        return account

    @property
    def host(self) -> str:
        """The account's host, such as `example.amocrm.ru`."""
        return urlsplit(self.client.base_url).netloc

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

    async def recent(self, kind: Kind) -> Sequence[Entity]:
        """All things of a kind, at most a few seconds old."""
        return await self.recent_segments() if kind == "segment" else await self.recent_statuses()

    def invalidate(self) -> None:
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
        self.invalidate()
        return await self._change("create_statuses", [Step("create", "status", sent=draft) for draft in drafts])

    async def create_segment(self, draft: SegmentDraft) -> Change:
        """Create a segment.

        Raises:
            LimitReached: the account has 100 segments already.
        """
        self.invalidate()
        return await self._change("create_segment", [Step("create", "segment", sent=draft)])

    async def update(self, before: Entity, patch: SegmentPatch | StatusPatch) -> Change:
        """Change a segment or a status that is `before` now."""
        kind = _kind(before)
        return await self._change(f"update_{kind}", [Step("update", kind, before=before, sent=patch)])

    async def delete(self, before: Entity) -> Change:
        """Delete a segment or a status that is `before` now."""
        kind = _kind(before)
        return await self._change(f"delete_{kind}", [Step("delete", kind, before=before)])

    async def carry_out(
        self, tool: str, steps: Sequence[Step], *, undoes: str | None = None, plan_id: str | None = None
    ) -> tuple[Change, AmoError | None]:
        """Record the steps, then do one after the other; the first that fails is the last.

        What was read a moment ago tells what was there before creations. A cancellation stops it between two steps:
        what was sent is brought to its end and recorded.

        Args:
            tool: the tool that does it.
            steps: what is to be done, in order.
            undoes: the change that the steps take back.
            plan_id: the plan that is used up, unless nothing comes of it.

        Returns:
            The change with what came of each step, and why it stopped, if it did.

        Raises:
            LimitReached: there is no room for what the steps create.
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: what the steps take back was taken back already.
            JournalUnusable: the steps cannot be recorded.
        """
        await self.settle()
        known = await self.known(steps)
        steps = [replace(step, known=known[step.kind]) if step.action == "create" else step for step in steps]
        first, *others = batches(steps)
        now = [*(step.came("intent") for step in first), *steps[len(first) :]]
        change_id = await self.journal.begin(tool, now, undoes=undoes, plan_id=plan_id)
        failure: AmoError | None = None
        place = 0
        try:
            for batch in (first, *others):
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
            await self.journal.note(change_id, {}, status_of(now))
            with anyio.CancelScope(shield=True):
                await self.tell(Changed("journal"))
        change = await self.journal.change(change_id)
        assert change is not None  # noqa: S101 - it was recorded above
        return change, failure

    async def known(self, steps: Sequence[Step]) -> dict[Kind, tuple[int, ...]]:
        """The ids of what is there of the kinds that the steps create, as they were read a moment ago.

        Raises:
            LimitReached: there is no room for what the steps create.
        """
        known: dict[Kind, tuple[int, ...]] = {}
        for kind in sorted({step.kind for step in steps if step.action == "create"}):
            known[kind] = tuple(thing.id for thing in await self.recent(kind))
            if exceeds_limit(kind, len(known[kind]), steps):
                wanted = len([step for step in steps if (step.kind, step.action) == (kind, "create")])
                raise LimitReached(_PLURAL[kind], len(known[kind]), LIMITS[kind], wanted)
        return known

    async def _one_batch(self, change_id: str, now: list[Step], here: range) -> AmoError | None:
        """Do the steps that go in one request, and record what came of them."""
        made_before = tuple(step.after.id for step in now if step.action == "create" and step.after is not None)
        batch = now[here.start : here.stop]
        if batch[0].action == "create":
            batch = [replace(step, known=(*step.known, *made_before)) for step in batch]
        if here.start:
            await self._note(change_id, now, here, [step.came("intent") for step in batch])
        failure: AmoError | None = None
        try:
            made = await send(self.client, batch)
            came = [step.came("done", after) for step, after in zip(batch, made, strict=True)]
        except (Refused, Unavailable) as error:
            failure = error
            came = [step.came("failed") for step in batch]
        except OutcomeUnknown as error:
            failure = error
            came = [step.came("unknown") for step in batch]
        finally:
            self.invalidate()
        await self._note(change_id, now, here, came)
        if came[0].outcome != "failed":
            ids = tuple(step.target_id for step in came if step.target_id is not None)
            await self.tell(Changed(came[0].kind, ids, comes_or_goes=came[0].action != "update"))
        return failure

    async def _note(self, change_id: str, now: list[Step], here: range, steps: Sequence[Step]) -> None:
        now[here.start : here.stop] = steps
        await self.journal.note(change_id, dict(zip(here, steps, strict=True)))

    async def settle(self) -> None:
        """Find out what came of the changes that were left unfinished, as when a process died.

        Before what was sent has come to rest, it may still arrive: only what was made is told until then.
        """
        for left in await self.journal.unsettled():
            found: dict[int, Step] = {}
            place = 0
            for batch in batches(left.change.steps):
                if batch[0].outcome == "intent":
                    found |= enumerate(await self._settled(batch, at_rest=left.at_rest), place)
                place += len(batch)
            await self.journal.settle(left.change.id, found)
            self.invalidate()

    async def _settled(self, batch: Sequence[Step], *, at_rest: bool) -> Sequence[Step]:
        """The steps with what came of them; none when that is still to be found out."""
        try:
            found = await look(self.client, batch)
        except (Refused, Unavailable):
            return []
        except AmoError:
            return [step.came("unknown") for step in batch] if at_rest else []
        if found is not None:
            return [step.came("done", after) for step, after in zip(batch, found, strict=True)]
        return [step.came("failed") for step in batch] if at_rest else []

    async def _change(self, tool: str, steps: Sequence[Step]) -> Change:
        change, failure = await self.carry_out(tool, steps)
        if failure is not None:
            raise failure
        return change


async def _say_progress(done: int, total: int, what: str) -> None:
    tell = tell_progress.get()
    if tell is not None and total > 1:
        await tell(done, total, what)


def as_sent(status: Status) -> bool:
    """Whether a created status could not be read back, and is as it was sent."""
    return "is_default" not in status.model_fields_set


def _kind(thing: Entity) -> Kind:
    return "segment" if isinstance(thing, Segment) else "status"
