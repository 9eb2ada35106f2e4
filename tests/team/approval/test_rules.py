"""Who may see a question of a team, and who may say what to it."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import Caller
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.approval.rules import Approvals, effects_of, may_see
from amo_mcp.team.people import ROLES, Person, Role
from amo_mcp.team.settings import Effect, Policy
from tests.team.approval.asking import asked_by, known

pytestmark = pytest.mark.anyio

VIP = Segment(id=51, name="VIP")
DELETION, UPDATE, CREATION = Delete(VIP), Update(VIP, SegmentPatch(name="A")), Create(SegmentDraft(name="A"), ())


def question_by(role: Role, *steps: Step, plan_id: str | None = None) -> Question:
    change = PendingChange(steps or (DELETION,), plan_id=plan_id)
    approval = Approval("", "A1", "page", Caller(person="anna"), "tool", "digest", change, 0.0)
    return Question("q1", approval, Person("anna", "Анна", role), "tests 1")


def approvals(database: Database, **policies: Policy) -> Approvals:
    by_effect: dict[Effect, Policy] = dict.fromkeys(get_args(Effect), "self")
    return Approvals(PostgresQuestionStore(database), {**by_effect, **policies})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("steps", "plan_id", "effects"),
    [
        ((DELETION,), None, {"delete"}),
        ((UPDATE,), None, {"update"}),
        ((CREATION,), None, {"update"}),
        ((CREATION,), "p1", {"plan"}),
        ((DELETION,), "p1", {"plan", "delete"}),
        ((CREATION, UPDATE, DELETION), None, {"plan", "update", "delete"}),
    ],
    ids=["deletion", "update", "creation", "plan of a creation", "plan of a deletion", "undo"],
)
@pytest.mark.requirement("TEAM-30")
def test_several_steps_are_a_plan_and_what_each_of_them_is(
    steps: tuple[Step, ...], plan_id: str | None, effects: set[str]
) -> None:
    assert effects_of(PendingChange(steps, plan_id=plan_id)) == effects


@pytest.mark.parametrize(("policy", "role"), list(product(get_args(Policy), ROLES)))
@pytest.mark.requirement("TEAM-30")
async def test_a_yes_takes_an_approver_and_under_second_another_one(
    policy: Policy, role: Role, database: Database
) -> None:
    rules = approvals(database, delete=policy)
    own, others = question_by(role), replace(question_by(role), asker=Person("vera", "Вера", "editor"))
    person = own.asker
    may_approve = role in ("approver", "admin")
    assert "yes" in rules.answers(person, others) or not may_approve
    assert rules.answers(person, others) == (("no", "yes") if may_approve else ())
    assert rules.answers(person, own) == (("no", "yes") if may_approve and policy == "self" else ("no",))


@pytest.mark.requirement("TEAM-30")
async def test_a_plan_that_deletes_needs_whoever_a_deletion_needs(database: Database) -> None:
    rules = approvals(database, delete="second")
    assert rules.needs_second(question_by("approver", DELETION, plan_id="p1"))
    assert not rules.needs_second(question_by("approver", UPDATE, plan_id="p1"))
    assert approvals(database, plan="second").needs_second(question_by("approver", UPDATE, plan_id="p1"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.requirement("TEAM-30")
def test_a_question_is_seen_by_who_asked_and_by_who_may_approve(role: Role) -> None:
    assert may_see(Person("anna", "Анна", role), question_by("viewer"))
    assert may_see(Person("vera", "Вера", role), question_by("viewer")) == (role in ("approver", "admin"))


@pytest.mark.requirement("TEAM-30")
async def test_everybody_is_listed_what_they_may_see(database: Database) -> None:
    rules, people = approvals(database), PostgresPeopleStore(database)
    anna, boris = [await known(people, name, "editor") for name in ("Анна", "Борис")]
    vera = await known(people, "Вера", "approver")
    questions = PostgresQuestionStore(database)
    first, second = await asked_by(questions, anna), await asked_by(questions, boris)
    listed = {person.name: [one.page for one in await rules.pending(person)] for person in (anna, boris, vera)}
    assert listed == {"Анна": [first.page], "Борис": [second.page], "Вера": [first.page, second.page]}
    assert await rules.seen(anna, second.page) is None
    assert await rules.seen(vera, "q0") is None
    seen = await rules.seen(vera, second.page)
    assert seen is not None
    assert (seen.asker, seen.approval.id) == (boris, "")
