"""The contract of `RunStore`: one process at a time carries a change out, and another takes it over when it dies."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import time
from typing import Any, cast

import anyio
import pytest
from pydantic import SecretStr

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.leases import Asked, Lease, LeaseLost
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import Plan
from amo_mcp.changes.steps import Create, Outcome, Step
from amo_mcp.language import message
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.runs import AccountLease, PostgresRunStore
from amo_mcp.team.people import Role
from tests.storage.backends import account_id
from tests.storage.examples import DONE, PENDING, RENAME, change_of, created, deleted

pytestmark = pytest.mark.anyio

PLAN = change_of([PENDING, created(1, "A", outcome="planned")], plan_id="p1")
ASKED = Asked("me", "Anna", "secret")


class Replica:
    """One process that shares the journal, whose leases last so many seconds."""

    def __init__(self, database: Database, seconds: float = 30.0) -> None:
        self.runs = PostgresRunStore(database, account_id, seconds=seconds)
        self.journal = PostgresJournal(database, account_id, self.runs)
        self.plans = PostgresPlanStore(database, account_id)

    async def begin(self, change: PendingChange = PLAN, asked: Asked = ASKED) -> Lease:
        if change.plan_id is not None:
            await self.plans.keep(Plan(change.plan_id, time(), "me", change.steps))
        return await self.journal.begin("apply_plan", change, asked)

    async def claimed(self) -> Lease:
        lease = await self.runs.claim()
        assert lease is not None
        return lease

    async def steps(self, lease: Lease) -> list[Step]:
        record = await self.journal.change(lease.id)
        assert record is not None
        return [*record.steps]


@pytest.fixture
def one(database: Database) -> Replica:
    return Replica(database)


@pytest.fixture
def other(database: Database) -> Replica:
    return Replica(database)


@pytest.fixture
def dead(database: Database) -> Replica:
    """A process whose leases are over at once, as those of one that died a while ago."""
    return Replica(database, 0.0)


async def test_while_a_lease_lasts_nobody_else_takes_the_change_over(one: Replica, other: Replica) -> None:
    lease = await one.begin()
    assert (await other.runs.claim(), await one.runs.claim()) == (None, None)
    assert (lease.epoch, await one.runs.renew(lease)) == (1, False)


async def test_a_lease_that_is_over_is_taken_over_with_all_that_carrying_on_needs(
    dead: Replica, other: Replica
) -> None:
    change = change_of([DONE, PENDING, RENAME], undone_at=5.0, not_restored=(message("The {what}.", what="id"),))
    begun = await dead.begin(change)
    await dead.journal.note(begun, {1: DONE})
    lease = await other.claimed()
    steps = (DONE, DONE, RENAME)
    assert lease == AccountLease(
        replace(begun.record, steps=steps), replace(change, steps=steps), 2, other.runs, account=await account_id()
    )
    assert await other.runs.claim() is None


@pytest.mark.parametrize("lost", ["note", "end", "renew", "give back"])
async def test_who_has_lost_a_lease_records_nothing_and_hears_of_it(lost: str, dead: Replica, other: Replica) -> None:
    old = await dead.begin()
    new = await other.claimed()
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "note": lambda: dead.journal.note(old, {0: DONE}),
        "end": lambda: dead.journal.note(old, {}, "done"),
        "renew": lambda: dead.runs.renew(old),
        "give back": lambda: dead.runs.give_back(old),
    }
    if lost == "give back":
        await uses[lost]()
    else:
        with pytest.raises(LeaseLost):
            await uses[lost]()
    assert await other.steps(new) == [*PLAN.steps]
    assert await other.runs.claim() is None
    assert await other.runs.renew(new) is False


async def test_a_change_that_has_ended_is_nobodys(one: Replica, dead: Replica, other: Replica) -> None:
    for replica in (one, dead):
        lease = await replica.begin(change_of([PENDING]))
        await replica.journal.note(lease, {0: DONE}, "done")
        with pytest.raises(LeaseLost):
            await replica.journal.note(lease, {0: RENAME})
        with pytest.raises(LeaseLost):
            await replica.runs.renew(lease)
    assert await other.runs.claim() is None


async def test_of_ten_that_take_a_change_over_at_once_one_gets_it(dead: Replica, database: Database) -> None:
    await dead.begin()
    claimed: list[Lease | None] = []

    async def claim() -> None:
        claimed.append(await Replica(database).runs.claim())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(claim)
    assert [lease.epoch for lease in claimed if lease] == [2]


async def test_the_oldest_change_is_taken_over_first_and_each_once(dead: Replica, other: Replica) -> None:
    begun = [(await dead.begin(change_of([PENDING]))).id for _ in range(3)]
    assert [(await other.claimed()).id for _ in range(3)] == begun
    assert await other.runs.claim() is None


async def test_a_lease_that_is_given_back_is_taken_over_at_once_under_the_next_epoch(
    one: Replica, other: Replica
) -> None:
    lease = await one.begin()
    await one.runs.give_back(lease)
    second = await other.claimed()
    await other.runs.give_back(second)
    assert (second.epoch, (await one.claimed()).epoch) == (2, 3)


async def test_renewing_all_renews_what_is_held_and_neither_what_was_lost_nor_what_was_let_lapse(
    dead: Replica, other: Replica
) -> None:
    lost, lapsing, held = [await dead.begin(change_of([PENDING])) for _ in range(3)]
    assert await other.claimed() == replace(lost, epoch=2, shared=other.runs)
    dead.runs.let_lapse(lapsing)
    dead.runs.seconds = 30.0
    await dead.runs.renew_all()
    assert (await other.claimed()).id == lapsing.id
    assert await other.runs.claim() is None
    assert await dead.runs.renew(held) is False


async def test_a_stop_is_heard_with_the_next_record_and_the_next_renewal(one: Replica, other: Replica) -> None:
    lease = await one.begin()
    assert await one.journal.note(lease, {0: DONE}) is False
    await other.runs.request_stop(lease.id)
    assert await one.runs.renew(lease) is True
    assert await one.journal.note(lease, {1: created(1, "A")}) is True


@pytest.mark.parametrize(("became", "stops"), [("removed", True), ("viewer", True), ("editor", False)])
async def test_the_run_of_whoever_may_change_nothing_any_more_is_stopped(
    became: str, stops: bool, one: Replica, other: Replica, database: Database
) -> None:
    people = PostgresPeopleStore(database)
    person = (await people.add_token("t1", b"digest", "Anna", "approver", None)).person
    change = change_of([PENDING, created(1, "A", outcome="planned")])
    mine, somebody_s = [await one.begin(change, Asked("me", person=who)) for who in (person.id, "another")]
    if became == "removed":
        await people.remove("Anna")
    else:
        await people.set_role("Anna", cast("Role", became))
    assert (await other.runs.renew(mine), await other.runs.renew(somebody_s)) == (stops, False)


async def test_a_run_is_found_by_its_plan_its_undo_or_its_approval_by_who_asked_until_they_were_told_its_end(
    one: Replica, other: Replica
) -> None:
    plan = await one.begin()
    await one.journal.note(plan, {0: DONE, 1: created(1, "A")}, "done", {"code": "Stopped", "sent": False})
    undo = await one.begin(
        change_of([deleted(1, undoes=1, outcome="pending")], undoes=plan.id), Asked("me", "Anna", "another")
    )

    async def found(owner: str, **by: Any) -> str | None:
        state = await other.runs.find(owner, **by)
        return None if state is None else state.record.id

    assert [await found("me", **by) for by in ({"plan_id": "p1"}, {"undoes": plan.id}, {"approval_id": "another"})] == [
        *(plan.id, undo.id, undo.id)
    ]
    assert [await found("you", plan_id="p1"), await found("me", approval_id="p1"), await found("me", plan_id="\0")] == [
        *(None, None, None)
    ]
    state = await other.runs.state(plan.id)
    assert state is not None
    assert (state.owner, state.reason) == ("me", {"code": "Stopped", "sent": False})
    assert (state.record.status, state.record.by, state.change.plan_id) == ("done", "Anna", "p1")
    await other.runs.mark_told(plan.id)
    assert (await found("me", plan_id="p1"), await found("me", undoes=plan.id)) == (None, undo.id)
    await other.runs.mark_told(undo.id)
    by_either = await found("me", undoes=plan.id), await found("me", approval_id="another")
    assert by_either == (None, undo.id), "an approval is used once, so it is always about the same"
    assert await other.runs.state("c000000000000") is None


LATE: list[tuple[str, bool, Outcome, list[int], list[int | None], Outcome, tuple[int | None, ...]]] = [
    ("sent again: the same as was found", True, "done", [96], [96], "done", ()),
    ("sent again: another one", True, "done", [96], [97], "unknown", (97,)),
    ("sent again: perhaps another one", True, "done", [96], [None], "unknown", (None,)),
    ("sent again: two, and perhaps a third", True, "done", [96], [97, 98, None], "unknown", (97, 98, None)),
    ("sent again: beside what is not known", True, "unknown", [], [97], "unknown", (None,)),
    ("sent once: what was found is it", False, "done", [96], [96, None], "done", ()),
    ("sent once: the only one", False, "planned", [], [97], "done", ()),
    ("sent once: perhaps the only one", False, "failed", [], [None], "unknown", ()),
]


def made_late(created_id: int | None) -> Step:
    """A creation that came to that; None for one that may have been made."""
    return created(1, "A", outcome="unknown") if created_id is None else created(created_id, "A")


@pytest.mark.parametrize(("what", "sent_again", "outcome", "recorded", "late", "expected", "also"), LATE)
async def test_what_was_created_late_is_told_of_the_step_once_the_change_has_ended(
    what: str,
    sent_again: bool,
    outcome: Outcome,
    recorded: list[int],
    late: list[int | None],
    expected: Outcome,
    also: tuple[int | None, ...],
    dead: Replica,
    other: Replica,
) -> None:
    old = await dead.begin(change_of([created(1, "A", outcome="pending"), RENAME]))
    new = await other.claimed()
    if sent_again:
        await other.journal.note(new, {0: created(1, "A", outcome="pending")})
    await dead.runs.note_late(old, {0: [made_late(one) for one in late]})
    assert (await other.steps(new))[0].outcome == "pending"
    step = created(recorded[0], "A") if recorded else created(1, "A", outcome=outcome)
    await other.journal.note(new, {0: step}, "interrupted")
    told, untouched = await other.steps(new)
    assert isinstance(told, Create)
    assert (what, told.outcome, told.also, untouched) == (what, expected, also, RENAME)
    assert "perhaps the only one" in what or told.after is not None


@pytest.mark.parametrize(("late", "expected"), [(DONE, "done"), (RENAME.with_outcome("unknown"), "unknown")])
async def test_a_change_that_was_made_late_and_recorded_as_not_made_is_as_it_really_is(
    late: Step, expected: Outcome, dead: Replica, other: Replica
) -> None:
    old = await dead.begin(change_of([PENDING]))
    new = await other.claimed()
    await other.journal.note(new, {0: RENAME.with_outcome("failed")}, "failed")
    await dead.runs.note_late(old, {0: [RENAME.with_outcome("unknown"), late]})
    assert [step.outcome for step in await other.steps(new)] == [expected]
    second = await dead.begin(change_of([PENDING]))
    await other.journal.note(await other.claimed(), {0: DONE}, "done")
    await dead.runs.note_late(second, {0: [RENAME.with_outcome("unknown")]})
    assert await other.steps(second) == [DONE]


async def test_a_step_that_is_done_is_told_to_be_doubled_at_once(dead: Replica, other: Replica) -> None:
    old = await dead.begin(change_of([created(1, "A", outcome="pending"), RENAME]))
    new = await other.claimed()
    await other.journal.note(new, {0: created(1, "A", outcome="pending")})
    await other.journal.note(new, {0: created(96, "A")})
    await dead.runs.note_late(old, {0: [made_late(97)]})
    [told, _] = await other.steps(new)
    assert isinstance(told, Create)
    assert (told.outcome, told.target_id, told.also) == ("unknown", 96, (97,))


async def test_a_transaction_whose_process_hangs_holds_up_nobody_for_longer_than_a_lease(
    database_url: SecretStr, database: Database
) -> None:
    hangs = Replica(database, 0.3)
    lease = await hangs.begin(change_of([PENDING]))
    second = Database(database_url)
    await second.open()
    try:
        with pytest.raises(JournalUnusable):
            async with database.transaction() as session:
                await hangs.runs.lock(session, await account_id())
                await session.execute("UPDATE changes SET epoch = 7")
                await Replica(second).begin(change_of([PENDING]))
        assert [(await Replica(second).claimed()).id, lease.epoch] == [lease.id, 1]
    finally:
        await second.close()
