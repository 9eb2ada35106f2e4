"""The questions that a team answers on a page: asked at one replica, answered at another, used once."""

from dataclasses import replace

import anyio
import pytest
from pydantic import SecretStr

from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.audit import Actor, Entry, Only, touched_by
from amo_mcp.team.people import Person
from tests.clock import Clock
from tests.team.approval.asking import CHANGE, READER, asked_by, known

pytestmark = pytest.mark.anyio


@pytest.fixture
def questions(database: Database, clock: Clock) -> PostgresQuestionStore:
    return PostgresQuestionStore(database, clock=clock)


@pytest.fixture
def people(database: Database) -> PostgresPeopleStore:
    return PostgresPeopleStore(database)


def by(person: Person) -> Actor:
    return Actor(person.id, person.name, "Firefox")


async def refusal(questions: PostgresQuestionStore, question: Question, asker: Person) -> str:
    with pytest.raises(ConfirmationExpired) as caught:
        await questions.asked(question.approval.id, asker)
    return str(caught.value)


@pytest.mark.requirement("TEAM-31")
async def test_a_question_keeps_who_asked_what_with_which_client(
    questions: PostgresQuestionStore, people: PostgresPeopleStore, clock: Clock
) -> None:
    anna = await known(people, "Анна", "editor")
    question = await asked_by(questions, anna)
    assert (question.approval.change, question.approval.reader) == (CHANGE, READER)
    assert (question.asker, question.client, question.stage(clock.now)) == (anna, "cursor 1.0", "waiting")
    assert await questions.asked(question.approval.id, anna) == question
    public = replace(question, approval=replace(question.approval, id=""))
    assert await questions.on_page(question.page) == public
    assert await questions.waiting() == [public]


@pytest.mark.requirement("TEAM-31")
async def test_the_secret_of_a_question_is_good_for_who_asked_and_its_public_name_for_nothing(
    questions: PostgresQuestionStore, people: PostgresPeopleStore
) -> None:
    anna, boris = await known(people, "Анна"), await known(people, "Борис")
    question = await asked_by(questions, anna)
    not_pending = "No such question is pending, or it is not the caller's."
    assert await refusal(questions, question, boris) == not_pending
    named = replace(question, approval=replace(question.approval, id=question.page))
    assert await refusal(questions, named, anna) == not_pending


@pytest.mark.requirement("TEAM-31")
async def test_who_asks_the_same_again_goes_on_with_the_same_question(
    questions: PostgresQuestionStore, people: PostgresPeopleStore
) -> None:
    anna, boris = await known(people, "Анна"), await known(people, "Борис")
    first = await asked_by(questions, anna)
    assert await questions.answer(first, "yes", by(boris), "")
    again = await asked_by(questions, anna)
    assert (again.page, again.answer) == (first.page, "yes")
    assert await refusal(questions, first, anna) == "No such question is pending, or it is not the caller's."
    assert (await questions.asked(again.approval.id, anna)).answer == "yes"
    others = [await asked_by(questions, boris), await asked_by(questions, anna, replace(CHANGE, plan_id="p1"))]
    assert len({first.page, *(other.page for other in others)}) == 3
    refused = await asked_by(questions, boris)
    assert await questions.answer(refused, "no", by(anna), "")
    assert (await asked_by(questions, boris)).page != refused.page


@pytest.mark.requirement("TEAM-31")
async def test_the_first_answer_is_the_last_and_in_the_audit(
    questions: PostgresQuestionStore, people: PostgresPeopleStore, database: Database
) -> None:
    anna, boris = await known(people, "Анна"), await known(people, "Борис")
    question = await asked_by(questions, anna)
    assert await questions.answer(question, "no", by(boris), "VIP is used \0 elsewhere")
    assert not await questions.answer(question, "yes", by(anna), "")
    answered = await questions.on_page(question.page)
    assert answered is not None
    assert (answered.answer, answered.answered_by, answered.comment) == ("no", boris, "VIP is used ? elsewhere")
    assert not await questions.use_yes(question)
    [told] = [entry.entry for entry in await PostgresAudit(database).page(10, only=Only(kind="approval"))]
    comment = "VIP is used ? elsewhere"
    assert told == Entry(
        kind="approval",
        what="no",
        by=by(boris),
        subject=question.page,
        approved_how="page",
        touched=tuple(map(touched_by, CHANGE.steps)),
        comment=comment,
    )


