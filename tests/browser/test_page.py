"""The page in a real browser without JavaScript, in front of a real server: `make browser`."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from amo_mcp.compose.page import serve_page
from amo_mcp.confirmation.waiting import SETTLE, Outcome
from amo_mcp.language import Language
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from tests.browser.chromium import Chromium, chromium
from tests.clock import Clock
from tests.conftest import Served, answer, error
from tests.journeys.desk import PagePerson, desk

pytestmark = pytest.mark.anyio

SHOTS = Path(__file__).parent / "screenshots"
DELETE_51 = ("delete_segment", {"segment_id": 51})
HOSTILE = '"><script>document.title="pwned"</script><img src=x onerror=alert(1)><style>*{display:none}</style>\u202e'
PLAN = [
    {"action": "delete", "kind": "segment", "id": 78},
    {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие покупатели", "color": "ae003f"},
    {"action": "create", "kind": "segment", "name": "Гости кофейни", "color": "4f517d"},
]


@dataclass
class Scene:
    """A served page, the person's browser, and a client of the server."""

    served: Served
    client: Client
    browser: Chromium
    person: PagePerson
    clock: Clock
    sandbox: Sandbox

    async def ask(self, tool: str = DELETE_51[0], arguments: Any = DELETE_51[1]) -> dict[str, Any]:
        """Call a tool, and open the tab that it opens; what the browser shows."""
        self.asked = error(await self.client.call_tool(tool, arguments))
        shown = await self.browser.do("open", address=self.person.addresses[-1])
        self.clock.now += SETTLE
        return shown

    async def confirm(self) -> dict[str, Any]:
        return answer(await self.client.call_tool("confirm_change", {"approval_id": self.asked["approval_id"]}))


@asynccontextmanager
async def opened(language: Language = "en") -> AsyncIterator[Scene]:
    sandbox, person, clock = Sandbox(mode="segments"), PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock), language=language) as served,
        served.client("2026-07-28") as client,
        chromium() as browser,
        anyio.create_task_group() as group,
    ):
        group.start_soon(serve_page, served.page)
        yield Scene(served, client, browser, person, clock, sandbox)
        group.cancel_scope.cancel()


