"""A team's approval page in a real browser without JavaScript: people sign in by amoCRM's consent and answer there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from pydantic import SecretStr

from amo_mcp.confirmation.waiting import SETTLE
from amo_mcp.language import Language, texts
from amo_mcp.listen import authority, listen
from amo_mcp.sandbox import Fault
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.people import Role
from amo_mcp.transports.uvicorn import page_config, serving_beside
from tests.browser.chromium import Chromium, chromium
from tests.browser.test_page import HOSTILE, PLAN
from tests.conftest import answer, error
from tests.team.approval.team import Team, open_team

pytestmark = pytest.mark.anyio

SHOTS = Path(__file__).parent / "screenshots"
DELETE: tuple[str, dict[str, Any]] = ("delete_segment", {"segment_id": 51})
ANNA, OLEG = 504141, 1002045
"""Users of the sandbox's account."""
ABOVE = ["Tab"] * 3
"""Past what is above a page of an approver: two links, and the button that signs out."""


@dataclass
class Scene:
    """A served team, a browser for each of its people, and a client of an editor."""

    team: Team
    client: Client
    browser: Chromium
    language: Language

    async def ask(self, tool: str = DELETE[0], arguments: Any = DELETE[1]) -> dict[str, Any]:
        return error(await self.client.call_tool(tool, arguments))

    async def sign_in(self, who: str, user: int, role: Role, to: str, **looks: Any) -> dict[str, Any]:
        """Open a page, sign in by amoCRM's consent, and get a role; what the page shows then."""
        looks = {"who": who, "language": self.language, **looks}
        await self.browser.do("open", address=to, **looks)
        await self.browser.do("keys", keys=["Tab", "Tab", "Enter"], **looks)
        name = self.team.sandbox.account.users[user]["name"]
        await self.browser.do("follow", link=name, **looks)
        known = {person.id: person.name for person in await self.team.people.people()}
        [mine] = [known[one] for one in known if one.endswith(f":{user}")]
        await self.team.people.set_role(mine, role)
        return await self.browser.do("open", address=to, **looks)

    async def press(self, who: str, button: str) -> dict[str, Any]:
        """Look at the page for a moment, and press a button."""
        await anyio.sleep(SETTLE)
        return await self.browser.do("press", who=who, button=button)

    async def confirm(self, question: dict[str, Any]) -> dict[str, Any]:
        return answer(await self.client.call_tool("confirm_change", {"approval_id": question["approval_id"]}))


Open = Callable[..., Any]


@pytest.fixture
def opened(database: Database, database_url: SecretStr) -> Open:
    @asynccontextmanager
    async def open_scene(language: Language = "en", approval: str = "second", **how: Any) -> AsyncIterator[Scene]:
        listener = listen("127.0.0.1", 0)
        url = f"http://{authority(listener)}"
        async with open_team(database, database_url, approval, count=1, public_url=url) as team:
            team.sandbox.oauth.redirect_uri = f"{url}/amocrm/callback"
            async with (
                serving_beside(page_config(team.fronts[0]), listener),
                team.client("2026-07-28", "Вера Иванова", "editor", **how) as client,
                chromium() as browser,
            ):
                yield Scene(team, client, browser, language)

    return open_scene


async def test_a_second_approver_signs_in_and_agrees_and_the_page_says_by_itself_what_was_done(opened: Open) -> None:
    async with opened() as scene:
        question = await scene.ask()
        shown = await scene.sign_in("Anna", ANNA, "approver", question["page_url"])
        assert shown["url"] == question["page_url"]
        assert "Delete segment «VIP»?" in shown["text"]
        assert "«Вера Иванова» asks this, with the program «Cursor 1.0»." in shown["text"]
        [cookie] = [one for one in shown["cookies"] if one["name"].endswith("amo-session")]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        await scene.browser.do("fill", who="Anna", label="Comment (may stay empty)", text="moved to the new list")
        shown = await scene.press("Anna", "Delete")
        assert "Your yes is recorded." in shown["text"]
        assert scene.team.writes() == []
        assert (await scene.confirm(question))["deleted"]["id"] == 51
        shown = await scene.browser.do("await", who="Anna", text="The change was made.")
        assert "Comment: «moved to the new list»" in shown["text"]


async def test_who_asked_cannot_agree_and_a_viewer_sees_nothing(opened: Open) -> None:
    async with opened() as scene:
        question = await scene.ask()
        shown = await scene.sign_in("Oleg", OLEG, "viewer", question["page_url"])
        assert "You may not see this question" in shown["text"]
        assert "VIP" not in shown["text"]


async def test_a_stale_page_says_that_its_answer_was_not_recorded(opened: Open) -> None:
    async with opened() as scene:
        question = await scene.ask()
        await scene.sign_in("Anna", ANNA, "approver", question["page_url"])
        await scene.sign_in("Oleg", OLEG, "admin", question["page_url"])
        await scene.press("Oleg", "Do not delete")
        shown = await scene.press("Anna", "Delete")
        assert "Your answer came too late and was not recorded." in shown["text"]
        assert " has said no." in shown["text"]
        assert (await scene.confirm(question))["error"]["code"] == "declined"
        assert scene.team.writes() == []


