"""What somebody may try at the page of a question, or by what is shown on it: nothing comes of it."""

import re
from urllib.parse import urlsplit

import httpx2
import pytest

from amo_mcp.confirmation.waiting import SETTLE
from tests.conftest import error
from tests.team.approval.team import URL, Browser, Team
from tests.team.approval.test_page import NEW, asked, confirmed, hurried

__all__ = ["hurried"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hurried")]

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u200b» agreed «'
SEEN = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


async def nothing_was_recorded(team: Team, browser: Browser, question_of: str, *, status: int = 403) -> None:
    assert (browser.answer.status_code, browser.heading) == (status, "Your answer was not recorded")
    row = await team.database.fetchrow("SELECT answer FROM approvals WHERE page = $1", question_of.rpartition("/")[2])
    assert row is not None
    assert row["answer"] is None


@pytest.mark.requirement("TEAM-35")
@pytest.mark.parametrize("token", ["", "0", "\udce4", "the other's"])
async def test_a_form_without_the_token_of_its_browser_is_no_answer(team: Team, token: str) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser, team.browser("Вера") as other:
        page = (await asked(client))["page_url"]
        await other.open(page)
        await browser.open(page)
        given = other.form["token"] if token == "the other's" else token.encode("utf-8", "replace").decode()
        await browser.press("yes", token=given)
        await nothing_was_recorded(team, browser, page)


@pytest.mark.requirement("TEAM-35")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://crm.example.org", "http://localhost"])
async def test_a_form_that_another_page_sends_is_no_answer(team: Team, origin: str) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        page = (await asked(client))["page_url"]
        await browser.open(page)
        form = {**browser.form, "shown": "0", "answer": "yes"}
        await browser.send(browser.at, form, origin=origin)
        assert browser.answer.status_code in (403, 421)
        pending = await team.database.fetchval("SELECT count(*) FROM approvals WHERE answer IS NULL")
        assert pending == 1


@pytest.mark.requirement("TEAM-35")
async def test_a_form_of_another_browser_is_no_answer(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser, team.browser() as other:
        page = (await asked(client))["page_url"]
        await browser.open(page)
        await other.send(browser.at, {**browser.form, "shown": "0", "answer": "yes"})
        await nothing_was_recorded(team, other, page)
        async with team.browser("Борис") as elsewhere:
            await elsewhere.send(browser.at, {**browser.form, "shown": "0", "answer": "yes"})
            await nothing_was_recorded(team, elsewhere, page)


@pytest.mark.requirement("TEAM-35")
async def test_an_address_alone_shows_nothing_and_does_nothing(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser() as browser:
        question = await asked(client)
        page = question["page_url"]
        for query in ("", "?answer=yes", "?stopping"):
            shown = await browser.open(page + query)
            assert (browser.answer.status_code, "VIP" in shown) == (303, False)
            assert urlsplit(browser.answer.headers["location"]).path == "/sign-in"
        async with team.browser("Борис") as approver:
            for query in ("?answer=yes", "?stopping"):
                await approver.open(page + query)
                assert approver.heading == "Delete segment «VIP»?"
        assert (await confirmed(client, question))["code"] == "confirmation_pending"


@pytest.mark.requirement("TEAM-35")
@pytest.mark.parametrize("said", ["", "YES", "true", "yes no"])
async def test_what_is_neither_a_yes_nor_a_no_is_no_answer(team: Team, said: str) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        page = (await asked(client))["page_url"]
        await browser.open(page)
        await browser.press(said)
        await nothing_was_recorded(team, browser, page)


@pytest.mark.requirement("TEAM-35")
@pytest.mark.parametrize("body", ["", "token=%FF&answer=yes", "a" * 70_000, "token=" + "&answer=yes" * 2000])
async def test_a_body_of_any_kind_is_no_answer(team: Team, body: str) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        await browser.open((await asked(client))["page_url"])
        headers = {"origin": URL, "content-type": "application/x-www-form-urlencoded"}
        refused = await browser.http.post(browser.at, content=body, headers=headers)
        assert refused.status_code in (400, 403, 413)
        pending = await team.database.fetchval("SELECT count(*) FROM approvals WHERE answer IS NULL")
        assert pending == 1


@pytest.mark.requirement("TEAM-35")
async def test_no_answer_of_the_server_can_be_framed_or_kept_or_runs_a_script(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser, team.browser() as nobody:
        page = (await asked(client))["page_url"]
        answers: list[httpx2.Response] = []
        for who, address in ((nobody, page), (browser, f"{URL}/approve/q0"), (browser, page)):
            await who.open(address)
            answers.append(who.answer)
        form = {**browser.form, "shown": "0", "answer": "yes"}
        for path, sent in ((f"{browser.at}/stop", {}), (browser.at, {}), (browser.at, form), (browser.at, form)):
            answers.append(await browser.http.post(path, data=sent, headers={"origin": URL}))
    assert [one.status_code for one in answers] == [303, 404, 200, 403, 403, 303, 409]
    for one in answers:
        assert one.headers["x-frame-options"] == "DENY"
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["referrer-policy"] == "same-origin"
        if one.status_code != 303:
            assert one.headers["content-security-policy"] == (
                "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )


@pytest.mark.requirement("TEAM-35")
async def test_hostile_names_of_people_programs_and_segments_are_text(team: Team) -> None:
    team.sandbox.account.segments[51]["name"] = HOSTILE
    async with (
        team.client(NEW, f"Анна {HOSTILE}", client=HOSTILE) as client,
        team.browser(f"Борис {HOSTILE}") as browser,
    ):
        question = await asked(client)
        shown = await browser.open(question["page_url"])
        assert shown.count(SEEN) >= 4
        assert re.findall(r"<(script|img)", browser.answer.text) == []
        # A name cannot close its own quotation marks, and what nobody sees is not there.
        assert "» agreed «" not in shown
        assert not {"\u202e", "\u200b"} & {*browser.answer.text}
        await browser.press("no", HOSTILE)
        assert re.findall(r"<(script|img)", browser.answer.text) == []
        declined = await confirmed(client, question)
        assert "» agreed «" not in declined["message"]


@pytest.mark.requirement("TEAM-35")
async def test_no_page_and_no_answer_of_it_tells_the_secret_of_a_question(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client)
        for step in (browser.open(question["page_url"]), browser.press("yes")):
            await step
            assert question["approval_id"] not in f"{browser.answer.text} {browser.answer.headers}"
        rows = await team.database.fetch("SELECT * FROM approvals")
        assert question["approval_id"] not in str([dict(row) for row in rows])


@pytest.mark.requirement("TEAM-35")
@pytest.mark.parametrize("approval_id", ["", "page", "\0"])
async def test_the_public_name_of_a_question_carries_nothing_out(team: Team, approval_id: str) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client)
        await browser.open(question["page_url"])
        await browser.press("yes")
        given = browser.at.rpartition("/")[2] if approval_id == "page" else approval_id
        refused = error(await client.call_tool("confirm_change", {"approval_id": given}))
        assert refused["code"] in ("confirmation_expired", "invalid_arguments")
    assert team.writes() == []


@pytest.mark.requirement("TEAM-35")
async def test_a_page_that_is_not_seen_for_a_moment_takes_no_answer(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client)
        await browser.open(question["page_url"])
        for early in (0.0, SETTLE / 2):
            await browser.press("yes", seen=False, shown=str(float(browser.form["shown"]) - early))
            assert browser.heading == "Delete segment «VIP»?"
        assert (await confirmed(client, question))["code"] == "confirmation_pending"


@pytest.mark.requirement("TEAM-35")
async def test_while_the_database_is_away_nothing_is_recorded_and_a_page_says_so(team: Team) -> None:
    async with team.client(NEW, "Анна") as client, team.browser("Борис") as browser:
        question = await asked(client)
        await browser.open(question["page_url"])
        await team.database.execute("ALTER TABLE approvals RENAME TO away")
        try:
            browser.http.headers["accept"] = "text/html"
            await browser.press("yes")
            assert (browser.answer.status_code, browser.heading) == (503, "The server cannot do this now")
            assert (await confirmed(client, question))["code"] == "unavailable"
        finally:
            await team.database.execute("ALTER TABLE away RENAME TO approvals")
        await browser.open(question["page_url"])
        await browser.press("yes")
        assert (await confirmed(client, question))["deleted"]["id"] == 51