@pytest.mark.requirement("TEAM-31")
async def test_an_answer_that_comes_too_late_is_none(
    questions: PostgresQuestionStore, people: PostgresPeopleStore, clock: Clock
) -> None:
    anna, boris = await known(people, "Анна"), await known(people, "Борис")
    question = await asked_by(questions, anna)
    clock.now += 600
    assert not await questions.answer(question, "yes", by(boris), "")
    assert await refusal(questions, question, anna) == "The confirmation expired."
    assert question.stage(clock.now) == "expired"
    assert await questions.waiting() == []


@pytest.mark.requirement("TEAM-31")
async def test_of_fifty_who_use_a_yes_at_two_replicas_at_once_one_succeeds(
    database_url: SecretStr, people: PostgresPeopleStore
) -> None:
    replicas = [Database(database_url) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    stores = [PostgresQuestionStore(replica) for replica in replicas]
    anna, boris = await known(people, "Анна"), await known(people, "Борис")
    question = await asked_by(stores[0], anna)
    assert await stores[1].answer(question, "yes", by(boris), "")
    used: list[bool] = []

    async def use(store: PostgresQuestionStore) -> None:
        used.append(await store.use_yes(question))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(use, stores[number % 2])
    assert (sum(used), len(used)) == (1, 50)
    assert await refusal(stores[0], question, anna) == "This question was answered already."
    for replica in replicas:
        await replica.close()


@pytest.mark.requirement("TEAM-31")
async def test_a_yes_of_somebody_who_may_no_longer_say_it_is_none(
    questions: PostgresQuestionStore, people: PostgresPeopleStore
) -> None:
    anna, boris, vera = [await known(people, name) for name in ("Анна", "Борис", "Вера")]
    question = await asked_by(questions, anna)
    assert await questions.answer(question, "yes", by(boris), "")
    await people.set_role("Борис", "editor")
    assert not await questions.use_yes(question)
    await people.set_role("Борис", "admin")
    await people.remove("Борис")
    assert not await questions.use_yes(question)
    other = await asked_by(questions, boris)
    assert await questions.answer(other, "yes", by(vera), "")
    assert await questions.use_yes(other)


@pytest.mark.requirement("TEAM-31")
async def test_the_question_of_somebody_who_was_removed_waits_for_nobody(
    questions: PostgresQuestionStore, people: PostgresPeopleStore, clock: Clock
) -> None:
    anna = await known(people, "Анна", "editor")
    question = await asked_by(questions, anna)
    await people.remove("Анна")
    assert await questions.waiting() == []
    found = await questions.on_page(question.page)
    assert found is not None
    assert found.stage(clock.now) == "withdrawn"


@pytest.mark.requirement("TEAM-31")
async def test_what_came_of_a_question_is_kept(
    questions: PostgresQuestionStore, people: PostgresPeopleStore, clock: Clock
) -> None:
    anna = await known(people, "Анна")
    question = await asked_by(questions, anna)
    assert await questions.answer(question, "yes", by(anna), "")
    assert await questions.use_yes(question)
    used = await questions.on_page(question.page)
    assert used is not None
    assert used.stage(clock.now + 700) == "agreed"
    await questions.close(question.approval.id, "changed")
    closed = await questions.on_page(question.page)
    assert closed is not None
    assert closed.stage(clock.now) == "changed"


@pytest.mark.requirement("TEAM-31")
async def test_a_page_of_another_name_has_no_question(questions: PostgresQuestionStore) -> None:
    assert [await questions.on_page(name) for name in ("", "q0", "\0")] == [None, None, None]


@pytest.mark.requirement("TEAM-31")
async def test_more_than_two_hundred_questions_are_not_listed_at_once(
    questions: PostgresQuestionStore, people: PostgresPeopleStore
) -> None:
    askers = [await known(people, f"Анна {number}", "editor") for number in range(5)]
    asked = [
        await asked_by(questions, asker, replace(CHANGE, plan_id=f"p{number}"))
        for asker in askers
        for number in range(41)
    ]
    assert [question.page for question in await questions.waiting()] == [question.page for question in asked][:200]
