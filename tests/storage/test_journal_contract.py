"""The contract of `Journal`, for every backend."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import anyio
import pytest

from amo_mcp.amocrm.inputs import SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.journal import AT_REST, Journal, JournalUnusable, Retention, UndoneMeanwhile
from amo_mcp.changes.leases import Asked
from amo_mcp.changes.records import ChangeRecord, ChangeStatus
from amo_mcp.changes.steps import Outcome, Step, Update
from amo_mcp.storage.postgres.journal import PostgresJournal
from tests.clock import Clock
from tests.storage.backends import Open
from tests.storage.examples import DONE, GONE, PENDING, RENAME, change_of, created, deleted, moved, updated

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture
async def journal(open_backend: Open, clock: Clock) -> AsyncIterator[Journal]:
    journal, _ = open_backend(clock=clock)
    yield journal
    await journal.close()


async def recorded(
    journal: Journal, *steps: Step, undoes: str | None = None, status: ChangeStatus = "done"
) -> ChangeRecord:
    """A change that was begun, and has ended."""
    lease = await journal.begin("undo_change" if undoes else "apply_plan", change_of(steps, undoes=undoes))
    await journal.note(lease, {}, status)
    return lease.record


async def read(journal: Journal, record: ChangeRecord) -> ChangeRecord:
    found = await journal.change(record.id)
    assert found is not None
    return found


async def outcomes(journal: Journal, record: ChangeRecord) -> Sequence[Outcome]:
    return [step.outcome for step in (await read(journal, record)).steps]


async def numbers(journal: Journal) -> list[int]:
    return [number for number, _ in await journal.changes(1000)]


async def test_a_change_that_is_begun_is_answered_and_kept_as_it_was_given(journal: Journal, clock: Clock) -> None:
    lease = await journal.begin("update_segment", change_of([PENDING, RENAME]))
    assert re.fullmatch("c[0-9a-f]{12}", lease.id)
    assert lease.record == ChangeRecord(lease.id, clock.now, "update_segment", (PENDING, RENAME), "running")
    assert await journal.change(lease.id) == lease.record


@pytest.mark.requirement("TEAM-42")
async def test_who_asked_is_told_where_several_people_share_the_journal_and_nowhere_else(journal: Journal) -> None:
    lease = await journal.begin("update_segment", change_of([PENDING]), Asked("owner", "Анна"))
    await journal.note(lease, {0: DONE}, "done")
    [(_, told)] = await journal.changes(10)
    assert (
        told.by == (await read(journal, lease.record)).by == ("Анна" if isinstance(journal, PostgresJournal) else None)
    )


async def test_an_unknown_change_is_none(journal: Journal) -> None:
    assert await journal.change("c000000000000") is None


async def test_noted_steps_and_a_noted_status_are_kept_and_the_other_steps_stay(journal: Journal) -> None:
    lease = await journal.begin("apply_plan", change_of([PENDING, RENAME]))
    await journal.note(lease, {0: DONE})
    assert await journal.change(lease.id) == replace(lease.record, steps=(DONE, RENAME))
    failed = RENAME.with_outcome("failed")
    await journal.note(lease, {1: failed}, "failed")
    assert await journal.change(lease.id) == replace(lease.record, steps=(DONE, failed), status="failed")


async def test_noting_a_change_that_is_not_in_the_journal_fails_as_of_a_change_that_was_begun(journal: Journal) -> None:
    with pytest.raises(JournalUnusable) as caught:
        await journal.note(GONE, {0: DONE}, "done")
    assert caught.value.begun
    await journal.settle("c000000000000", {0: DONE})
    assert await journal.changes(10) == []


async def test_what_is_no_text_for_a_database_is_kept_all_the_same(journal: Journal) -> None:
    half = Segment.model_validate({"id": 1, "name": "\ud83d", "odd": {"of": ["\udc00", "«Ё»"]}})
    lease = await journal.begin("update_segment", change_of([Update(half, SegmentPatch(name="A"))]))
    assert await journal.change(lease.id) == lease.record


async def test_a_change_that_cannot_be_recorded_leaves_nothing_behind(journal: Journal) -> None:
    odd = Update(Segment.model_validate({"id": 1, "name": "A", "odd": object()}), SegmentPatch(name="B"))
    with pytest.raises(TypeError):
        await journal.begin("update_segment", change_of([RENAME, odd]))
    assert await journal.changes(10) == []
    await journal.begin("update_segment", change_of([RENAME]))
    assert await numbers(journal) == [1]


async def test_changes_come_newest_first_in_pages_whose_cursor_is_the_place_of_the_last(journal: Journal) -> None:
    records = [(await journal.begin("update_segment", change_of([RENAME]))).record for _ in range(5)]
    places = list(zip(range(5, 0, -1), reversed(records), strict=True))
    assert await journal.changes(10) == places
    assert await journal.changes(2) == places[:2]
    assert await journal.changes(2, before=4) == places[2:4]
    assert await journal.changes(2, before=1) == []
    assert await journal.page(2, before=2) == (places[4:], 0)


async def test_a_change_that_is_under_way_is_not_unsettled(journal: Journal) -> None:
    lease = await journal.begin("update_segment", change_of([PENDING]))
    assert await journal.unsettled() == []
    await journal.note(lease, {0: DONE}, "done")
    assert await journal.unsettled() == []


async def test_a_change_with_a_pending_step_is_unsettled_and_comes_to_rest_after_a_minute(
    journal: Journal, clock: Clock
) -> None:
    broken, unknown = [await journal.begin("update_segment", change_of([PENDING])) for _ in range(2)]
    await journal.note(broken, {}, "interrupted")
    await journal.note(unknown, {0: RENAME.with_outcome("unknown")}, "interrupted")
    found = []
    for seconds in (AT_REST, 1):
        clock.now += seconds
        await journal.settle(broken.id, {})
        found.append([(left.record.id, left.at_rest) for left in await journal.unsettled()])
    assert found == [[(broken.id, False)], [(broken.id, True)]]


async def test_a_change_of_a_clock_that_was_ahead_comes_to_rest_too(journal: Journal, clock: Clock) -> None:
    clock.now += 400 * DAY
    lease = await journal.begin("update_segment", change_of([PENDING]))
    await journal.note(lease, {}, "interrupted")
    clock.now -= 400 * DAY
    assert [left.at_rest for left in await journal.unsettled()] == [True]


async def test_a_settled_change_has_what_was_found_of_its_pending_steps_and_nothing_else(journal: Journal) -> None:
    failed, unknown = RENAME.with_outcome("failed"), RENAME.with_outcome("unknown")
    record = await recorded(journal, DONE, PENDING, PENDING, status="interrupted")
    await journal.settle(record.id, {0: failed, 1: DONE})
    assert await journal.change(record.id) == replace(record, steps=(DONE, DONE, PENDING), status="interrupted")
    await journal.settle(record.id, {1: unknown, 2: failed})
    assert await journal.change(record.id) == replace(record, steps=(DONE, DONE, failed), status="failed")
    assert await journal.unsettled() == []


async def test_what_an_undo_took_back_is_undone_and_the_undo_of_that_undo_makes_it_again(journal: Journal) -> None:
    plan = await recorded(journal, created(96, "A"), updated("B"), deleted())
    undo = await recorded(
        journal,
        created(97, "C", undoes=2),
        updated("D", undoes=1),
        deleted(96, undoes=0, outcome="failed"),
        undoes=plan.id,
        status="failed",
    )

    async def now(record: ChangeRecord) -> tuple[str, Sequence[Outcome]]:
        return (await read(journal, record)).status, await outcomes(journal, record)

    async def left(record: ChangeRecord) -> list[str]:
        steps = (await read(journal, record)).steps
        return [getattr(getattr(step, "after", None), "name", "") for step in steps]

    assert (await now(plan), await left(plan)) == (("done", ["done", "undone", "undone"]), ["A", "D", ""])
    rest = await recorded(journal, deleted(96, undoes=0), undoes=plan.id)
    assert await now(plan) == ("undone", ["undone"] * 3)
    assert await now(undo) == ("failed", ["done", "done", "failed"])
    redo = await recorded(journal, created(98, "E", undoes=0), undoes=rest.id)
    assert await now(rest) == ("undone", ["undone"])
    assert (await now(plan), await left(plan)) == (("done", ["done", "undone", "undone"]), ["E", "D", ""])
    await recorded(journal, deleted(98, undoes=0), undoes=redo.id)
    assert await now(plan) == ("undone", ["undone"] * 3)


async def test_an_undo_that_is_done_leaves_nothing_to_undo_even_where_there_was_nothing_to_take_away(
    journal: Journal,
) -> None:
    plan = await recorded(journal, created(96, "A"), created(97, "B"), updated("C", outcome="failed"))
    await recorded(journal, deleted(96, undoes=0), undoes=plan.id)
    assert (await read(journal, plan)).status == "undone"
    assert await outcomes(journal, plan) == ["undone", "undone", "failed"]


async def test_what_was_found_to_be_done_only_after_an_undo_had_begun_is_not_undone_whatever_the_clock_says(
    journal: Journal, clock: Clock
) -> None:
    plan = await recorded(journal, created(96, "A"), created(97, "B", outcome="pending"), status="interrupted")
    undo = await journal.begin("undo_change", change_of([deleted(96, undoes=0, outcome="pending")], undoes=plan.id))
    clock.now -= 400 * DAY
    await journal.settle(plan.id, {1: created(97, "B")})
    await journal.note(undo, {0: deleted(96, undoes=0)}, "done")
    assert await outcomes(journal, plan) == ["undone", "done"]


async def test_while_an_undo_is_running_no_other_begins_and_what_is_undone_is_not_undone_again(
    journal: Journal,
) -> None:
    change = await recorded(journal, created(96, "A"))
    undo = await journal.begin("undo_change", change_of([deleted(96, undoes=0, outcome="pending")], undoes=change.id))
    with pytest.raises(UndoneMeanwhile):
        await journal.begin("undo_change", change_of([deleted(96, undoes=0)], undoes=change.id))
    await journal.note(undo, {0: deleted(96, undoes=0)}, "done")
    with pytest.raises(UndoneMeanwhile):
        await journal.begin("undo_change", change_of([deleted(96, undoes=0)], undoes=change.id))
    with pytest.raises(UndoneMeanwhile):
        await journal.begin("undo_change", change_of([deleted(96, undoes=0)], undoes="c000000000000"))
    assert await numbers(journal) == [2, 1]


async def test_of_ten_undos_of_one_change_that_begin_at_once_one_begins(journal: Journal) -> None:
    change = await recorded(journal, created(96, "A"))
    results: list[str] = []

    async def undo() -> None:
        try:
            await journal.begin("undo_change", change_of([deleted(96, undoes=0, outcome="pending")], undoes=change.id))
        except UndoneMeanwhile:
            results.append("refused")
        else:
            results.append("begun")

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(undo)
    assert sorted(results) == ["begun", *["refused"] * 9]


async def test_ids_of_what_was_deleted_and_created_again_are_followed_from_change_to_change(journal: Journal) -> None:
    deletion = await recorded(journal, deleted(51))
    undo = await recorded(journal, created(96, "VIP", undoes=0), undoes=deletion.id)
    redo = await recorded(journal, deleted(96, undoes=0), undoes=undo.id)
    await recorded(journal, created(99, "VIP", undoes=0), undoes=redo.id)
    pending = await recorded(journal, deleted(52))
    await recorded(journal, created(100, "B", undoes=0, outcome="unknown"), undoes=pending.id, status="interrupted")
    recreated = await journal.recreated_ids()
    assert [recreated.current_id("segment", entity_id) for entity_id in (51, 96, 99, 52)] == [99, 99, 99, 52]
    assert [recreated.came_back("segment", 51, number) for number in (3, 4)] == [True, False]


@pytest.mark.requirement("CUSTOMER-6")
async def test_the_moves_of_the_newest_changes_are_told_and_read_by_their_keys(journal: Journal) -> None:
    old = await recorded(journal, moved(1))
    both = await recorded(journal, DONE, moved(2), moved(3, kind="status"))
    lease = await journal.begin("move_customers", change_of([moved(4, outcome="pending"), moved(5, outcome="planned")]))
    first, second, third, last = (old.id, 0), (both.id, 1), (lease.id, 0), (lease.id, 1)
    told = {first: "done", second: "done", third: "pending", last: "planned"}
    assert [*(await journal.moves(3)).items()] == [*told.items()]
    assert [*(await journal.moves(2)).items()] == [*told.items()][1:]
    await journal.note(lease, {0: moved(4)})
    assert (await journal.moves(1))[third] == "done"
    read = await journal.steps([third, ("c000000000000", 0), (both.id, 9), first, second])
    assert [*read.items()] == [(third, moved(4)), (first, moved(1)), (second, moved(2))]
    assert await journal.steps([]) == {}


async def test_no_more_changes_are_kept_than_the_maximum_and_those_that_could_be_undone_are_counted(
    open_backend: Open, clock: Clock
) -> None:
    journal, _ = open_backend(clock=clock, retention=Retention(max_changes=3, newest=1))
    records = [await journal.begin("update_segment", change_of([RENAME])) for _ in range(3)]
    await journal.note(records[0], {0: DONE}, "done")
    await journal.note(records[1], {0: RENAME.with_outcome("failed")}, "failed")
    await journal.note(records[2], {0: DONE}, "done")
    assert (await journal.page(1))[1] == 0
    dropped = []
    for _ in range(3):
        await journal.begin("update_segment", change_of([RENAME]))
        dropped.append(((await journal.page(1))[1], await numbers(journal)))
    assert dropped == [(1, [4, 3, 2]), (1, [5, 4, 3]), (2, [6, 5, 4])]
    assert [await journal.change(record.id) for record in records] == [None] * 3
    await journal.close()


async def test_what_is_too_old_goes_but_never_what_is_under_way(open_backend: Open, clock: Clock) -> None:
    journal, _ = open_backend(clock=clock, retention=Retention(newest=1))
    done, running = [await journal.begin("update_segment", change_of([RENAME])) for _ in range(2)]
    await journal.note(done, {0: DONE}, "done")
    clock.now += 400 * DAY
    await journal.begin("update_segment", change_of([RENAME]))
    assert (await numbers(journal), (await journal.page(1))[1]) == ([3, 2, 1], 0)
    clock.now += 1
    await journal.begin("update_segment", change_of([RENAME]))
    assert (await numbers(journal), (await journal.page(1))[1]) == ([4, 3, 2], 1)
    assert await journal.change(running.id) is not None
    await journal.close()


async def test_a_change_is_kept_until_it_is_too_old_and_at_least_until_now(open_backend: Open, clock: Clock) -> None:
    journal, _ = open_backend(clock=clock, retention=Retention(max_age=10 * DAY, newest=1))
    record = await recorded(journal, DONE)
    until = journal.kept_until(record)
    assert until == clock.now + 10 * DAY
    clock.now = until
    await recorded(journal, DONE)
    assert await journal.change(record.id) is not None
    clock.now += DAY
    assert journal.kept_until(record) == clock.now
    await recorded(journal, DONE)
    assert await journal.change(record.id) is None
    await journal.close()


@pytest.mark.parametrize("days", [400, -400], ids=["ahead", "behind"])
async def test_a_clock_that_was_wrong_for_one_change_drops_none_of_the_newest(
    days: int, journal: Journal, clock: Clock
) -> None:
    for shift in (0, 0, days, -days, 0):
        clock.now += shift * DAY + 1
        await recorded(journal, DONE)
    assert (await numbers(journal), (await journal.page(1))[1]) == ([5, 4, 3, 2, 1], 0)


async def test_many_changes_that_grow_old_at_once_go_a_few_at_a_time(open_backend: Open, clock: Clock) -> None:
    journal, _ = open_backend(clock=clock, retention=Retention(newest=2, at_once=3))
    for _ in range(10):
        await recorded(journal, DONE)
    clock.now += 401 * DAY
    left = []
    for _ in range(4):
        await recorded(journal, DONE)
        left.append(await numbers(journal))
    assert left == [
        [11, 10, 9, 8, 7, 6, 5, 4],
        [12, 11, 10, 9, 8, 7],
        [13, 12, 11, 10],
        [14, 13, 12, 11],
    ]
    assert (await journal.page(1))[1] == 10
    await journal.close()


async def test_closing_may_be_repeated_and_loses_nothing(journal: Journal) -> None:
    record = await recorded(journal, DONE)
    await journal.close()
    await journal.close()
    assert await journal.change(record.id) == replace(record, status="done")
    await journal.close()
