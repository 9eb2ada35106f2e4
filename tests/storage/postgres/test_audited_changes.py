"""What the audit tells of changes: in the transactions in which the journal is written."""

from dataclasses import replace

import pytest

from amo_mcp.changes.journal import Journal, JournalUnusable
from amo_mcp.changes.leases import Asked, LeaseLost
from amo_mcp.changes.members import Member
from amo_mcp.changes.records import entity_to_record
from amo_mcp.changes.steps import Move
from amo_mcp.confirmation.caller import Caller
from amo_mcp.storage.postgres.approvals import PostgresApprovalStore
from amo_mcp.storage.postgres.audit import PostgresAudit, went_on
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.audit import Actor, Entry, Touched, touched_by
from tests.clock import Clock
from tests.storage.backends import open_postgres
from tests.storage.examples import DONE, GONE, PENDING, RENAME, change_of, created, deleted, segment, updated
from tests.team.approval.asking import CHANGE, asked_by, known

pytestmark = pytest.mark.anyio

ASKED = Asked("owner", "Анна", person="1:11", client="Claude 1.0")


@pytest.fixture
def journal(database: Database) -> Journal:
    return open_postgres(database, clock=Clock())[0]


async def told(database: Database) -> list[Entry]:
    """What is told, the oldest first."""
    return [one.entry for one in reversed(await PostgresAudit(database).page(100))]


@pytest.mark.requirement("TEAM-40")
async def test_a_change_is_told_when_it_begins_and_when_it_ends(journal: Journal, database: Database) -> None:
    lease = await journal.begin("apply_plan", change_of([PENDING, RENAME]), ASKED)
    await journal.note(lease, {0: DONE})
    await journal.note(lease, {1: RENAME.with_outcome("failed")}, "failed")
    begun = Entry(
        kind="change",
        what="apply_plan",
        outcome="begun",
        by=Actor("1:11", "Анна", "Claude 1.0"),
        subject=lease.id,
        touched=(touched_by(PENDING), touched_by(RENAME)),
    )
    first, last = await told(database)
    assert first == begun
    assert (last.outcome, [one.outcome for one in last.touched]) == ("failed", ["done", "failed"])
    assert (last.by, last.subject, last.what) == (begun.by, begun.subject, begun.what)


async def test_what_is_not_recorded_is_not_told(journal: Journal, database: Database) -> None:
    with pytest.raises(JournalUnusable):
        await journal.note(GONE, {0: DONE}, "done")
    lease = await journal.begin("update_segment", change_of([PENDING]), ASKED)
    await journal.note(lease, {0: DONE}, "done")
    before = await told(database)
    with pytest.raises(LeaseLost):
        await journal.note(lease, {0: DONE}, "failed")
    assert await told(database) == before


@pytest.mark.requirement("TEAM-40")
async def test_what_is_found_out_later_is_told_too(journal: Journal, database: Database) -> None:
    lease = await journal.begin("update_segment", change_of([PENDING]), ASKED)
    await journal.note(lease, {0: PENDING.with_outcome("pending")}, "interrupted")
    await journal.settle(lease.id, {})
    await journal.settle(lease.id, {0: DONE})
    assert [one.outcome for one in await told(database)] == ["begun", "interrupted", "done"]


@pytest.mark.requirement("TEAM-40")
async def test_what_was_made_late_is_told_too(journal: Journal, database: Database) -> None:
    lease = await journal.begin("update_segment", change_of([PENDING]), ASKED)
    assert lease.shared is not None
    await lease.shared.note_late(lease, {0: [DONE]})
    *_, late = await told(database)
    assert (late.outcome, late.by.name, late.touched[0].outcome) == ("late", "Анна", "done")


async def test_the_end_of_a_change_that_began_before_there_was_an_audit_is_left_out(database: Database) -> None:
    async with database.transaction() as session:
        await went_on(session, "c000000000000", "done", [DONE])
    assert await told(database) == []


async def test_who_agreed_in_a_dialog_is_who_asked(journal: Journal, database: Database) -> None:
    approvals = PostgresApprovalStore(database, clock=Clock())
    change = change_of([PENDING])
    approval = await approvals.open("dialog", Caller(person="1:11"), "update_segment", "digest", change)
    await approvals.consume(approval.id, "dialog", Caller(person="1:11"))
    await journal.begin("update_segment", change, replace(ASKED, approval_id=approval.id))
    [begun] = await told(database)
    assert (begun.approved_by, begun.approved_how) == ("Анна", "dialog")
    kept = await database.fetchval("SELECT audit::text FROM audit")
    assert approval.id not in kept


@pytest.mark.requirement("TEAM-40")
async def test_who_agreed_on_the_page_is_told_with_the_change(journal: Journal, database: Database) -> None:
    people, questions = PostgresPeopleStore(database), PostgresQuestionStore(database, clock=Clock())
    anna, boris = await known(people, "Анна", "editor"), await known(people, "Борис", "approver")
    question = await asked_by(questions, anna)
    await questions.answer(question, "yes", Actor(boris.id, boris.name), "")
    await questions.use_yes(question)
    await journal.begin("update_segment", CHANGE, replace(ASKED, approval_id=question.approval.id))
    *_, begun = await told(database)
    assert (begun.by.name, begun.approved_by, begun.approved_how) == ("Анна", "Борис", "page")


@pytest.mark.requirement("TEAM-40")
def test_a_step_is_told_with_what_was_and_what_is() -> None:
    vip, new = entity_to_record(segment(51, "VIP")), entity_to_record(segment(7, "Новые"))
    moved = Member(1, (51,), None)
    told = [
        touched_by(one)
        for one in (
            created(7, "Новые", outcome="pending"),
            replace(created(7, "Новые"), request_id="r1"),
            updated("Лучшие", outcome="planned"),
            deleted(),
            Move(kind="segment", customers=(moved,), into=(segment(7, "Новые"),), found=(Member(1, (51, 7), None),)),
        )
    ]
    assert told == [
        Touched("create", "segment", None, {}, {"name": "Новые"}, "pending"),
        Touched("create", "segment", "7", {}, new, "done", "r1"),
        Touched("update", "segment", "51", vip, {**vip, "name": "Лучшие"}, "planned"),
        Touched("delete", "segment", "51", vip, {}, "done"),
        Touched(
            "move",
            "segment",
            None,
            {"customers": (moved,)},
            {"customers": (Member(1, (51, 7), None),), "into": [7], "out_of": []},
            "planned",
        ),
    ]
