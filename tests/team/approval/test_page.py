"""Approval by a person in a team: real clients of both eras ask, and people answer in browsers of their own."""

from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types import ElicitRequestURLParams, ElicitResult, InputRequiredResult
from pydantic import SecretStr

from amo_mcp.sandbox import Fault
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.team.approval import asker
from amo_mcp.team.audit import OPERATOR, Only
from tests.conftest import ERAS, answer, error
from tests.journeys.desk import Declare, declare
from tests.team.approval.team import URL, Team, open_team

__all__ = ["declare"]

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS
DELETE: tuple[str, dict[str, Any]] = ("delete_segment", {"segment_id": 51})
DO_NOT = "Do not call the tool again unless the person asks for it."


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits for nobody for long."""
    monkeypatch.setattr(asker, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(asker, "_LOOK_SECONDS", 0.05)


async def asked(client: Client, tool: str = DELETE[0], arguments: dict[str, Any] = DELETE[1]) -> dict[str, Any]:
    """The error of a call whose question waits."""
    found = error(await client.call_tool(tool, arguments))
    assert found["code"] == "confirmation_required", found
    return found


async def confirmed(client: Client, question: dict[str, Any]) -> dict[str, Any]:
    """What `confirm_change` answers."""
    result = await client.call_tool("confirm_change", {"approval_id": question["approval_id"]})
    told = answer(result)
    return dict(told.get("error", told))


@pytest.mark.requirement("TEAM-32")
async def test_an_editor_s_deletion_is_carried_out_once_an_approver_has_agreed_on_the_page(
    era: str, team: Team
) -> None:
    async with team.client(era, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client)
        page_url, approval_id = question["page_url"], question["approval_id"]
        assert (page_url.startswith(f"{URL}/approve/q"), approval_id in page_url) == (True, False)
        assert question == {
            "code": "confirmation_required",
            "message": "A person has to agree first. Nothing was changed.",
            "retryable": False,
            "hint": "Give page_url to the person, and say that an approver other than them has to answer there, signed "
            "in to this server. Then call confirm_change with the approval_id at once: it waits for the answer.",
            "preview": question["preview"],
            "approval_id": approval_id,
            "expires_at": question["expires_at"],
            "way": "page",
            "page_url": page_url,
        }
        shown = await browser.open(page_url)
        assert browser.heading == "Delete segment «VIP»?"
        assert "Customers in the segment: " in shown
        # A client of the older era names itself before there is anything to ask, and is known by its user agent.
        program = "Cursor 1.0" if era == NEW else "python-httpx2/"
        assert f"«Анна» asks this, with the program «{program}" in shown
        assert browser.buttons == ["Do not delete", "Delete"]
        await browser.press("yes", "the new list has them")
        assert browser.heading == "Your yes is recorded."
        assert "Now the assistant of «Анна» has to go on." in browser.text
        assert team.writes() == []
        done = await confirmed(client, question)
        assert done["deleted"]["id"] == 51
        shown = await browser.open(page_url)
        assert browser.heading == "Done."
        assert "«Борис» has said yes. Comment: «the new list has them»" in shown
        # Whoever has lost the answer is told it again; nothing is done again.
        for _ in range(2):
            assert (await confirmed(client, question))["change_id"] == done["change_id"]
    assert len(team.writes()) == 1


@pytest.mark.requirement("TEAM-32")
async def test_a_call_waits_for_the_answer_at_another_replica_than_the_page(team: Team) -> None:
    async with (
        team.client(NEW, "Анна", replica=0) as client,
        team.client(NEW, "Анна", replica=1) as other,
        team.browser("Борис", replica=1) as browser,
        anyio.create_task_group() as group,
    ):
        question, outcomes = await asked(client), list[dict[str, Any]]()

        async def confirm() -> None:
            outcomes.append(await confirmed(other, question))

        group.start_soon(confirm)
        await browser.open(question["page_url"])
        await browser.press("yes")
    assert [outcome["deleted"]["id"] for outcome in outcomes] == [51]
    assert len(team.writes()) == 1


@pytest.mark.requirement("TEAM-31")
async def test_of_fifty_who_act_on_one_yes_at_two_replicas_one_changes_anything(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client, "update_segment", {"segment_id": 51, "name": "Лучшие"})
        await browser.open(question["page_url"])
        await browser.press("yes")
        outcomes: list[str] = []

        async def confirm() -> None:
            result = await confirmed(client, question)
            outcomes.append(result.get("code", "done"))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(confirm)
    assert outcomes == ["done"] * 50, "the others watch what the one does"
    assert team.writes() == ["PATCH /api/v4/customers/segments/51"]


class TestWhoMaySayWhat:
    @pytest.mark.requirement("TEAM-30", "TEAM-32")
    async def test_an_approver_may_agree_to_what_they_asked_themselves(self, team: Team) -> None:
        async with team.client(NEW, "Анна", "approver") as client, team.browser("Анна") as browser:
            question = await asked(client)
            assert "say that they can answer there" in question["hint"]
            await browser.open(question["page_url"])
            assert browser.buttons == ["Do not delete", "Delete"]
            await browser.press("yes")
            assert "Now the assistant has to go on: if nothing happens, tell it to." in browser.text
            assert (await confirmed(client, question))["deleted"]["id"] == 51

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.requirement("TEAM-30")
    @pytest.mark.parametrize("role", ["approver", "admin"])
    async def test_under_second_who_asked_cannot_agree_whatever_they_send(self, strict: Team, role: Any) -> None:
        async with (
            strict.client(NEW, "Анна", role) as client,
            strict.browser("Анна", role) as own,
            strict.browser("Борис") as other,
        ):
            question = await asked(client)
            assert "an approver other than them has to answer" in question["hint"]
            shown = await own.open(question["page_url"])
            assert "You may not agree to this yourself" in shown
            assert own.buttons == ["Do not delete"]
            await own.press("yes")
            assert (own.answer.status_code, own.heading) == (403, "Your answer was not recorded")
            assert (await confirmed(client, question))["code"] == "confirmation_pending"
            await other.open(question["page_url"])
            await other.press("yes")
            assert (await confirmed(client, question))["deleted"]["id"] == 51

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.requirement("TEAM-30")
    async def test_an_editor_agrees_to_nothing_whatever_they_send(self, strict: Team) -> None:
        async with (
            strict.client(NEW, "Анна") as client,
            strict.browser("Анна", "editor") as own,
            strict.browser("Вера", "editor") as other,
        ):
            question = await asked(client)
            await own.open(question["page_url"])
            form, path = own.form, own.at
            assert own.buttons == ["Do not delete"]
            await own.press("yes")
            assert own.answer.status_code == 403
            shown = await other.open(question["page_url"])
            assert (other.answer.status_code, other.heading) == (403, "You may not see this question")
            assert "VIP" not in shown
            await other.send(path, {**form, "answer": "yes"})
            assert other.answer.status_code == 403
            assert (await confirmed(client, question))["code"] == "confirmation_pending"
        assert strict.writes() == []

    @pytest.mark.requirement("TEAM-30")
    async def test_who_asked_may_take_it_back(self, strict: Team) -> None:
        async with strict.client(NEW, "Анна") as client, strict.browser("Анна", "editor") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("no")
            assert (browser.heading, browser.buttons) == ("Your no is recorded.", [])
            assert (await confirmed(client, question))["code"] == "declined"

    @pytest.mark.requirement("TEAM-32")
    async def test_a_no_is_told_with_who_said_it_and_why(self, era: str, team: Team) -> None:
        async with team.client(era, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("no", "marketing\nuses\u202e it")
            assert await confirmed(client, question) == {
                "code": "declined",
                "message": "«Борис» said no on the page: «marketing uses it». Nothing was changed.",
                "retryable": False,
                "hint": DO_NOT,
            }
            async with team.browser("Вера") as other:
                shown = await other.open(question["page_url"])
                assert (other.heading, "Comment: «marketing uses it»" in shown) == ("«Борис» has said no.", True)
            assert (await confirmed(client, question))["code"] == "confirmation_expired"
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-30")
    async def test_the_question_of_somebody_is_nobody_else_s_to_carry_out(self, team: Team) -> None:
        async with (
            team.client(NEW, "Анна") as hers,
            team.client(NEW, "Вера", "admin") as other,
            team.browser("Борис") as browser,
        ):
            question = await asked(hers)
            await browser.open(question["page_url"])
            await browser.press("yes")
            assert (await confirmed(other, question))["code"] == "confirmation_expired"
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-31")
    @pytest.mark.parametrize("lost", ["role", "membership"])
    async def test_the_yes_of_somebody_who_may_no_longer_give_it_does_nothing(self, team: Team, lost: str) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("yes")
            if lost == "membership":
                await team.people.remove("Борис")
                await team.people.let_in((await team.people.everybody())[-1].person.id, OPERATOR)
            else:
                await team.people.set_role("Борис", "editor")
                await team.people.set_role("Борис", "approver")
            refused = await confirmed(client, question)
            message = "Whoever said yes may no longer approve changes here. Nothing was changed."
            assert (refused["code"], refused["message"]) == ("confirmation_expired", message)
            async with team.browser("Вера") as other:
                await other.open(question["page_url"])
                assert other.heading == "The question was withdrawn."
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-31")
    async def test_a_policy_that_became_stricter_counts_for_what_was_agreed_to_before(
        self, team: Team, database_url: SecretStr
    ) -> None:
        async with team.client(NEW, "Анна", "approver") as client, team.browser("Анна") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("yes")
        async with (
            open_team(team.database, database_url, "second") as strict,
            strict.client(NEW, "Анна", "approver") as client,
        ):
            assert (await confirmed(client, question))["code"] == "confirmation_expired"
            assert (team.writes(), strict.writes()) == ([], [])

    @pytest.mark.requirement("TEAM-31")
    async def test_the_question_of_somebody_who_was_removed_is_withdrawn(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await team.people.remove("Анна")
            await browser.open(question["page_url"])
            assert browser.heading == "The question was withdrawn."
            await team.people.let_in((await team.people.everybody())[-1].person.id, OPERATOR)
            await browser.open(question["page_url"])
            assert browser.heading == "The question was withdrawn."

    @pytest.mark.requirement("TEAM-32")
    async def test_somebody_who_was_removed_is_sent_to_sign_in(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await team.people.remove("Борис")
            await browser.press("yes")
            assert (browser.answer.status_code, browser.heading) == (403, "Your answer was not recorded")
            await browser.open(question["page_url"])
            assert browser.answer.status_code == 303
            assert browser.answer.headers["location"].startswith("/sign-in?to=%2Fapprove%2Fq")


class TestAnswers:
    @pytest.mark.requirement("TEAM-32")
    async def test_of_two_answers_the_second_is_told_that_it_was_not_recorded(self, team: Team) -> None:
        async with (
            team.client(NEW, "Анна") as client,
            team.browser("Борис") as first,
            team.browser("Вера") as second,
        ):
            question = await asked(client)
            for browser in (first, second):
                await browser.open(question["page_url"])
            form, path = first.form, first.at
            await first.press("no")
            shown = await second.press("yes")
            assert (second.answer.status_code, second.heading) == (409, "«Борис» has said no.")
            assert "Your answer came too late and was not recorded." in shown
            # The same browser, once more: a page that was gone back to.
            await first.send(path, {**form, "shown": "0", "answer": "yes"})
            assert (first.answer.status_code, first.heading) == (409, "Your no is recorded.")
            assert (await confirmed(client, question))["code"] == "declined"
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-32")
    async def test_an_answer_after_ten_minutes_is_none(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            assert int(browser.answer.headers["refresh"]) in range(595, 602)
            await team.database.execute("UPDATE approvals SET expires = unix_now()")
            await browser.press("yes")
            assert (browser.answer.status_code, browser.heading) == (409, "Too late.")
            assert (await confirmed(client, question))["code"] == "confirmation_expired"
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-32")
    async def test_a_yes_that_nobody_collects_does_nothing_and_says_so(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("yes")
            assert browser.answer.headers["refresh"] == "2"
            await team.database.execute("UPDATE approvals SET expires = unix_now()")
            await browser.open(question["page_url"])
            assert browser.text.startswith("Too late. The assistant did not pick up your yes in time.")
            async with team.browser("Вера") as other:
                await other.open(question["page_url"])
                assert other.text.startswith("Too late. The assistant did not go on in time. Nothing was changed.")
            assert (await confirmed(client, question))["code"] == "confirmation_expired"
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-32")
    @pytest.mark.parametrize("shown", [None, "", "soon", "nan", "1e400"])
    async def test_a_button_that_was_pressed_at_once_is_asked_for_again(self, team: Team, shown: str | None) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("yes", seen=False, **({} if shown is None else {"shown": shown}))
            assert "Please answer again: that was within a second of this page appearing." in browser.text
            await browser.press("yes")
            assert browser.heading == "Your yes is recorded."

    @pytest.mark.requirement("TEAM-32")
    async def test_a_change_in_the_account_after_the_question_is_told_on_the_page(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            question = await asked(client)
            await browser.open(question["page_url"])
            await browser.press("yes")
            team.sandbox.account.segments[51]["name"] = "Renamed"
            assert (await confirmed(client, question))["code"] == "target_changed"
            await browser.open(question["page_url"])
            assert browser.heading == "Not done."
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-32")
    async def test_a_comment_is_cut_at_five_hundred_characters(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            for length, kept in ((500, "a" * 500), (501, "a" * 499 + "…")):
                question = await asked(client)
                await browser.open(question["page_url"])
                await browser.press("no", "a" * length)
                assert f"«{kept}»" in (await confirmed(client, question))["message"]

    @pytest.mark.requirement("TEAM-31")
    async def test_the_same_question_asked_again_has_the_same_page(self, team: Team) -> None:
        async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
            first, again = await asked(client), await asked(client)
            assert first["page_url"] == again["page_url"]
            await browser.open(first["page_url"])
            await browser.press("yes")
            assert (await confirmed(client, first))["code"] == "confirmation_expired"
            assert (await confirmed(client, again))["deleted"]["id"] == 51

    @pytest.mark.requirement("TEAM-32")
    @pytest.mark.parametrize(
        ("language", "heading", "buttons"),
        [
            ("ru", "Удалить сегмент «VIP»?", ["Не удалять", "Удалить"]),
            ("es-MX,en", "¿Eliminar el segmento «VIP»?", ["No eliminar", "Eliminar"]),
            ("pt-BR", "Excluir o segmento «VIP»?", ["Não excluir", "Excluir"]),
        ],
    )
    async def test_the_page_is_in_the_language_of_the_browser(
        self, team: Team, language: str, heading: str, buttons: list[str]
    ) -> None:
        async with (
            team.client(NEW, "Анна") as client,
            team.browser("Борис", language=language) as browser,
        ):
            await browser.open((await asked(client))["page_url"])
            assert (browser.heading, browser.buttons) == (heading, buttons)


class TestRuns:
    PLAN = (
        *({"action": "update", "kind": "segment", "id": one, "name": f"Новое {one}"} for one in (51, 54, 57)),
        {"action": "delete", "kind": "segment", "id": 60},
    )

    @pytest.mark.requirement("TEAM-33")
    async def test_a_run_is_watched_on_the_page_and_stopped_between_two_steps(self, era: str, team: Team) -> None:
        async with (
            team.client(era, "Анна") as client,
            team.browser("Борис") as browser,
            anyio.create_task_group() as group,
        ):
            plan = answer(await client.call_tool("plan_changes", {"changes": [*self.PLAN]}))
            question = await asked(client, "apply_plan", {"plan_id": plan["plan_id"]})
            shown = await browser.open(question["page_url"])
            assert browser.heading == "Apply a plan of 4 changes?"
            assert all(text in shown for text in ("1. Change segment", "4. Delete segment", "was", "will be"))
            await browser.press("yes")
            team.sandbox.faults.add(Fault(method="PATCH", delay=0.3, times=0))
            outcomes: list[dict[str, Any]] = []

            async def confirm() -> None:
                outcomes.append(await confirmed(client, question))

            group.start_soon(confirm)
            while browser.buttons != ["Stop after this step"]:
                await browser.open(question["page_url"])
            assert (browser.heading, browser.answer.headers["refresh"]) == ("It is being carried out.", "5")
            stop, form = f"{browser.at}/stop", browser.form
            for _ in range(2):
                assert "It stops after the step that is under way." in await browser.send(stop, form)
        [outcome] = outcomes
        assert outcome["status"] == "stopped"
        async with team.browser("Борис") as browser:
            shown = await browser.open(question["page_url"])
            assert browser.heading == "It stopped part-way."
            assert f"Steps that were made: {len(outcome['done'])} of 4." in shown
        told = [one.entry for one in await PostgresAudit(team.database).page(20, only=Only(kind="approval"))]
        said = [(one.what, one.by.name, one.subject == outcome["change_id"]) for one in told]
        assert said == [("stopped", "Борис", True), ("yes", "Борис", False)]
        assert 0 < len(team.writes()) < 4

    @pytest.mark.requirement("TEAM-33")
    async def test_only_who_may_see_a_run_may_stop_it_and_only_by_its_own_page(self, team: Team) -> None:
        async with (
            team.client(NEW, "Анна") as client,
            team.browser("Борис") as browser,
            team.browser("Вера", "editor") as editor,
        ):
            question = await asked(client)
            await browser.open(question["page_url"])
            path, form = browser.at, browser.form
            await editor.send(f"{path}/stop", form)
            assert editor.answer.status_code == 403
            await browser.send(f"{path}/stop", {**form, "token": "other"})
            assert (browser.answer.status_code, browser.heading) == (403, "Your answer was not recorded")
            # With nothing under way there is nothing to stop.
            await browser.send(f"{path}/stop", form)
            assert browser.heading == "Delete segment «VIP»?"


class TestLinks:
    """A client that declares URL elicitation (2026-07-28) is given the address that way."""

    @pytest.mark.requirement("TEAM-34")
    async def test_the_address_comes_as_a_link_and_the_call_waits_for_the_answer(
        self, team: Team, declare: Declare
    ) -> None:
        declare("url")
        links: list[str] = []
        async with team.browser("Борис") as browser:

            async def person(_: Any, params: Any) -> ElicitResult:
                assert isinstance(params, ElicitRequestURLParams)
                links.append(params.url)
                await browser.open(params.url)
                await browser.press("yes")
                return ElicitResult(action="accept")

            async with team.client(NEW, "Анна", dialog=person) as client:
                assert answer(await client.call_tool(*DELETE))["deleted"]["id"] == 51
        [link] = links
        assert link.startswith(f"{URL}/approve/q")

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.requirement("TEAM-34")
    async def test_a_link_that_was_taken_and_not_answered_leaves_the_question_waiting(
        self, team: Team, declare: Declare
    ) -> None:
        declare("url")

        async def person(_: Any, __: Any) -> ElicitResult:
            return ElicitResult(action="accept")

        async with team.client(NEW, "Анна", dialog=person) as client, team.browser("Борис") as browser:
            pending = error(await client.call_tool(*DELETE))
            assert (pending["code"], pending["retryable"]) == ("confirmation_pending", True)
            await browser.open(pending["page_url"])
            await browser.press("yes")
            assert (await confirmed(client, pending))["deleted"]["id"] == 51

    @pytest.mark.requirement("TEAM-34")
    async def test_a_link_that_was_not_taken_withdraws_the_question(self, team: Team, declare: Declare) -> None:
        declare("url")
        links: list[str] = []

        async def person(_: Any, params: Any) -> ElicitResult:
            links.append(params.url)
            return ElicitResult(action="decline")

        async with team.client(NEW, "Анна", dialog=person) as client, team.browser("Борис") as browser:
            assert error(await client.call_tool(*DELETE))["code"] == "declined"
            await browser.open(links[0])
            assert browser.heading == "The question was withdrawn."
        assert team.writes() == []

    @pytest.mark.requirement("TEAM-34")
    async def test_a_link_is_for_the_call_that_it_was_given_to(self, team: Team, declare: Declare) -> None:
        declare("url")
        async with team.client(NEW, "Анна", dialog=_nobody) as client:
            first = await client.session.call_tool(*DELETE, allow_input_required=True)
            assert isinstance(first, InputRequiredResult)
            state = first.request_state
            again = await client.session.call_tool(*DELETE, request_state=state, allow_input_required=True)
            assert isinstance(again, InputRequiredResult)
            assert again.input_requests == first.input_requests
            with pytest.raises(Exception, match="requestState"):
                await client.session.call_tool(
                    "delete_segment", {"segment_id": 54}, request_state=state, allow_input_required=True
                )

    @pytest.mark.requirement("TEAM-34")
    async def test_a_client_of_the_older_era_has_it_in_the_answer(self, team: Team, declare: Declare) -> None:
        declare("url")
        async with team.client(OLD, "Анна", dialog=_nobody) as client:
            assert (await asked(client))["page_url"].startswith(f"{URL}/approve/q")


async def _nobody(_: Any, __: Any) -> ElicitResult:
    raise AssertionError