async def test_with_the_keyboard_alone_and_too_fast(opened: Open) -> None:
    async with opened() as scene:
        question = await scene.ask()
        await scene.sign_in("Anna", ANNA, "approver", question["page_url"])
        await scene.browser.do("open", who="Anna", address=question["page_url"])
        shown = await scene.browser.do("keys", who="Anna", keys=[*ABOVE, "Tab", "Tab", "Tab", "Enter"])
        assert "Please answer again: that was within a second of this page appearing." in shown["text"]
        await anyio.sleep(SETTLE)
        shown = await scene.browser.do("keys", who="Anna", keys=[*ABOVE, "Tab", "Tab", "Enter"])
        assert "Your no is recorded." in shown["text"]


async def test_hostile_names_are_text(opened: Open) -> None:
    async with opened(client=HOSTILE) as scene:
        scene.team.sandbox.account.segments[51]["name"] = HOSTILE
        question = await scene.ask()
        shown = await scene.sign_in("Anna", ANNA, "approver", question["page_url"])
        assert shown["text"].count('"><script>document.title="pwned"</script>') >= 2
        assert shown["title"].startswith("Delete segment «")
        assert "Do not delete" in shown["text"]
        SHOTS.mkdir(exist_ok=True)
        await scene.browser.do("shot", who="Anna", file=str(SHOTS / "approval-hostile.png"))


@pytest.mark.parametrize("language", ["en", "ru", "pt", "es"])
async def test_every_state_fits_a_phone_and_breaks_no_rule_of_accessibility(opened: Open, language: Language) -> None:
    """The screenshots are for looking at."""
    SHOTS.mkdir(exist_ok=True)
    looks: dict[str, Any] = {"who": "Anna", "width": 360, "language": language}

    async def check(scene: Scene, name: str) -> None:
        await scene.browser.check(name, who="Anna")
        await scene.browser.shoot(SHOTS / f"approval-{name}-{language}", who="Anna")

    async def answered(scene: Scene, tabs: int, question: dict[str, Any], look: Awaitable[Any] | None = None) -> None:
        await scene.browser.do("open", address=question["page_url"], **looks)
        await anyio.sleep(SETTLE)
        if look:
            await look
        await scene.browser.do("keys", keys=[*ABOVE, *["Tab"] * tabs, "Enter"], **looks)

    async with opened(language) as scene:
        question = await scene.ask()
        await scene.sign_in("Anna", ANNA, "approver", question["page_url"], width=360)
        await answered(scene, 3, question, check(scene, "deletion"))
        await check(scene, "yes")
        await scene.confirm(question)
        await scene.browser.do("reload", **looks)
        await check(scene, "done")
        question = await scene.ask("delete_segment", {"segment_id": 54})
        await answered(scene, 2, question)
        await check(scene, "no")
        plan = answer(
            await scene.client.call_tool(
                "plan_changes",
                {
                    "changes": [
                        {"action": "delete", "kind": "segment", "id": 78},
                        {
                            "action": "update",
                            "kind": "segment",
                            "id": 57,
                            "name": "Лучшие покупатели",
                            "color": "ae003f",
                        },
                        *PLAN[2:],
                    ]
                },
            )
        )
        question = await scene.ask("apply_plan", {"plan_id": plan["plan_id"]})
        await answered(scene, 3, question, check(scene, "plan"))
        scene.team.sandbox.faults.add(Fault(method="PATCH", delay=15.0, times=0))
        async with anyio.create_task_group() as group:
            group.start_soon(scene.confirm, question)
            await scene.browser.do("await", text=texts(language)("It is being carried out."), **looks)
            await check(scene, "running")
            # By its name: the page reloads by itself, and what was focused is focused no longer then.
            await scene.browser.do("press", button=texts(language)("Stop after this step"), **looks)
            await scene.browser.do("await", text=texts(language)("It stops after the step that is under way."), **looks)
            await check(scene, "stopping")
        await scene.browser.do("open", address=question["page_url"], **looks)
        await check(scene, "stopped")
        question = await scene.ask("delete_segment", {"segment_id": 60})
        await scene.browser.do("open", address=question["page_url"], **looks)
        await scene.team.database.execute("UPDATE approvals SET expires = unix_now() WHERE used_at IS NULL")
        await scene.browser.do("keys", keys=[*ABOVE, "Tab", "Tab", "Tab", "Enter"], **looks)
        await check(scene, "late")
        await scene.browser.do("open", address=f"{scene.team.url}/approve/q0", **looks)
        await check(scene, "none")
        await scene.team.people.set_role(scene.team.sandbox.account.users[ANNA]["name"], "viewer")
        await scene.browser.do("open", address=question["page_url"], **looks)
        await check(scene, "not-yours")
