"""An approval is used once, dies in time, and is its caller's and its way's alone."""

from typing import Any

import pytest

from amo_mcp.confirmation.approvals import MOST_PENDING, Approvals, Caller
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.question import Question

ME, YOU = Caller(client="me"), Caller(client="you")


class Change:
    def question(self) -> Question:
        return Question("Do it")

    async def still_stands(self, account: Any) -> bool:
        raise AssertionError

    async def write(self, account: Any) -> Any:
        raise AssertionError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def approvals(clock: Clock) -> Approvals:
    return MemoryApprovalStore(clock)


def refused(approvals: Approvals, approval_id: str, way: Any = "two steps", caller: Caller = ME) -> str:
    with pytest.raises(ConfirmationExpired) as caught:
        approvals.claim(approval_id, way, caller)
    return str(caught.value)


def test_it_is_claimed_once(approvals: Approvals) -> None:
    approval = approvals.open("two steps", ME, "call", Change())
    assert approvals.claim(approval.id, "two steps", ME) is approval
    assert refused(approvals, approval.id) == "This question was answered already."


def test_it_is_the_callers_and_the_ways_alone(approvals: Approvals) -> None:
    approval = approvals.open("dialog", ME, "call", Change())
    assert refused(approvals, approval.id) == "No change of yours waits for this approval."
    assert refused(approvals, approval.id, "dialog", YOU) == "No change of yours waits for this approval."
    assert approvals.claim(approval.id, "dialog", ME) is approval


@pytest.mark.requirement("CONFIRM-9")
def test_it_dies_after_ten_minutes(approvals: Approvals, clock: Clock) -> None:
    approval = approvals.open("two steps", ME, "call", Change())
    clock.now += 599.9
    assert approvals.claim(approval.id, "two steps", ME) is approval
    approvals.restore(approval)
    clock.now += 0.1
    assert refused(approvals, approval.id) == "The question had waited too long for its answer."


def test_a_dialog_is_found_by_what_was_given_out_with_it(approvals: Approvals) -> None:
    one, two = (approvals.open("dialog", ME, "call", Change()) for _ in range(2))
    approvals.leave_open(one, "state of one")
    approvals.leave_open(two, "state of two")
    assert approvals.left_open("state of one", ME, "call") is one
    assert approvals.left_open("state of two", ME, "call") is two
    for state, caller, request in (
        ("made-up", ME, "call"),
        ("state of one", YOU, "call"),
        ("state of one", ME, "another call"),
    ):
        with pytest.raises(ConfirmationExpired, match=r"No change of yours waits for this approval\."):
            approvals.left_open(state, caller, request)


def test_questions_that_wait_have_references_of_their_own(
    approvals: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["abc123", "abc123", "def456"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    references = [approvals.open("dialog", caller, "call", Change()).reference for caller in (ME, YOU)]
    assert references == ["ABC123", "DEF456"]


def test_one_caller_cannot_crowd_out_another(approvals: Approvals) -> None:
    mine = approvals.open("two steps", ME, "call", Change())
    yours = [approvals.open("two steps", YOU, f"call {number}", Change()) for number in range(MOST_PENDING + 1)]
    assert approvals.claim(mine.id, "two steps", ME) is mine
    assert refused(approvals, yours[0].id, caller=YOU) == "No change of yours waits for this approval."
    assert approvals.claim(yours[1].id, "two steps", YOU) is yours[1]


def test_all_callers_together_have_no_more_than_two_thousand_questions(approvals: Approvals) -> None:
    waiting = [approvals.open("two steps", Caller(client=str(number)), "call", Change()) for number in range(2001)]
    assert refused(approvals, waiting[0].id, caller=waiting[0].caller) == "No change of yours waits for this approval."
    assert approvals.claim(waiting[1].id, "two steps", waiting[1].caller) is waiting[1]


def test_what_is_long_dead_is_forgotten(approvals: Approvals, clock: Clock) -> None:
    approval = approvals.open("two steps", ME, "call", Change())
    clock.now += 1200
    approvals.open("two steps", ME, "another call", Change())
    assert refused(approvals, approval.id) == "No change of yours waits for this approval."


def test_what_was_answered_is_remembered_within_bounds(approvals: Approvals) -> None:
    first = approvals.open("two steps", ME, "call", Change())
    approvals.claim(first.id, "two steps", ME)
    for number in range(2000):
        approvals.end(approvals.open("two steps", ME, f"call {number}", Change()))
    assert refused(approvals, first.id) == "No change of yours waits for this approval."
