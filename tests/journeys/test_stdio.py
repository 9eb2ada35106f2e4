"""The real server as a process of its own, over stdio, in both eras."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.conftest import Person, answer, error

pytestmark = pytest.mark.anyio

ERAS = {"2025-11-25": "legacy", "2026-07-28": "auto"}
"""Over a real transport the client finds the newer revision by itself."""


def started(*arguments: str, **environment: str) -> StdioServerParameters:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "amo_mcp", *arguments], env={**kept, **environment}
    )


@pytest.mark.requirement("COMMAND-1")
async def test_the_main_job_on_the_embedded_sandbox(era: str) -> None:
    person = Person("yes")
    async with Client(started("serve", "--sandbox"), mode=ERAS[era], elicitation_callback=person, cache=None) as client:
        assert client.protocol_version == era
        assert client.server_info is not None
        assert client.server_info.name == "amo-mcp"
        listed = answer(await client.call_tool("list_segments", {"search": "vip"}))
        assert [segment["id"] for segment in listed["segments"]] == [51, 54]
        created = answer(await client.call_tool("create_segment", {"name": "Новые", "color": "ae003f"}))
        segment_id = created["segment"]["id"]
        await client.call_tool("update_segment", {"segment_id": segment_id, "name": "Новее"})
        assert answer(await client.call_tool("get_segment", {"segment_id": segment_id}))["name"] == "Новее"
        answer(await client.call_tool("delete_segment", {"segment_id": segment_id}))
        assert error(await client.call_tool("get_segment", {"segment_id": segment_id}))["code"] == "not_found"
    assert [asked.message.splitlines()[0] for asked in person.asked] == [
        "Change segment «Новые»?",
        "Delete segment «Новее»?",
    ]


@pytest.mark.requirement("CONFIRM-6", "COMMAND-1", "ENV-3")
async def test_a_client_without_dialogs_confirms_in_two_steps(era: str) -> None:
    async with Client(started(AMO_SANDBOX="1", AMO_CONFIRM="chat"), mode=ERAS[era], cache=None) as client:
        failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        assert failure["code"] == "confirmation_required"
        answer(await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]}))
        assert error(await client.call_tool("get_segment", {"segment_id": 51}))["code"] == "not_found"


@pytest.mark.requirement("CONFIRM-7")
async def test_with_dialogs_only_a_client_without_them_cannot_be_asked(era: str) -> None:
    server = started("serve", "--sandbox", "--confirm", "dialog")
    async with Client(server, mode=ERAS[era], cache=None) as client:
        assert error(await client.call_tool("delete_segment", {"segment_id": 51}))["code"] == "cannot_ask"


@pytest.mark.requirement("COMMAND-1", "ENV-2")
async def test_an_account_at_an_address_with_a_token(era: str, sandbox: Sandbox) -> None:
    with running(sandbox) as url:
        server = started("serve", "--read-only", AMO_BASE_URL=url, AMO_ACCESS_TOKEN=ADMIN_TOKEN)
        async with Client(server, mode=ERAS[era], cache=None) as client:
            assert answer(await client.call_tool("list_segments", {}))["total"] == len(sandbox.account.segments)
            assert error(await client.call_tool("create_segment", {"name": "Новые"}))["code"] == "read_only"
    assert [request.method for request in sandbox.requests] == ["GET"]


@pytest.mark.requirement("COMMAND-3")
@pytest.mark.parametrize("level", ["WARNING", "DEBUG"])
async def test_stderr_has_one_line_an_event_and_never_the_token_or_a_traceback(
    level: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    with running(sandbox) as url:
        server = started(AMO_BASE_URL=url, AMO_ACCESS_TOKEN=ADMIN_TOKEN, AMO_LOG_LEVEL=level)
        with log.open("w") as errlog:
            async with Client(stdio_client(server, errlog=errlog), mode="legacy", cache=None) as client:
                await client.call_tool("get_segment", {"segment_id": 51})
                await client.call_tool("get_segment", {"segment_id": "x"})
                await client.call_tool("delete_segment", {"segment_id": 51})
    lines = log.read_text().splitlines()
    assert ADMIN_TOKEN not in "".join(lines)
    assert not any("Traceback" in line or line.startswith(" ") for line in lines)
    if level == "WARNING":
        assert lines == []
    else:
        [request_line] = [line for line in lines if "/segments/51 -> 200" in line and "session" in line][:1]
        assert "X-Request-Id" in request_line
        assert any("get_segment: invalid_arguments in" in line for line in lines)


def speak(*lines: Any) -> subprocess.CompletedProcess[str]:
    """What the process says to raw lines; it ends when its input does."""
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    return subprocess.run(
        [sys.executable, "-m", "amo_mcp", "serve", "--sandbox"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        env=kept,
        check=False,
    )


@pytest.mark.requirement("COMMAND-3")
async def test_stdout_has_the_protocol_and_nothing_else() -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"},
        },
    }
    done = speak("this is not JSON\n", hello)
    assert done.returncode == 0
    assert [json.loads(line)["jsonrpc"] for line in done.stdout.splitlines()].count("2.0") == len(
        done.stdout.splitlines()
    )
    assert any(json.loads(line).get("id") == 1 for line in done.stdout.splitlines())
    assert "Traceback" not in done.stderr
