"""The board in the Model Context Protocol's own Inspector, which shows it for a real server."""

import os
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import clients
from tests.browser.boards import pending
from tests.browser.chromium import chromium
from tests.cli.test_serve import over_http

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