async def test_a_yes_is_recorded_and_the_page_says_by_itself_what_was_done() -> None:
    async with opened() as scene:
        shown = await scene.ask()
        secret = scene.person.addresses[-1].rpartition("/")[2]
        assert "/question/" in shown["url"]
        assert secret not in f"{shown}"
        [cookie] = shown["cookies"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        shown = await scene.browser.do("press", button="Delete")
        assert "Your yes is recorded." in shown["text"]
        assert scene.served.writes() == []
        assert (await scene.confirm())["deleted"]["id"] == 51
        assert "The change was made." in (await scene.browser.do("await", text="The change was made."))["text"]


async def test_a_no_with_the_keyboard_alone() -> None:
    async with opened() as scene:
        await scene.ask()
        shown = await scene.browser.do("keys", keys=["Tab", "Enter"])
        assert shown["text"].split("\n")[0] == "Your no is recorded."
        assert (await scene.confirm())["error"]["code"] == "declined"
        assert scene.served.writes() == []


async def test_pressed_twice_the_first_answer_holds() -> None:
    async with opened() as scene:
        await scene.ask()
        await scene.browser.do("press", button="Do not delete")
        shown = await scene.browser.do("resend")
        if "Your no is recorded." not in shown["text"]:
            shown = await scene.browser.do("press", button="Delete")
        assert "Your no is recorded." in shown["text"]
        assert (await scene.confirm())["error"]["code"] == "declined"
        assert scene.served.writes() == []


async def test_pressed_too_late_nothing_happens() -> None:
    async with opened() as scene:
        await scene.ask()
        scene.clock.now += 600
        shown = await scene.browser.do("press", button="Delete")
        assert "The question was not answered in time. Nothing was changed." in shown["text"]
        assert (await scene.confirm())["error"]["code"] == "confirmation_expired"
        assert scene.served.writes() == []


async def test_another_browser_and_another_address_are_shown_nothing() -> None:
    async with opened() as scene:
        await scene.ask()
        address = scene.person.addresses[-1]
        origin, _, _ = address.rpartition("/")
        for other in (address, f"{origin}/", f"{origin}/{'A' * 43}"):
            shown = await scene.browser.do("open", who="somebody else", address=other)
            assert "VIP" not in shown["text"]
            assert "This request has changed nothing." in shown["text"]
        shown = await scene.browser.do("open", address=f"{origin}/".replace("127.0.0.1", "localhost"))
        assert "VIP" not in shown["text"]


async def test_a_form_without_its_token_is_no_answer() -> None:
    async with opened() as scene:
        await scene.ask()
        await scene.browser.do("tamper", selector="input[name=token]")
        shown = await scene.browser.do("press", button="Delete")
        assert "This page cannot be shown" in shown["text"]
        assert scene.served.page.questions.of(scene.asked["approval_id"]).answer is None  # type: ignore[union-attr]


async def test_a_hostile_name_is_text() -> None:
    async with opened() as scene:
        scene.sandbox.account.segments[51]["name"] = HOSTILE
        shown = await scene.ask()
        assert '"><script>document.title="pwned"</script><img src=x onerror=alert(1)>' in shown["text"]
        assert shown["title"].startswith("Delete segment «")
        assert "Do not delete" in shown["text"]
        await scene.browser.do("shot", file=str(SHOTS / "hostile.png"))


async def test_a_page_that_reloads_by_itself_stays_where_the_person_reads() -> None:
    changes = [{"action": "update", "kind": "segment", "id": 51, "name": "A" * 200, "color": "ae003f"}]
    changes += [{"action": "create", "kind": "segment", "name": f"Группа {n}"} for n in range(24)]
    async with opened() as scene:
        plan = answer(await scene.client.call_tool("plan_changes", {"changes": changes}))
        shown = await scene.ask("apply_plan", {"plan_id": plan["plan_id"]})
        assert "Apply a plan of 25 changes?" in shown["text"]
        for button in ("Do not apply", "Apply"):
            assert (await scene.browser.do("place", button=button))["inside"]
        await scene.browser.do("press", button="Apply")
        await scene.browser.do("scroll", by=600)
        await anyio.sleep(0.5)
        before = (await scene.browser.do("look"))["scrollY"]
        assert before > 300
        await scene.confirm()
        await scene.browser.do("await", text="The change was made.")
        assert abs((await scene.browser.do("look"))["scrollY"] - before) < 50


@pytest.mark.parametrize("language", ["en", "ru", "pt", "es"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_state_of_the_page_fits_a_phone_and_breaks_no_rule_of_accessibility(
    language: Language, scheme: str
) -> None:
    looks: dict[str, Any] = {"scheme": scheme, "width": 360, "language": language}

    async def check(scene: Scene, name: str) -> None:
        shown = await scene.browser.do("axe", **looks)
        assert (name, shown["violations"]) == (name, [])
        assert shown["passes"] > 10
        assert shown["scrollWidth"] <= 360

    async with opened(language) as scene:
        await scene.browser.do("look", **looks)
        await scene.ask()
        await check(scene, "deletion")
        scene.clock.now += 11
        plan = answer(await scene.client.call_tool("plan_changes", {"changes": PLAN}))
        scene.asked = error(await scene.client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
        await scene.browser.do("open", address=f"{scene.person.addresses[0].rpartition('/')[0]}/")
        await check(scene, "two")
        scene.clock.now += SETTLE
        await scene.browser.do("keys", keys=["Tab", "Enter"])
        await check(scene, "next")
        await scene.browser.do("keys", keys=["Tab", "Enter"])
        scene.clock.now += SETTLE
        await scene.browser.do("keys", keys=["Tab", "Tab", "Enter"])
        await check(scene, "answered")
        await scene.confirm()
        await scene.browser.do("open", address=f"{scene.person.addresses[0].rpartition('/')[0]}/")
        await check(scene, "done")
        for outcome in get_args(Outcome):
            scene.clock.now += 11
            await scene.ask("update_segment", {"segment_id": 51, "name": f"VIP {outcome}"})
            question = scene.served.page.questions.of(scene.asked["approval_id"])
            assert question
            question.end(outcome, 1)
            await scene.browser.do("reload", **looks)
            await check(scene, outcome)
        scene.clock.now += 11
        await scene.ask("update_segment", {"segment_id": 51, "name": "VIP"})
        scene.clock.now -= SETTLE
        await scene.browser.do("keys", keys=["Tab", "Tab", "Enter"])
        await check(scene, "too-soon")
        scene.clock.now += 600
        await scene.browser.do("keys", keys=["Tab", "Tab", "Enter"])
        await check(scene, "late")
        await scene.browser.do("open", address=scene.person.addresses[0] + "x")
        await check(scene, "refused")


async def test_the_server_that_a_client_starts_opens_the_page_and_closes_it_at_its_end(opened_tabs: Path) -> None:
    environment = {**os.environ, "AMO_LANGUAGE": "ru"}
    started = StdioServerParameters(
        command=sys.executable, args=["-m", "amo_mcp", "serve", "--sandbox", "--confirm", "page"], env=environment
    )
    async with chromium() as browser:
        async with Client(stdio_client(started), mode="2026-07-28", cache=None) as client:
            asked = error(await client.call_tool(*DELETE_51))
            [address] = opened_tabs.read_text("utf-8").split()
            assert "Удалить" in (await browser.do("open", address=address))["text"]
            await anyio.sleep(SETTLE)
            await browser.do("press", button="Удалить")
            result = await client.call_tool("confirm_change", {"approval_id": asked["approval_id"]})
            assert answer(result)["deleted"]["id"] == 51
            await browser.do("await", text="Изменение выполнено.")
        with pytest.raises(AssertionError, match="ERR_CONNECTION_REFUSED"):
            await browser.do("open", who="later", address=address)
