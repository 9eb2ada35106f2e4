"""What the page says of a change that the journal has."""

import pytest

from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord, ChangeStatus, overall_status
from amo_mcp.changes.steps import Delete, Outcome
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import Caller
from amo_mcp.language import LANGUAGES, texts
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.approval.words import Where, where, words_of
from amo_mcp.team.people import Person

STEP = Delete(Segment(id=51, name="VIP"))
ANNA, BORIS = Person("anna", "Анна", "editor"), Person("boris", "Борис", "approver")
APPROVAL = Approval("", "A1", "page", Caller(person="anna"), "apply_plan", "digest", PendingChange((STEP,)), 600.0)
QUESTION = Question("q1", APPROVAL, ANNA, "tests 1", answer="yes", answered_by=BORIS, is_used=True, change_id="c1")


def record(*outcomes: Outcome, status: ChangeStatus | None = None) -> ChangeRecord:
    steps = tuple(STEP.with_outcome(outcome) for outcome in outcomes)
    return ChangeRecord("c1", 0.0, "apply_plan", steps, status or overall_status(steps))


@pytest.mark.requirement("TEAM-32", "TEAM-33")
@pytest.mark.parametrize(
    ("change", "stage", "done"),
    [
        (record("done", "pending", "planned", status="running"), "running", 1),
        (record("done", "done", "done"), "done", 3),
        (record("undone", "undone", "undone"), "done", 3),
        (record("done", "failed", "planned"), "stopped", 1),
        (record("failed", "planned", "planned"), "failed", 0),
        (record("done", "unknown", "planned"), "unknown", 1),
        (record("done", "pending", "planned", status="interrupted"), "unknown", 1),
    ],
    ids=["running", "done", "undone", "stopped", "failed", "unknown", "interrupted"],
)
def test_where_a_question_is_its_change_says(change: ChangeRecord, stage: str, done: int) -> None:
    found = where(QUESTION, change, 0.0)
    assert (found.stage, found.done, found.total) == (stage, done, 3)
    for viewer in (ANNA, BORIS):
        told = {words_of(QUESTION, found, viewer, texts(language)) for language in LANGUAGES}
        assert len(told) == len(LANGUAGES)


@pytest.mark.requirement("TEAM-32")
def test_a_yes_that_was_used_and_of_which_nothing_is_recorded_yet_is_recorded() -> None:
    assert where(QUESTION, None, 10_000.0) == Where("agreed")
