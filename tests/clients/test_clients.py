"""Clients that other people wrote do the main job on the real server: `make clients`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from amo_mcp.server.prompts import Prompts
from amo_mcp.tools.runtime.catalog import catalog
from tests.cli.test_serve import over_http

HERE = Path(__file__).parent
INSTALLED = HERE / "node_modules" / ".bin"
SERVE = [sys.executable, "-m", "amo_mcp", "serve", "--sandbox"]
SECONDS = 60
"""That a client has for what takes a few."""

NO_BROWSER = {"BROWSER": "", "SSH_CONNECTION": "a session from elsewhere"}

VERSIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}
WITHOUT_DIALOG = {"stdio": "confirmation_required", "http": "cannot_ask"}


@pytest.fixture(params=["stdio", "http"])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=VERSIONS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def target(carrier: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a client is told of a server where no browser opens: its command or its address."""
    for name, value in NO_BROWSER.items():
        monkeypatch.setenv(name, value)
    if carrier == "stdio":
        yield SERVE
    else:
        with over_http(**NO_BROWSER) as (_, url):
            yield [url]


def run(command: str, *arguments: str, exits: int = 0, **environment: str) -> Any:
    """What a program of npm prints, read as JSON; None when it prints nothing."""
    path = f"{INSTALLED}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [INSTALLED / command, *arguments],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == exits, done.stderr
    return json.loads(done.stdout or "null")


@pytest.mark.parametrize(("library", "era"), [("client", "legacy"), ("client", "modern"), ("sdk", "legacy")])
def test_the_typescript_clients_do_the_main_job(library: str, era: str, carrier: str, target: list[str]) -> None:
    seen = run("node", str(HERE / "journey.mjs"), library, era, *target)
    uris = seen.pop("resources")
    assert {"amo://account", "amo://palette", "amo://segments", "amo://segments/51"} <= set(uris)
    # In the newer era the 2.x client reports by itself that it answers a dialog.
    progress = [step for step in seen.pop("progress") if "input required" not in step[2]]
    # These clients forget who wants to know as soon as they see the answer, which may come in one piece with the last.
    steps = [[number, 30, f"Create segment «Группа {number}»"] for number in range(30)]
    assert progress == [*steps, [30, 30, "Done"]][: len(progress)]
    assert progress
    assert seen == {
        "version": VERSIONS[era],
        "server": "amo-mcp",
        "tools": [*catalog()],
        "vip": [51, 54],
        "read": "VIP",
        "unknown": -32602,
        "completed": ["51", "54"],
        "prompts": [prompt.name for prompt in Prompts().listed()],
        "prompt": True,
        "refused": ["declined", "declined"],
        "renamed": "Лучшие",
        "applied": 30,
        "asked": [
            {"question": "Delete segment «VIP»?", "fields": ["confirm"]},
            {"question": "Delete segment «VIP»?", "fields": ["confirm"]},
            {"question": "Change segment «VIP»?", "fields": ["confirm"]},
            {"question": "Apply a plan of 30 changes?", "fields": ["confirm"]},
        ],
        "withoutDialog": [WITHOUT_DIALOG[carrier], 54] if carrier == "stdio" else [WITHOUT_DIALOG[carrier]],
    }


def test_the_inspectors_cli_lists_calls_and_reads(era: str, carrier: str, target: list[str], tmp_path: Path) -> None:
    def inspect(method: str, *arguments: str, exits: int = 0) -> Any:
        options = ["--protocol-era", era, "--format", "json", "--method", method, *arguments]
        printed = run("mcp-inspector", "--cli", *target, *options, exits=exits, HOME=str(tmp_path))
        return printed["result"]

    tools = inspect("tools/list", "--strict")["tools"]
    assert [tool["name"] for tool in tools] == [*catalog()]
    listed = inspect("tools/call", "--tool-name", "list_segments", "--tool-arg", "search=vip")["structuredContent"]
    assert [segment["id"] for segment in listed["segments"]] == [51, 54]
    delete = ("--tool-name", "delete_segment", "--tool-arg", "segment_id=51")
    refused = inspect("tools/call", *delete, exits=5)
    assert refused["structuredContent"]["error"]["code"] == WITHOUT_DIALOG[carrier]
    [content] = inspect("resources/read", "--uri", "amo://segments/51")["contents"]
    assert json.loads(content["text"])["name"] == "VIP"
    prompt = ("--prompt-name", "explain_segment", "--prompt-args", "segment_id=51")
    [message] = inspect("prompts/get", *prompt)["messages"]
    assert "51" in message["content"]["text"]


@pytest.fixture
def mcpdo() -> Iterator[Callable[..., Any]]:
    """The Inspector's connection client, with a daemon of its own that ends with the test."""
    with TemporaryDirectory(prefix="mcpdo-") as home:
        environment = {"HOME": home, "MCP_INSPECTOR_DAEMON_DIR": home, "MCP_INSPECTOR_DAEMON_TOKEN": "of-this-test"}

        def do(*arguments: str, exits: int = 0) -> Any:
            return run("mcpdo", "--format", "json", "--connection", "amo", *arguments, exits=exits, **environment)

        try:
            yield do
        finally:
            do("disconnect", "amo")
            do("daemon", "stop")


def test_mcpdo_answers_dialogs_and_completes(era: str, target: list[str], mcpdo: Callable[..., Any]) -> None:
    def call(name: str, *arguments: str, says: tuple[str, ...] = (), exits: int = 0) -> Any:
        printed = mcpdo("tools/call", name, *arguments)
        if says:
            printed = mcpdo("elicitation/respond", printed["elicitationPending"]["elicitationId"], *says, exits=exits)
        return printed["structuredContent"]

    assert mcpdo("connect", "--era", era, "--", *target)["protocolEra"] == era
    assert mcpdo("connections/show")["protocolVersion"] == VERSIONS[era]
    for no in ("confirm:=false", "--decline", "--cancel"):
        refused = call("delete_segment", "segment_id:=51", says=(no,), exits=5)
        assert refused["error"]["code"] == "declined"
    assert call("get_segment", "segment_id:=51")["name"] == "VIP"
    assert call("delete_segment", "segment_id:=51", says=("confirm:=true",))["deleted"]["id"] == 51
    place = ("--complete-ref-type", "ref/resource", "--complete-ref", "amo://segments/{segment_id}")
    argument = ("--complete-arg-name", "segment_id", "--complete-arg-value", "vip")
    assert mcpdo("prompts/complete", *place, *argument)["values"] == ["54"]
    [content] = mcpdo("resources/read", "amo://segments/54")["contents"]
    assert json.loads(content["text"])["id"] == 54
    [message] = mcpdo("prompts/get", "explain_segment", "--prompt-args", "segment_id=54")["messages"]
    assert "54" in message["content"]["text"]
    plan = call("plan_changes", 'changes:=[{"action": "delete", "kind": "segment", "id": 54}]')["plan_id"]
    assert len(call("apply_plan", f'plan_id:="{plan}"', says=("confirm:=true",))["done"]) == 1
