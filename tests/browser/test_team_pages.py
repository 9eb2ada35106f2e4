"""The pages of a team's people in a real browser without JavaScript; they sign in by amoCRM's consent."""

import re
from typing import Any

import pytest

from amo_mcp.language import Language, texts
from amo_mcp.pages.guard import new_secret
from amo_mcp.storage.postgres.browsers import PostgresBrowserStore
from amo_mcp.team.audit import Actor
from amo_mcp.team.people import Role, digest_of, look_up
from tests.browser import test_approval
from tests.browser.chromium import chromium
from tests.browser.test_approval import ANNA, DELETE, OLEG, SHOTS, Open, Scene
from tests.browser.test_page import HOSTILE
from tests.conftest import answer

pytestmark = pytest.mark.anyio

TOKEN = re.compile(r"amo_[0-9a-f]{12}_[\w-]{43}")

opened = test_approval.opened


async def signed_in(scene: Scene, user: int = ANNA, role: Role = "admin", to: str = "/mine", **looks: Any) -> str:
    """Sign in and open a page; what it says."""
    shown = await scene.sign_in("Anna", user, role, f"{scene.team.url}{to}", **looks)
    return str(shown["text"])


async def test_whoever_signs_in_makes_a_token_that_is_shown_once_and_revokes_it(opened: Open) -> None:
    async with opened() as scene:
        assert "Nothing waits for an answer." in await signed_in(scene, role="viewer", to="/")
        await scene.browser.do("fill", who="Anna", label="What for", text="my script")
        shown = await scene.browser.do("press", who="Anna", button="Make the token")
        assert "Your new token" in shown["text"]
        [token, again] = TOKEN.findall(shown["text"])
        assert token == again
        known = await look_up(scene.team.people, token)
        assert known is not None
        assert (known.label, known.may_write, known.person.role) == ("my script", False, "viewer")
        shown = await scene.browser.do("reload", who="Anna")
        assert token not in shown["text"]
        shown = await scene.browser.do("press", who="Anna", button="Revoke «my script»")
        assert "The token was revoked: it is good no longer." in shown["text"]
        assert await look_up(scene.team.people, token) is None
        shown = await scene.browser.do("press", who="Anna", button="Sign out")
        assert "You are signed out" in shown["text"]
        shown = await scene.browser.do("open", who="Anna", address=f"{scene.team.url}/mine")
        assert "On the next page amoCRM asks who you are." in shown["text"]


async def test_a_question_that_waits_leads_to_its_page(opened: Open) -> None:
    async with opened() as scene:
        question = await scene.ask(*DELETE)
        await signed_in(scene, role="approver")
        shown = await scene.browser.do("follow", who="Anna", link="Delete segment «VIP»")
        assert shown["url"] == question["page_url"]


async def test_an_admin_gives_a_role_by_the_keyboard_and_finds_it_in_the_audit(opened: Open) -> None:
    async with opened() as scene:
        await scene.sign_in("Oleg", OLEG, "viewer", f"{scene.team.url}/mine")
        await signed_in(scene, to="/people")
        [name] = [one.name for one in await scene.team.people.people() if one.id.endswith(f":{OLEG}")]
        await scene.browser.do("choose", who="Anna", label=f"Role of «{name}»", option="editor")
        shown = await scene.browser.do("press", who="Anna", button=f"Change the role «{name}»")
        assert "The role was changed: it counts from the next request on." in shown["text"]
        shown = await scene.browser.do("follow", who="Anna", link="Audit")
        assert "Gave another role · done" in shown["text"]
        await scene.browser.do("unfold", who="Anna")
        shown = await scene.browser.do("look", who="Anna")
        assert re.search(r"Role\s+was\s+viewer\s+editor", shown["text"]), shown["text"]
        await scene.browser.do("fill", who="Anna", label="Person (name or id)", text="nobody")
        shown = await scene.browser.do("press", who="Anna", button="Show")
        assert "Nothing was found." in shown["text"]


async def test_the_board_draws_for_who_is_signed_in_under_its_strict_policy(opened: Open) -> None:
    async with opened() as scene, chromium("board.mjs") as browser:
        person, _ = await scene.team.known("Анна", "viewer")
        cookie = new_secret()
        await PostgresBrowserStore(scene.team.database).begin(digest_of(cookie), person.id)
        kept = {"name": "amo-session", "value": cookie, "url": scene.team.url}
        shown = await browser.do("open", address=f"{scene.team.url}/board", cookies=[kept], locale="ru")
        shown = await browser.do("await", text="VIP")
        assert shown["errors"] == []
        assert {request.partition("?")[0] for request in shown["requests"]} == {
            f"{scene.team.url}/board",
            f"{scene.team.url}/board/answers",
        }


@pytest.mark.parametrize("language", ["en", "ru", "es", "pt"])
async def test_every_page_fits_a_phone_and_breaks_no_rule_of_accessibility(opened: Open, language: Language) -> None:
    """The screenshots are for looking at."""
    SHOTS.mkdir(exist_ok=True)
    looks: dict[str, Any] = {"who": "Anna", "width": 360, "language": language}
    words = texts(language)

    async def check(scene: Scene, name: str) -> None:
        await scene.browser.check(name, who="Anna")
        await scene.browser.shoot(SHOTS / f"team-{name}-{language}", who="Anna")

    async def go(scene: Scene, to: str) -> None:
        await scene.browser.do("open", address=f"{scene.team.url}{to}", **looks)

    async with opened(language) as scene:
        people = scene.team.people
        await signed_in(scene, width=360)
        await check(scene, "mine-empty")
        await scene.ask()
        await scene.browser.do("fill", label=words("What for"), text="Cursor на работе", **looks)
        await scene.browser.do("press", button=words("Make the token"), **looks)
        await check(scene, "mine-new")
        await people.add_token("0123456789ab", b"", "Борис Гончаров", "editor", None)
        await people.add_token("0123456789ac", b"", f"{HOSTILE}{'x' * 300}", "viewer", None)
        await people.add_token("0123456789ad", b"", "Лев Удалённый", "approver", None)
        await people.remove("Лев Удалённый")
        await go(scene, "/people?told=role")
        await check(scene, "people")
        await scene.browser.do("unfold", **looks)
        await check(scene, "people-remove")
        assert answer(await scene.client.call_tool("create_segment", {"name": "Гости кофейни"}))["change_id"]
        await people.revoke("0123456789ab", Actor("1", HOSTILE, HOSTILE))
        await go(scene, "/audit")
        await check(scene, "audit")
        await scene.browser.do("unfold", **looks)
        await check(scene, "audit-details")
        [anna] = [one for one in await people.people() if one.id.endswith(f":{ANNA}")]
        await people.set_role(anna.name, "viewer")
        await go(scene, "/people")
        await check(scene, "not-yours")
