"""What the executor promises: the order of recording, sending and telling, and what a change stands on."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from typing_extensions import override

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import OutcomeUnknown, Rejected, Unavailable
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.events import ChangeEvent
from amo_mcp.changes.execution import Execution, LimitReached, PartlyDone, Stopped
from amo_mcp.changes.executor import Executor, check_room
from amo_mcp.changes.journal import JournalUnusable, UndoneMeanwhile
from amo_mcp.changes.leases import NOBODY, Asked, Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import Plan, PlanUsed
from amo_mcp.changes.positions import Place, places_of
from amo_mcp.changes.records import ChangeRecord, ChangeStatus
from amo_mcp.changes.recovery import recover
from amo_mcp.changes.snapshot import Snapshot, TargetChanged
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.language import Message
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.sqlite.database import MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore
from tests.clock import Clock
from tests.conftest import session_at
from tests.journeys.lives import Interruption
from tests.storage.examples import change_of

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
IDS = (51, 54, 66)


class LoggingJournal(SqliteJournal):
    """A journal that logs what is recorded; it may fail, or take its time."""

    def __init__(self, database: MemoryDatabase, clock: Clock, log: list[str]) -> None:
        super().__init__(database, clock=clock)
        self.log = log
        self.fails_at: str | None = None

    @override
    async def begin(self, tool: str, change: PendingChange, asked: Asked = NOBODY) -> Lease:
        entry = "begin " + " ".join(step.outcome for step in change.steps)
        await self._reach(entry)
        lease = await super().begin(tool, change, asked)
        self.log.append(entry)
        return lease

    @override
    async def note(
        self,
        lease: Lease,
        steps: Mapping[int, Step],
        status: ChangeStatus | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> bool:
        outcomes = [f"{position} {step.outcome}" for position, step in steps.items()]
        entry = "note " + " ".join(outcomes or [str(status)])
        await self._reach(entry)
        is_to_stop = await super().note(lease, steps, status, reason)
        self.log.append(entry)
        return is_to_stop

    async def _reach(self, entry: str) -> None:
        await anyio.lowlevel.checkpoint()
        if entry == self.fails_at:
            raise JournalUnusable("the disk is full", begun=entry.startswith("note"))


@dataclass
class Workshop:
    """An executor on a sandbox, and a log of everything that it does, in order.

    Attributes:
        seconds: how long a request takes.
        on_write: is called after the effect of every write and before its answer, with how many there have been.
    """

    sandbox: Sandbox
    log: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    monotonic: Clock = field(default_factory=lambda: Clock(0.0))
    seconds: float = 0.0
    on_write: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        database = MemoryDatabase()
        self.plans = SqlitePlanStore(database, clock=self.clock)
        self.journal = LoggingJournal(database, self.clock, self.log)
        self.events = MemoryChangeEvents()
        self.events.subscribe(self._listen)
        self.wire = Interruption(self._logged, on_request=self._pass_time, on_write=self._interrupt)
        self.http = HttpTransport(timeout=20, app=self.wire)
        self.client = AmoClient(session_at("http://127.0.0.1", self.http))
        self.executor = Executor(self.client, self.journal, self.events, self._report, self.monotonic)

    async def execute(self, tool: str, steps: Sequence[Step], **more: Any) -> Execution:
        return await self.executor.execute(tool, PendingChange(tuple(steps), **more))

    async def segment(self, segment_id: int) -> Segment:
        """A segment as it is now."""
        return Segment.model_validate(self.sandbox.account.segments[segment_id])

    async def newest(self) -> ChangeRecord:
        """The newest change in the journal."""
        [(_, record)] = await self.journal.changes(1)
        return record

    def writes(self) -> list[str]:
        """What was sent to change something."""
        return [f"{item.method} {item.path}" for item in self.sandbox.requests if item.method != "GET"]

    async def _logged(self, scope: Any, receive: Any, send: Any) -> None:
        self.log.append(f"{scope['method']} {scope['path'].removeprefix('/api/v4/customers/')}")
        await self.sandbox.app(scope, receive, send)

    def _pass_time(self) -> None:
        self.monotonic.now += self.seconds

    def _interrupt(self, _: str) -> None:
        self.on_write(self.wire.writes)

    async def _listen(self, event: ChangeEvent) -> None:
        recorded = [step.outcome for step in (await self.newest()).steps]
        ids = " ".join(map(str, event.ids))
        self.log.append(f"event {event.kind} {ids}".strip() + f", recorded: {' '.join(recorded)}")

    async def _report(self, done: float, total: float | None, message: Message) -> None:
        self.log.append(f"progress {done:g}/{total:g} {message}")


@asynccontextmanager
async def workshop(sandbox: Sandbox) -> AsyncIterator[Workshop]:
    made = Workshop(sandbox)
    try:
        yield made
    finally:
        await made.http.aclose()


async def rename(shop: Workshop, segment_id: int, name: str) -> Update:
    return Update(await shop.segment(segment_id), SegmentPatch(name=name))


async def test_a_change_of_one_step_is_read_recorded_sent_recorded_and_only_then_told_of(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        execution = await shop.execute("delete_segment", [Delete(await shop.segment(51))])
    assert shop.log == [
        "GET segments/51",
        "begin pending",
        "DELETE segments/51",
        "note 0 done",
        "event segment 51, recorded: done",
        "note done",
        "event journal, recorded: done",
    ]
    assert execution.failure is None
    assert execution.record == await shop.newest()
    assert execution.done == [*execution.record.steps]


async def test_every_later_step_is_pending_in_the_journal_before_it_is_sent(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        steps: list[Step] = [
            await rename(shop, 51, "А"),
            Create(SegmentDraft(name="Б")),
            Delete(await shop.segment(66)),
        ]
        await shop.execute("apply_plan", steps)
    assert shop.log == [
        "GET segments",
        "progress 0/3 Change segment «VIP» (id 51)",
        "begin pending planned planned",
        "PATCH segments/51",
        "note 0 done",
        "event segment 51, recorded: done planned planned",
        "progress 1/3 Create segment «Б»",
        "note 1 pending",
        "POST segments",
        "note 1 done",
        "event segment 96, recorded: done done planned",
        "progress 2/3 Delete segment «новички» (id 66)",
        "GET segments",
        "note 2 pending",
        "DELETE segments/66",
        "note 2 done",
        "event segment 66, recorded: done done done",
        "progress 3/3 Done",
        "note done",
        "event journal, recorded: done done done",
    ]


async def test_statuses_that_are_created_in_a_row_are_recorded_and_sent_together(periodicity: Sandbox) -> None:
    async with workshop(periodicity) as shop:
        steps = [Create(StatusDraft(name=name, sort=2)) for name in "АБВ"]
        execution = await shop.execute("create_statuses", steps)
    ids = [step.target_id for step in execution.done]
    assert shop.log == [
        "GET statuses",
        "progress 0/3 Create status «А»",
        "begin pending pending pending",
        "POST statuses",
        "GET statuses",
        "note 0 done 1 done 2 done",
        f"event status {' '.join(map(str, ids))}, recorded: done done done",
        "progress 3/3 Done",
        "note done",
        "event journal, recorded: done done done",
    ]


async def test_the_recorded_entity_is_the_one_that_was_there_just_before_the_write(sandbox: Sandbox) -> None:
    def edit(write: int) -> None:
        if write == 1:
            sandbox.account.segments[66] |= {"customers_count": 0, "updated_at": 1_750_000_000}

    sandbox.account.segments[66]["customers_count"] = 7
    async with workshop(sandbox) as shop:
        shop.on_write = edit
        first, second = await rename(shop, 51, "А"), Delete(await shop.segment(66))
        sandbox.account.segments[51] |= {"customers_count": 1, "updated_at": 1_750_000_000}
        now = await shop.segment(51)
        await shop.execute("apply_plan", [first, second])
        changed, deleted = (await shop.newest()).steps
    assert isinstance(changed, Update)
    assert isinstance(deleted, Delete)
    assert changed.before == now
    assert (deleted.before.id, getattr(deleted.before, "customers_count", None)) == (66, 0)


async def test_a_creation_knows_every_entity_that_was_there_before_it_those_of_earlier_steps_included(
    sandbox: Sandbox,
) -> None:
    before = {*sandbox.account.segments}
    async with workshop(sandbox) as shop:
        await shop.execute("apply_plan", [Create(SegmentDraft(name=name)) for name in "АБ"])
        first, second = (await shop.newest()).steps
    assert isinstance(first, Create)
    assert isinstance(second, Create)
    assert {*first.existing_ids} == before
    assert {*second.existing_ids} == before | {first.target_id}


async def nothing_happens(shop: Workshop, steps: Sequence[Step], error: type[Exception], **more: Any) -> Exception:
    """Execute steps that are refused: nothing is recorded, nothing is sent, and nobody is told."""
    count = len(await shop.journal.changes(100))
    with pytest.raises(error) as caught:
        await shop.execute("tool", steps, **more)
    assert len(await shop.journal.changes(100)) == count
    assert [entry for entry in shop.log if not entry.startswith("GET")] == []
    return caught.value


async def test_where_any_target_is_not_what_was_shown_nothing_is_recorded_or_sent(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        steps: list[Step] = [await rename(shop, 51, "А"), *[Delete(await shop.segment(n)) for n in (66, 54)]]
        sandbox.account.segments[66]["customers_count"] = 9
        del sandbox.account.segments[54]
        error = await nothing_happens(shop, steps, TargetChanged)
    assert isinstance(error, TargetChanged)
    assert [(item.before.id, item.now is None, item.settings) for item in error.differences] == [
        (66, False, ("customers_count",)),
        (54, True, ()),
    ]


async def test_where_a_custom_field_is_defined_otherwise_than_when_it_was_shown_nothing_is_sent(
    sandbox: Sandbox,
) -> None:
    async with workshop(sandbox) as shop:
        fields = [field for field in await shop.client.segment_fields() if field.id == 272429]
        patch = SegmentPatch(custom_fields_values=[{"field_id": 272429, "values": [{"value": 20}]}])
        steps = [Update(await shop.segment(51), patch)]
        sandbox.account.fields[272429]["name"] = "Скидка, ₽"
        error = await nothing_happens(shop, steps, TargetChanged, fields=fields)
    assert str(error) == "The definition of a custom field has changed."


async def test_where_there_is_no_room_for_what_is_created_nothing_is_sent(sandbox: Sandbox) -> None:
    model = sandbox.account.segments[51]
    sandbox.account.segments |= {number: {**model, "id": number} for number in range(1000, 1084)}
    async with workshop(sandbox) as shop:
        create, delete = [Create(SegmentDraft(name=name)) for name in "АБ"], Delete(await shop.segment(66))
        error = await nothing_happens(shop, [*create, delete], LimitReached)
        assert isinstance(error, LimitReached)
        assert (error.kind, error.count, error.wanted) == ("segment", 99, 2)
        assert (await shop.execute("tool", [delete, *create])).failure is None


async def test_an_account_that_cannot_be_read_before_the_first_step_is_left_alone(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        step = Delete(await shop.segment(51))
        sandbox.faults.add(Fault("GET", times=0, status=503))
        await nothing_happens(shop, [step], Unavailable)


async def test_a_plan_that_was_used_up_and_a_change_that_was_undone_are_not_carried_out(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        step = Create(SegmentDraft(name="А"))
        await shop.plans.keep(Plan("p", shop.clock.now, "me", (step,)))
        assert (await shop.execute("apply_plan", [step], plan_id="p")).failure is None
        record = await shop.newest()
        taken_back = [Delete(await shop.segment(96), undoes=0)]
        assert (await shop.execute("undo_change", taken_back, undoes=record.id)).failure is None
        again = [Delete(await shop.segment(66), undoes=0)]
        shop.log.clear()
        await nothing_happens(shop, [step], PlanUsed, plan_id="p")
        shop.log.clear()
        await nothing_happens(shop, again, UndoneMeanwhile, undoes=record.id)


async def test_a_change_that_cannot_be_recorded_is_not_sent(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        shop.journal.fails_at = "begin pending"
        await nothing_happens(shop, [Delete(await shop.segment(51))], JournalUnusable)


@pytest.mark.parametrize(
    ("fails_at", "changed"), [("note 0 done", [51]), ("note 1 pending", [51]), ("note 1 done", [51, 54])]
)
async def test_when_the_journal_fails_in_the_middle_nothing_more_is_sent_and_listeners_hear_of_what_was(
    fails_at: str, changed: list[int], sandbox: Sandbox
) -> None:
    async with workshop(sandbox) as shop:
        shop.journal.fails_at = fails_at
        steps = [await rename(shop, segment_id, "А") for segment_id in (51, 54, 66)]
        execution = await shop.execute("apply_plan", steps)
    assert isinstance(execution.failure, JournalUnusable)
    assert [step.outcome for step in execution.record.steps] == ["done" if n in changed else "planned" for n in IDS]
    assert shop.writes() == [f"PATCH {SEGMENTS}/{segment_id}" for segment_id in changed]
    events = [entry.partition(",")[0] for entry in shop.log if entry.startswith("event")]
    assert events == [*(f"event segment {segment_id}" for segment_id in changed), "event journal"]


FAILURES: list[tuple[Fault, type[Exception], str]] = [
    (Fault("PATCH", skip=1, status=400), Rejected, "failed"),
    (Fault("PATCH", skip=1, drop="before", times=4), Unavailable, "failed"),
    (Fault("PATCH", skip=1, status=504, times=4), OutcomeUnknown, "unknown"),
]


@pytest.mark.parametrize(("fault", "error", "outcome"), FAILURES)
async def test_a_step_that_fails_is_the_last_and_says_why(
    fault: Fault, error: type[Exception], outcome: str, sandbox: Sandbox
) -> None:
    async with workshop(sandbox) as shop:
        sandbox.faults.add(fault)
        steps = [await rename(shop, segment_id, "А") for segment_id in (51, 54, 66)]
        execution = await shop.execute("apply_plan", steps)
    assert isinstance(execution.failure, error)
    assert [step.outcome for step in execution.record.steps] == ["done", outcome, "planned"]
    assert execution.record == await shop.newest()
    assert [step.target_id for step in execution.done] == [51]
    # What surely was not made is no news; what may have been made is.
    assert [entry for entry in shop.log if entry.startswith("event segment")] == [
        "event segment 51, recorded: done planned planned",
        *(["event segment 54, recorded: done unknown planned"] if outcome == "unknown" else []),
    ]


@pytest.mark.parametrize(("fault", "error", "outcome"), FAILURES)
async def test_a_change_of_which_no_step_is_done_raises_why_and_is_recorded(
    fault: Fault, error: type[Exception], outcome: str, sandbox: Sandbox
) -> None:
    async with workshop(sandbox) as shop:
        fault.skip = 0
        sandbox.faults.add(fault)
        steps = (await rename(shop, 51, "А"), await rename(shop, 54, "А"))
        await shop.plans.keep(Plan("p", shop.clock.now, "me", steps))
        with pytest.raises(PartlyDone if outcome == "unknown" else error) as caught:
            await shop.execute("apply_plan", steps, plan_id="p")
        assert isinstance(caught.value.failure if isinstance(caught.value, PartlyDone) else caught.value, error)
        record = await shop.newest()
        can_be_applied_again = await shop.plans.plan("p", "me") is not None
    assert [step.outcome for step in record.steps] == [outcome, "planned"]
    assert record.status == ("failed" if outcome == "failed" else "interrupted")
    assert can_be_applied_again == (outcome == "failed")


async def test_a_target_that_changes_between_two_steps_stops_the_change_before_it_is_recorded_as_pending(
    sandbox: Sandbox,
) -> None:
    async with workshop(sandbox) as shop:
        shop.seconds, shop.on_write = 2.1, lambda _: sandbox.account.segments[66].update(name="Чужое")
        execution = await shop.execute("plan", [await rename(shop, n, "А") for n in (51, 66)])
    assert isinstance(execution.failure, TargetChanged)
    assert [item.settings for item in execution.failure.differences] == [("name",)]
    assert shop.log[-4:] == [
        "progress 1/2 Change segment «новички» (id 66)",
        "GET segments",
        "note interrupted",
        "event journal, recorded: done planned",
    ]


@pytest.mark.requirement("CONFIRM-11")
async def test_of_two_changes_of_one_target_at_once_the_second_sees_what_the_first_did(sandbox: Sandbox) -> None:
    outcomes: list[object] = []

    async def execute(shop: Workshop, step: Step) -> None:
        try:
            outcomes.append((await shop.execute("update_segment", [step])).failure)
        except TargetChanged as error:
            outcomes.append([difference.settings for difference in error.differences])

    async with workshop(sandbox) as shop, anyio.create_task_group() as group:
        one, other = [await rename(shop, 51, name) for name in ("А", "Б")]
        elsewhere = await rename(shop, 54, "В")
        for step in (one, other, elsewhere):
            group.start_soon(execute, shop, step)
    assert sorted(outcomes, key=str) == [None, None, [("name",)]]
    assert sandbox.account.segments[51]["name"] in ("А", "Б")
    assert sorted(shop.writes()) == [f"PATCH {SEGMENTS}/51", f"PATCH {SEGMENTS}/54"]


async def test_changes_of_the_same_targets_in_another_order_do_not_wait_for_each_other_for_ever(
    sandbox: Sandbox,
) -> None:
    async with workshop(sandbox) as shop:
        steps = [await rename(shop, n, "А") for n in IDS]
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for ordered in (steps, steps[::-1]):
                    group.start_soon(_until_it_stops, shop, ordered)
    assert [segment["name"] for n, segment in sandbox.account.segments.items() if n in IDS] == ["А"] * 3
    assert len(shop.writes()) == 3


async def _until_it_stops(shop: Workshop, steps: Sequence[Step]) -> None:
    with suppress(TargetChanged):
        await shop.execute("apply_plan", steps)


async def test_a_cancellation_lets_the_step_that_was_sent_come_to_its_end_and_stops_before_the_next(
    sandbox: Sandbox,
) -> None:
    async with workshop(sandbox) as shop:
        with anyio.CancelScope() as scope:
            shop.on_write = lambda _: scope.cancel()
            await shop.execute("plan", [await rename(shop, n, "А") for n in (51, 54, 66)])
        record = await shop.newest()
    assert scope.cancelled_caught
    assert (record.status, [step.outcome for step in record.steps]) == ("interrupted", ["done", "planned", "planned"])
    assert sandbox.account.segments[51]["name"] == "А"
    assert shop.log[-4:] == [
        "note 0 done",
        "event segment 51, recorded: done planned planned",
        "note interrupted",
        "event journal, recorded: done planned planned",
    ]


async def test_a_stop_lets_the_step_that_was_sent_come_to_its_end_and_the_rest_is_not_begun(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        shop.on_write = lambda _: shop.executor.stop.request(60)
        execution = await shop.execute("plan", [await rename(shop, n, "А") for n in (51, 54, 66)])
        assert execution.record == await shop.newest()
    assert isinstance(execution.failure, Stopped)
    assert (execution.failure.sent, execution.record.status) == (False, "interrupted")
    assert [step.outcome for step in execution.record.steps] == ["done", "planned", "planned"]
    assert shop.writes() == ["PATCH /api/v4/customers/segments/51"]


async def test_a_change_whose_last_step_was_being_sent_when_the_stop_came_is_done(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        shop.on_write = lambda _: shop.executor.stop.request(60)
        execution = await shop.execute("delete_segment", [Delete(await shop.segment(51))])
    assert (execution.failure, execution.record.status) == (None, "done")


async def test_after_a_stop_no_change_begins(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        shop.executor.stop.request(60)
        with pytest.raises(Stopped) as stopped:
            await shop.execute("delete_segment", [Delete(await shop.segment(51))])
        assert await shop.journal.changes(1) == []
    assert (stopped.value.sent, shop.writes()) == (False, [])


async def test_a_step_that_is_not_answered_within_the_seconds_of_a_stop_stays_pending_until_it_is_found_out(
    sandbox: Sandbox,
) -> None:
    """Its write has an effect all the same."""
    async with workshop(sandbox) as shop:

        async def never() -> None:
            shop.executor.stop.request(60)
            await anyio.lowlevel.checkpoint()
            shop.executor.stop.request(0)
            await anyio.sleep_forever()

        shop.wire.on_write = lambda _: never()
        with pytest.raises(Stopped) as stopped:
            await shop.execute("plan", [await rename(shop, number, "А") for number in (51, 54)])
        record = await shop.newest()
        assert (record.status, [step.outcome for step in record.steps]) == ("interrupted", ["pending", "planned"])
        await recover(shop.client, shop.journal)
        record = await shop.newest()
    assert stopped.value.sent
    assert (record.status, [step.outcome for step in record.steps]) == ("interrupted", ["done", "planned"])
    assert shop.writes() == ["PATCH /api/v4/customers/segments/51"]


async def test_an_unfinished_change_is_settled_before_the_next_one_begins(sandbox: Sandbox) -> None:
    async with workshop(sandbox) as shop:
        pending = (await rename(shop, 51, "А")).with_outcome("pending")
        left = await shop.journal.begin("update_segment", change_of([pending]))
        await shop.journal.note(left, {}, "interrupted")
        sandbox.account.segments[51]["name"] = "А"
        await shop.execute("create_segment", [Create(SegmentDraft(name="Б"))])
        settled = await shop.journal.change(left.id)
    assert settled is not None
    assert (settled.status, [step.outcome for step in settled.steps]) == ("done", ["done"])


@asynccontextmanager
async def full_account(seconds: float) -> AsyncIterator[Workshop]:
    """An account with a hundred segments, whose requests take so many seconds."""
    sandbox = Sandbox()
    model = sandbox.account.segments[51]
    sandbox.account.segments = {number: {**model, "id": number} for number in range(1, 101)}
    async with workshop(sandbox) as shop:
        shop.seconds = seconds
        yield shop


async def sent(shop: Workshop, steps: Sequence[Step]) -> list[str]:
    """The methods of the requests that executing the steps takes."""
    execution: Execution = await shop.execute("apply_plan", steps)
    assert execution.failure is None
    return [request.method for request in shop.sandbox.requests]


async def test_a_hundred_updates_keep_nine_tenths_of_the_pace_and_each_stands_on_a_picture_of_two_seconds() -> None:
    async with full_account(1 / 7) as shop:
        methods = await sent(shop, [await rename(shop, number, "А") for number in range(1, 101)])
    age = 0
    for method in methods:
        age = 0 if method == "GET" else age + 1
        assert age / 7 <= 2 + 1 / 7
    assert len(methods) <= 100 / 0.9


async def test_a_hundred_deletions_keep_nearly_half_of_the_pace_and_each_is_read_just_before() -> None:
    async with full_account(1 / 7) as shop:
        methods = await sent(shop, [Delete(await shop.segment(number)) for number in range(1, 101)])
    assert methods == ["GET", "DELETE"] * 100
    assert len(methods) <= 100 / 0.45


def test_room_that_somebody_took_since_is_missed_before_anything_is_sent() -> None:
    def holding(count: int) -> Snapshot:
        return Snapshot({"segment": {number: Segment(id=number, name="А") for number in range(1, count + 1)}})

    steps = [Create(SegmentDraft(name="Гости"))]
    check_room(steps, holding(99))
    with pytest.raises(LimitReached) as caught:
        check_room(steps, holding(100))
    assert (caught.value.kind, caught.value.count, caught.value.wanted) == ("segment", 100, 1)


@pytest.mark.requirement("CONFIRM-11")
@pytest.mark.parametrize("fault", [Fault("DELETE", status=503), Fault("DELETE", retry_after=0)])
async def test_a_deletion_that_is_sent_again_is_compared_again_however_young_the_last_reading_is(
    fault: Fault, sandbox: Sandbox
) -> None:
    sandbox.faults.add(fault)
    async with workshop(sandbox) as shop:
        shop.on_write = lambda _: sandbox.account.segments[66].update(customers_count=500)
        with pytest.raises((TargetChanged, OutcomeUnknown, Unavailable)):
            await shop.execute("delete_segment", [Delete(await shop.segment(66))])
    assert shop.writes() == [f"DELETE {SEGMENTS}/66"]
    assert 66 in sandbox.account.segments


async def moved_back(shop: Workshop) -> tuple[Update, list[int]]:
    """The step that takes a status back between its neighbours, and the statuses in order before the move."""
    order = [status.id for status in sorted(await shop.client.statuses(), key=lambda status: status.sort)]
    await shop.client.update_status(order[3], StatusPatch(sort=0))
    statuses = {status.id: status for status in await shop.client.statuses()}
    place = Place(order[2], order[4])
    return Update(statuses[order[3]], StatusPatch(sort=3), places_of(statuses.values()), place), order


@pytest.mark.requirement("UNDO-1")
async def test_a_status_comes_back_to_its_place_also_where_statuses_were_added_while_a_person_was_asked(
    periodicity: Sandbox,
) -> None:
    async with workshop(periodicity) as shop:
        step, order = await moved_back(shop)
        await shop.client.create_statuses([StatusDraft(name=name, sort=1) for name in "АБВ"])
        await shop.execute("undo_change", [step])
        now = sorted(await shop.client.statuses(), key=lambda status: status.sort)
    assert [status.id for status in now if status.id in order] == order


async def test_a_status_whose_old_neighbour_is_gone_is_not_moved(periodicity: Sandbox) -> None:
    async with workshop(periodicity) as shop:
        step, order = await moved_back(shop)
        del periodicity.account.statuses[order[4]]
        shop.log.clear()
        error = await nothing_happens(shop, [step], TargetChanged)
    assert str(error) == f"What stood around the status «{step.name}» was moved or deleted since."


async def test_entries_that_cannot_be_read_count_for_the_limit_and_for_what_was_there_before(sandbox: Sandbox) -> None:
    model = sandbox.account.segments[51]
    sandbox.account.segments[54]["customers_count"] = "many"
    async with workshop(sandbox) as shop:
        await shop.execute("create_segment", [Create(SegmentDraft(name="А"))])
        [step] = (await shop.newest()).steps
        assert isinstance(step, Create)
        assert 54 in step.existing_ids
        count = len(sandbox.account.segments)
        sandbox.account.segments |= {number: {**model, "id": number} for number in range(1000, 1100 - count)}
        shop.log.clear()
        with pytest.raises(LimitReached) as caught:
            await shop.execute("create_segment", [Create(SegmentDraft(name="Б"))])
    assert caught.value.count == 100
