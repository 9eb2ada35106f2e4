"""The board in Debian's Chromium: in the official host of MCP Apps, served by `amo-mcp board`, and as a file."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests import recorder
from tests.browser.boards import Story, pending, told
from tests.browser.chromium import Chromium, chromium

pytestmark = pytest.mark.anyio

BOARD = (sys.executable, "-m", "amo_mcp", "board")
HOSTILE = [
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202eодин\u202c два \u2066три",
    "عملاء الشتاء ❄️",
    "לקוחות קבועים",
    "👩‍👩‍👧‍👦 Семьи",
    "x" * 250,
    "\u200b\u200d",
]


@asynccontextmanager
async def shown(story: Story, tool: str = "list_segments", **how: Any) -> AsyncIterator[tuple[Chromium, Any]]:
    """The board in a host that has just called a tool; what it shows."""
    async with chromium("board.mjs") as browser:
        await browser.do("host", html=story.page, result=story.results[tool], results=story.results, **how)
        yield browser, await browser.do("await", text=" ")


def is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "file:"))


def many(count: int = 100) -> dict[str, Any]:
    """The answer of `list_segments` in a full account with names of every kind."""
    segments = [
        {
            "id": number,
            "name": HOSTILE[number] if number < len(HOSTILE) else f"Сегмент {number}",
            "color": ("00a44b", "006acc", "red;background:url(//evil.example)")[number % 3],
            "customers_count": number * 7,
            "updated_at": "2026-11-01T10:00:00Z",
        }
        for number in range(count)
    ]
    return {"content": [], "structuredContent": {"segments": segments, "total": count, "limit": 100}}


@pytest.mark.requirement("BOARD-6")
async def test_a_host_shows_it_and_it_follows_the_theme_refreshes_asks_and_opens_links() -> None:
    story = await told()
    async with shown(story) as (browser, seen):
        assert seen["log"] == [["initialized"]]
        assert seen["text"].startswith("Segments\n15 of 100\n")
        light = seen["background"]
        seen = await browser.do("theme", theme="dark")
        dark = seen["background"]
        assert light != dark
        seen = await browser.do("theme", theme="dark", variables={"--color-background-primary": "rgb(1, 2, 3)"})
        assert (await browser.do("look"))["background"] == "rgb(1, 2, 3)"

        await browser.do("click", name="Refresh")
        await browser.do("click", name="Find what to tidy up")
        seen = await browser.do("await", text="findings")
        assert seen["log"][1:] == [
            ["tools/call", tool, {}] for tool in ("list_segments", "list_segments", "audit_segments")
        ]

        await browser.do("check", name="no customers")
        seen = await browser.do("click", name="Ask for a plan of the selected")
        seen = await browser.do("await", text="The assistant was asked.")
        [asked, role, [content]] = seen["log"][-1]
        assert (asked, role, content["type"]) == ("ui/message", "user", "text")
        assert content["text"].startswith("Plan the changes that audit_segments suggests for these findings")
        assert content["text"].endswith("empty_segment (66)")

        await browser.do("click", name="Segments")
        await browser.do("check", name="VIP")
        seen = await browser.do("click", name="Ask for a plan")
        seen = await browser.do("look")
        assert seen["log"][-1][2] == [
            {"type": "text", "text": "Plan changes of these segments, and ask me first what to change: ids 51"}
        ]

        await browser.do("result", result=pending("https://team.example/approve"))
        seen = await browser.do("click", name="Open the page to answer")
        seen = await browser.do("look")
        assert seen["log"][-1] == ["ui/open-link", "https://team.example/approve"]

        seen = await browser.do("teardown")
        assert seen["errors"] == []
        assert [url for url in seen["requests"] if not is_local(url)] == []


@pytest.mark.requirement("BOARD-5", "BOARD-6")
async def test_a_hundred_segments_with_names_of_every_kind_stay_text() -> None:
    story = await told()
    story.results["list_segments"] = many()
    async with shown(story, width=320) as (browser, seen):
        for name in (*HOSTILE[:3], HOSTILE[7], "100 segments shown", "(no visible name)"):
            assert name in seen["text"]
        assert (seen["title"], seen["html"], seen["errors"]) == ("Segments", 0, [])
        assert seen["scrollWidth"] == 320
        found = await browser.do("axe")
        assert found["violations"] == []
        seen = await browser.do("type", role="searchbox", name="Search", text="сЕГМЕНТ  42")
        assert "1 segment shown" in seen["text"]


@pytest.mark.requirement("BOARD-6")
@pytest.mark.parametrize("language", ["ru", "en"])
async def test_every_view_fits_and_breaks_no_rule_of_accessibility(language: Any) -> None:
    story = await told(language)
    async with chromium("board.mjs") as browser:
        for tool, (scheme, width) in product(story.results, [("light", 320), ("dark", 1200)]):
            look = {"scheme": scheme, "width": width, "locale": language}
            await browser.do("host", html=story.page, result=story.results[tool], **look)
            found = await browser.do("axe")
            assert (found["scrollWidth"], found["violations"], found["errors"]) == (width, [], [])


@pytest.mark.requirement("BOARD-6")
async def test_the_keyboard_is_enough() -> None:
    async with shown(await told()) as (browser, _):
        seen = await browser.do("keys", keys=["Tab", *"vip", "Tab", "ArrowDown", "Tab", "Tab"])
        assert "2 segments shown" in seen["text"]
        assert seen["focused"] == "Find what to tidy up"
        seen = await browser.do("keys", keys=["Enter"])
        seen = await browser.do("await", text="findings")
        assert seen["focused"] == "Findings"
        seen = await browser.do("keys", keys=["Shift+Tab", "Enter"])
        assert (seen["focused"], seen["text"].split("\n")[0]) == ("Segments", "Segments")


@pytest.mark.requirement("BOARD-6", "BOARD-7")
async def test_in_the_browser_it_reads_from_its_server_under_its_strict_policy(tmp_path: Path) -> None:
    record = tmp_path / "opened"
    environment = {**os.environ, "BROWSER": recorder.COMMAND, recorder.RECORD: str(record), "AMO_LANGUAGE": "en"}
    async with await anyio.open_process([*BOARD, "--sandbox"], env=environment) as server:
        try:
            assert server.stdout
            await server.stdout.receive()
            async with chromium("board.mjs") as browser:
                await browser.do("open", address=record.read_text("utf-8").strip())
                seen = await browser.do("await", text="15 segments shown")
                assert "Refresh" in seen["text"]
                assert "Ask" not in seen["text"]
                await browser.do("click", name="Refresh")
                await browser.do("await", text="Up to date.")
                seen = await browser.do("click", name="Findings")
                seen = await browser.do("axe")
                assert (seen["violations"], seen["errors"]) == ([], [])
                assert [url for url in seen["requests"] if not is_local(url)] == []
                server.terminate()
                await server.wait()
                await browser.do("click", name="Refresh")
                await browser.do("await", text="The server has ended.")
        finally:
            if server.returncode is None:
                server.kill()


@pytest.mark.requirement("BOARD-6", "BOARD-7")
async def test_as_a_file_it_stands_alone(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    environment = {**os.environ, "AMO_LANGUAGE": "ru"}
    await anyio.run_process([*BOARD, "--sandbox", "--file", str(file)], env=environment)
    async with chromium("board.mjs") as browser:
        await browser.do("open", address=file.as_uri(), locale="ru")
        seen = await browser.do("await", text="показано 15 сегментов")
        assert "Обновить" not in seen["text"]
        found = await browser.do("axe")
        assert (found["violations"], found["errors"], found["requests"]) == ([], [], [file.as_uri()])
