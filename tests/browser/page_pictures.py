"""Pictures of the page in every state, and of signing in to a team's server, to look at: `make pictures`.

They go to tests/browser/screenshots.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import SecretStr

from amo_mcp.compose.page import serve_page
from amo_mcp.confirmation.waiting import SETTLE
from amo_mcp.language import LANGUAGES, Language
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.postgres.database import Database
from scripts import postgres
from tests.browser.chromium import HERE, Chromium, chromium
from tests.browser.connecting import open_door, walk
from tests.clock import Clock
from tests.conftest import answer, error
from tests.journeys.desk import PagePerson, desk
from tests.postgres import new_database

SHOTS = HERE / "screenshots"
WIDTHS = (360, 1000, 1200)
LONG_PLAN = [
    *({"action": "delete", "kind": "segment", "id": one} for one in (66, 78, 84)),
    {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие покупатели", "color": "ae003f"},
    *({"action": "create", "kind": "segment", "name": f"Гости кофейни {n}", "color": "4f517d"} for n in range(36)),
]

Shoot = Callable[[str], Awaitable[None]]


@dataclass
class Story:
    """One server, and a person who looks at its page at every width."""

    language: Language
    scheme: str
    browser: Chromium

    async def tell(self) -> None:
        """Ask, answer, and take a picture of every state."""
        sandbox, person, clock = Sandbox(mode="segments"), PagePerson(), Clock()
        store = MemoryApprovalStore(clock)
        async with (
            desk(sandbox, person, approvals=store, language=self.language) as served,
            served.client("2026-07-28") as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(serve_page, served.page)
            look: dict[str, Any] = {"who": f"{self.language}-{self.scheme}", "scheme": self.scheme, "locale": "en"}

            async def asked(tool: str, **arguments: Any) -> str:
                clock.now += 11
                waiting = error(await client.call_tool(tool, arguments))
                await self.browser.do("open", address=person.addresses[-1], **look)
                clock.now += SETTLE
                return str(waiting["approval_id"])

            async def shoot(name: str) -> None:
                for width in WIDTHS:
                    for what in ("shot", "window"):
                        file = SHOTS / f"page-{name}-{self.language}-{self.scheme}-{width}-{what}.png"
                        await self.browser.do(what, file=str(file), width=width, **look)

            async def pressed(number: int) -> None:
                await self.browser.do("keys", keys=["Tab"] * number + ["Enter"], **look)

            async def done(approval_id: str) -> dict[str, Any]:
                return answer(await client.call_tool("confirm_change", {"approval_id": approval_id}))

            await asked("delete_segment", segment_id=51)
            await shoot("deletion")
            await pressed(1)
            await shoot("no")
            plan = answer(await client.call_tool("plan_changes", {"changes": LONG_PLAN}))
            approval_id = await asked("apply_plan", plan_id=plan["plan_id"])
            await shoot("plan")
            await pressed(2)
            await shoot("yes")
            applied = await done(approval_id)
            await self.browser.do("reload", **look)
            await shoot("done")
            await asked("undo_change", change_id=applied["change_id"])
            await shoot("undo")
            clock.now += 600
            await pressed(2)
            await shoot("late")
            await self.browser.do("open", address=person.addresses[0] + "x", **look)
            await shoot("error")
            group.cancel_scope.cancel()


async def sign_in(url: SecretStr, language: Language) -> None:
    """Walk through signing in to a server over an empty database, and take a picture of every page."""
    database = Database(url)
    await database.open()
    async with open_door(database, url) as door:

        async def shoot(name: str) -> None:
            await door.browser.shoot(SHOTS / f"sign-in-{name}-{language}", (360, 1000))

        await walk(door, language, shoot)
    await database.close()


async def main() -> None:
    """Take every picture."""
    SHOTS.mkdir(exist_ok=True)
    with postgres.running() as cluster:
        for language in LANGUAGES:
            await sign_in(await new_database(cluster, f"pictures-{language}"), language)
    async with chromium() as browser:
        for language in LANGUAGES:
            for scheme in ("light", "dark"):
                await Story(language, scheme, browser).tell()


if __name__ == "__main__":
    anyio.run(main)
