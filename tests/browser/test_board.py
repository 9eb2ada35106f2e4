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

from amo_mcp.language import LANGUAGES, Language
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
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
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_every_view_fits_and_breaks_no_rule_of_accessibility(language: Language, mode: str) -> None:
    story = await told(language, mode)
    async with chromium("board.mjs") as browser:
        for tool, (scheme, width) in product(story.results, [("light", 320), ("dark", 1200)]):
            look = {"scheme": scheme, "width": width, "locale": language}
            await browser.do("host", html=story.page, result=story.results[tool], **look)
            found = await browser.do("axe")
            assert (found["scrollWidth"], found["violations"], found["errors"]) == (width, [], [])


@pytest.mark.requirement("BOARD-6")
async def test_statuses_are_drawn_in_their_order_with_their_findings_and_colours() -> None:
    story = await told("ru", "periodicity")
    async with shown(story, "list_statuses", locale="ru") as (browser, seen):
        assert seen["text"].startswith("Статусы покупателей\n7 из 30\n")
        assert "\n1.\nНедавно купили\nсистемный статус\n2.\nНапомнить о помоле\n3.\nЖдут новый урожай\n" in seen["text"]
        await browser.do("result", result=story.results["audit_segments"])
        seen = await browser.do("await", text="Не заняты, хотя у некоторых статусов цвет общий: ")
        assert "Одинаковый цвет" in seen["text"]


@pytest.mark.requirement("BOARD-6")
async def test_what_a_host_sends_that_is_no_answer_leaves_what_was_shown() -> None:
    story = await told()
    good = story.results["list_segments"]
    changed = {"jsonrpc": "2.0", "method": "ui/notifications/host-context-changed"}
    async with shown(story) as (browser, seen):
        shown_before = seen["text"]
        for message in (
            None,
            "ui/notifications/tool-result",
            {"jsonrpc": "1.0", "method": "ui/notifications/tool-result", "params": good},
            {"jsonrpc": "2.0", "id": "unknown", "result": {}},
            {"jsonrpc": "2.0", "id": 1, "error": None},
            {"jsonrpc": "2.0", "method": "hasOwnProperty", "id": 7},
            {"jsonrpc": "2.0", "method": "ui/nonsense", "params": 5},
            {**changed, "params": None},
            {**changed, "params": {"theme": 7, "styles": {"variables": {"background": "red", "-- bad": {}}}}},
            {**changed, "params": {"theme": "purple", "styles": "none"}},
        ):
            await browser.do("post", message=message)
        assert (await browser.do("look"))["text"] == shown_before
        for result in (
            None,
            {},
            {"content": [{"type": "text", "text": "{"}]},
            {"structuredContent": 5},
            {"structuredContent": {"segments": "none"}},
            {"structuredContent": {"segments": [None], "total": "many"}},
            {"structuredContent": {"changes": [{"at": "yesterday"}]}},
            {"structuredContent": {"error": {"code": "internal"}}},
        ):
            said = {"jsonrpc": "2.0", "method": "ui/notifications/tool-result", "params": result}
            seen = await browser.do("post", message=said)
            assert (seen["text"].startswith("Segments\n15 of 100\n"), seen["errors"]) == (True, [])
            assert seen["text"].split("\n")[-1] in ("There is nothing to show.", "{")
        # Another window than the host's.
        await browser.do("foreign", message=said | {"params": pending("https://evil.example")})
        seen = await browser.do("post", message=said | {"params": good})
        assert seen["text"] == shown_before


@pytest.mark.requirement("BOARD-6")
async def test_refreshed_it_keeps_the_focus_the_caret_the_place_and_what_was_selected() -> None:
    story = await told()
    many_segments = many()
    async with shown(story, height=600) as (browser, _):
        await browser.do("result", result=many_segments)
        await browser.do("await", text="Сегмент 99")
        await browser.do("check", name="Сегмент 42")
        await browser.do("type", role="searchbox", name="Search", text="егмент")
        await browser.do("keys", keys=["Home", "ArrowRight", "Shift+ArrowRight"])
        before = await browser.do("scroll", top=700)
        assert (before["focus"], before["scrollTop"]) == (["search", 1, 2], 700)
        many_segments["structuredContent"]["segments"][90]["name"] = "сЕГМЕНТ новый"
        await browser.do("result", result=many_segments)
        after = await browser.do("await", text="сЕГМЕНТ новый")
        assert (after["focus"], after["scrollTop"]) == (before["focus"], 700)
        assert "1 segment selected" in after["text"]
        await browser.do("keys", keys=["s", "Tab", "Tab", "Enter"])
        assert (await browser.do("result", result=many_segments))["focused"] == "Refresh"


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


@pytest.mark.requirement("BOARD-5")
async def test_hostile_names_stay_text_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    sandbox = Sandbox(mode="segments")
    for segment, name in zip(sandbox.account.segments.values(), [*HOSTILE, "x" * 10_000], strict=False):
        segment["name"] = name
    with running(sandbox) as url:
        account = {"AMO_BASE_URL": url, "AMO_ACCESS_TOKEN": ADMIN_TOKEN, "AMO_STATE_DIR": str(tmp_path)}
        await anyio.run_process([*BOARD, "--file", str(file)], env={**os.environ, **account, "AMO_LANGUAGE": "en"})
    async with chromium("board.mjs") as browser:
        await browser.do("open", address=file.as_uri(), width=320)
        seen = await browser.do("await", text="15 segments shown")
        assert [name for name in (*HOSTILE[:3], HOSTILE[7]) if name not in seen["text"]] == []
        assert (seen["html"], seen["scrollWidth"], seen["errors"], seen["requests"]) == (0, 320, [], [file.as_uri()])
        assert (await browser.do("axe"))["violations"] == []


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
