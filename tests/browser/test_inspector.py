"""The Model Context Protocol's own Inspector in a browser: it shows the board, and signs in to a team's server."""

import os
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import anyio.to_thread
import pytest
from pydantic import SecretStr

from tests import clients
from tests.browser.boards import pending
from tests.browser.chromium import chromium
from tests.cli.test_serve import over_http
from tests.person import sign_in
from tests.team.front_door import front_door
from tests.team.people import ADMIN, NAMES, give_role
from tests.team.replicas import Team

pytestmark = pytest.mark.anyio

INSTALLED = Path(clients.__file__).parent / "node_modules" / ".bin"


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[str]:
    """The address of the Inspector's page, and what it takes to act by itself."""
    # The Inspector wants to be told its ports.
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [str(taken.getsockname()[1]) for taken in free]
    for taken in free:
        taken.close()
    token = secrets.token_hex(8)
    environment = {
        "PATH": f"{INSTALLED}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HOST": "127.0.0.1",
        **dict(zip(("CLIENT_PORT", "MCP_SANDBOX_PORT", "MCP_APP_ORIGIN_PORT"), ports, strict=True)),
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_INSPECTOR_API_TOKEN": token,
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    command = [str(INSTALLED / "mcp-inspector"), "--web"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        try:
            assert run.stdout
            said = ""
            while not (found := re.search(r"up and running at:\s+(http://[0-9.:]+)\?", said)):
                line = run.stdout.readline()
                assert line, said
                said += line
            yield f"{found[1]}/?autoConnect={token}"
        finally:
            run.kill()


@pytest.mark.requirement("BOARD-6")
async def test_the_inspector_shows_it_and_it_follows_the_theme_refreshes_and_opens_links(inspector: str) -> None:
    with over_http(AMO_LANGUAGE="en") as (_, url):
        address = f"{inspector}&{urlencode({'serverUrl': url, 'transport': 'http', 'openApp': 'list_segments'})}"
        async with chromium("board.mjs") as browser:
            seen = await browser.do("inspector", address=address, text="15 segments shown")
            assert seen["log"][1:3] == ["ui/initialize", "ui/notifications/initialized"]
            light = seen["background"]
            seen = await browser.do("around", name="Toggle color scheme")
            assert seen["background"] != light

            await browser.do("click", name="Refresh")
            await browser.do("click", name="Find what to tidy up")
            seen = await browser.do("await", text="Nearly the same name")
            assert seen["log"].count("tools/call") == 3
            # The Inspector takes no messages for an assistant.
            assert "Ask for a plan" not in seen["text"]

            page_url = url.replace("/mcp", "/healthz")
            said = {"jsonrpc": "2.0", "method": "ui/notifications/tool-result", "params": pending(page_url)}
            await browser.do("post", message=said)
            await browser.do("click", name="Open the page to answer")
            await browser.do("opened", address=page_url)

            seen = await browser.do("around", name="Close")
            assert "Waiting for your answer" not in seen["text"]
            assert (seen["errors"], seen["requests"]) == ([], [])


@pytest.mark.requirement("TEAM-20", "TEAM-21")
async def test_the_inspector_signs_in_to_a_team_s_server_and_asks_for_more_when_it_is_to_change_something(
    inspector: str, database_url: SecretStr
) -> None:
    with front_door(database_url) as (team, replica):
        await anyio.to_thread.run_sync(sign_in, f"{replica.url}/mine", str(ADMIN))
        await anyio.to_thread.run_sync(give_role, team, ADMIN, "editor")
        async with chromium() as browser:

            async def agree(may: str) -> None:
                shown = await browser.do("await", text=may)
                assert "It calls itself: «MCP Inspector»" in shown["text"]
                await browser.do("press", button="Connect")
                await browser.do("follow", link=f"allow as {NAMES[ADMIN]}")
                await browser.do("await", text="Authorization complete")

            address = f"{inspector}&{urlencode({'serverUrl': f'{replica.url}/mcp', 'transport': 'http'})}"
            await browser.do("open", address=address, width=1200, scripts=True)
            await agree("It may read the segments")
            for text in ("Tools", "list_segments", "Execute Tool"):
                await browser.do("touch", text=text)
            await browser.do("await", text='"VIP"')
            await browser.do("touch", text="create_segment")
            await browser.do("fill", label="name", text="Новая группа")
            await browser.do("touch", text="Execute Tool")
            await browser.do("await", text="This operation needs additional scope: segments:write.")
            await browser.do("touch", text="Authorize")
            await agree("It may create and change segments")
            # Nothing was done yet, and the form is as it was.
            assert "Новая группа" not in names(team)
            await browser.do("touch", text="Execute Tool")
            await browser.do("await", text='"Новая группа"')
        assert "Новая группа" in names(team)


def names(team: Team) -> set[str]:
    """The segments that there are."""
    return {segment["name"] for segment in team.sandbox.account.segments.values()}
