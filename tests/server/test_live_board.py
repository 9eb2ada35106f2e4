"""The board in a person's own browser: who is shown it, what it may read, and the snapshot that stands alone."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx2
import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.server.board import content_security_policy
from amo_mcp.server.board.live import LiveBoard, read_answers, snapshot
from tests.conftest import Serve, Served, answer

pytestmark = pytest.mark.anyio

ORIGIN = "http://127.0.0.1:8123"
HOSTILE = [
    '</script><script>alert("pwned")</script>',
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} & \u2028 \u202e \"quoted\" 'twice'",
]


@asynccontextmanager
async def opened(served: Served) -> AsyncIterator[tuple[LiveBoard, httpx2.AsyncClient]]:
    """A board, and a browser that has not opened it."""
    board = LiveBoard(served.account, await served.account.profile.reader(), ORIGIN)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=board), base_url=ORIGIN) as browser:
        yield board, browser


def block(page: str, name: str) -> Any:
    """What the script reads from a block of data."""
    [text] = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


@pytest.mark.requirement("BOARD-7")
async def test_the_browser_that_opens_the_address_gets_a_cookie_for_it_and_no_other_browser_gets_in(
    sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, opened(served) as (board, browser):
        assert (await browser.get("/")).status_code == 403
        assert (await browser.get("/answers")).status_code == 403
        assert (await browser.get("/x" + board.address[-43:])).status_code == 403
        swapped = await browser.get(board.address)
        assert (swapped.status_code, swapped.headers["location"]) == (303, "/")
        assert re.fullmatch(
            r"amo_board_[0-9a-f]{8}=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", swapped.headers["set-cookie"]
        )
        assert board.address not in (await browser.get("/")).text
        browser.cookies.clear()
        assert (await browser.get(board.address)).status_code == 403, "the address works once"


@pytest.mark.requirement("BOARD-7")
async def test_only_get_on_its_own_host_is_answered(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, opened(served) as (board, browser):
        await browser.get(board.address)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            assert (await browser.request(method, "/")).status_code == 405
        assert (await browser.get("/", headers={"host": "evil.example"})).status_code == 421
        assert (await browser.get("/other")).status_code == 404


@pytest.mark.requirement("BOARD-7")
async def test_the_page_runs_its_own_script_alone_and_reads_from_its_own_server_alone(
    sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, opened(served) as (board, browser):
        await browser.get(board.address)
        page = await browser.get("/")
        assert page.headers["content-security-policy"] == (
            f"{content_security_policy(page.text)}; connect-src 'self'; form-action 'none'; frame-ancestors 'none'"
        )
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert {**block(page.text, "given"), "version": "…"} == {
            "version": "…",
            "live": "/answers",
            "account": "Лавка «Зерно и турка»",
        }


@pytest.mark.requirement("BOARD-7")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_it_shows_what_the_tools_answer_and_sends_nothing_but_reads(mode: str, serve: Serve) -> None:
    async with serve(Sandbox(mode=mode)) as served, opened(served) as (board, browser):
        await browser.get(board.address)
        shown = (await browser.get("/answers")).json()
        listing = "list_segments" if mode == "segments" else "list_statuses"
        assert list(shown) == [listing, "audit_segments", "list_changes"]
        assert served.writes() == []
        async with served.client("2026-07-28") as client:
            for tool, result in shown.items():
                asked = await client.call_tool(tool, {})
                assert result["structuredContent"] == answer(asked)
                assert result["_meta"].get("amo-mcp/picture") == (asked.meta or {}).get("amo-mcp/picture")


@pytest.mark.requirement("BOARD-7")
async def test_an_account_that_cannot_be_read_is_told_in_a_sentence(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, opened(served) as (board, browser):
        await browser.get(board.address)
        sandbox.account.mode = "disabled"
        refused = await browser.get("/answers")
        assert refused.status_code == 502
        assert refused.text.startswith("This needs the customers mode `segments`, and the account is in `disabled`.")


@pytest.mark.requirement("BOARD-5", "BOARD-7")
async def test_in_a_snapshot_a_hostile_name_is_data_whatever_it_is(sandbox: Sandbox, serve: Serve) -> None:
    for segment, name in zip(sandbox.account.segments.values(), HOSTILE, strict=False):
        segment["name"] = name
    sandbox.account.profile["name"] = HOSTILE[0]
    async with serve(sandbox) as served:
        reader = await served.account.profile.reader()
        page = await snapshot(served.account, reader)
        expected = await read_answers(served.account)
    given = block(page, "given")
    assert given["answers"] == expected
    assert {segment["name"] for segment in given["answers"]["list_segments"]["structuredContent"]["segments"]} > {
        *HOSTILE
    }
    assert page.count("<script") == page.count("</script>") == 3
    assert "<img" not in page
    assert "<!--" not in page
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert unescape(policy) == content_security_policy(page)
