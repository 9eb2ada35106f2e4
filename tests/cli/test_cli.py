"""The commands, as somebody types them."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from amo_mcp import __version__
from amo_mcp.cli import cli
from amo_mcp.sandbox import ADMIN_TOKEN
from amo_mcp.server.app import TOOLS

KEPT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AMO_")},
    "AMO_STATE_DIR": os.devnull,
}
"""An environment in which nothing is set, on a machine on which nobody is signed in."""


def amo(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "amo_mcp", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**KEPT, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_help_names_the_commands() -> None:
    told = CliRunner().invoke(cli, ["--help"]).output
    assert re.findall(r"^  (\w+)  ", told.partition("Commands:")[2], re.MULTILINE) == [
        "serve",
        "sandbox",
        "demo",
        "login",
        "logout",
        "doctor",
        "config",
    ]


@pytest.mark.parametrize("name", ["serve", "sandbox", "demo", "login", "logout", "doctor", "config"])
def test_every_command_explains_itself(name: str) -> None:
    told = CliRunner().invoke(cli, [name, "--help"])
    assert told.exit_code == 0
    assert told.output.startswith(f"Usage: cli {name} [OPTIONS]")
    assert re.search(r"\n\n  [A-Z].*(\n  .+)*\.\n", told.output)


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"amo-mcp, version {__version__}\n"


def test_an_unknown_command_is_refused() -> None:
    told = CliRunner().invoke(cli, ["sevre"])
    assert told.exit_code == 2
    assert "No such command 'sevre'" in told.output


@pytest.mark.requirement("ENV-7")
def test_settings_that_are_wrong_stop_it_before_serving() -> None:
    done = amo(AMO_BASE_URL="http://example.org", AMO_CONFIRM="never")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "amo-mcp cannot start:",
        "  AMO_CONFIRM must be auto, dialog or chat",
        "  AMO_BASE_URL must begin with https: plain http is for loopback only",
        "  AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`",
    ]


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys, gc; gc.disable(); import amo_mcp.cli; "
        "from amo_mcp.cli import serve; "
        "print(sorted(name for name in sys.modules if name.startswith(('amo_mcp.sandbox', 'amo_mcp.cli'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=KEPT)
    assert done.stdout.strip() == "['amo_mcp.cli', 'amo_mcp.cli.serve']"


def test_the_tools_are_listed_before_what_only_calls_need_is_imported() -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    account = {"AMO_BASE_URL": "http://127.0.0.1:9", "AMO_ACCESS_TOKEN": "x"}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "imports").open("w+") as imports:
        with subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "amo_mcp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=imports,
            text=True,
            env=KEPT | account | {"AMO_STATE_DIR": folder},
        ) as server:
            assert server.stdin
            assert server.stdout
            server.stdin.writelines(json.dumps(line) + "\n" for line in lines)
            server.stdin.flush()
            answers = [json.loads(server.stdout.readline()) for _ in range(2)]
            server.stdin.close()
        imports.seek(0)
        imported = {line.rsplit("|", 1)[-1].strip() for line in imports}
    assert len(answers[1]["result"]["tools"]) == len(TOOLS)
    late = {"httpcore2", "h11", "tenacity", "filelock", "keyring", "rapidfuzz", "rich"}
    assert "amo_mcp.server.app" in imported
    assert {name.partition(".")[0] for name in imported} & late == set()
    assert imported & {"amo_mcp.storage.sqlite.journal", *(tool.module for tool in TOOLS)} == set()


def test_what_the_sdk_declares_is_not_built_before_it_is_used() -> None:
    code = (
        "import sys, contextlib; from amo_mcp.cli import main; sys.argv = ['amo-mcp', '--version']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "import amo_mcp.cli.serve, mcp_types; from mcp.client.session import ClientResponse\n"
        "print(mcp_types.CallToolResult.__pydantic_complete__, ClientResponse.pydantic_complete)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=KEPT)
    assert done.stdout.splitlines()[1:] == ["False False"]


class TestSandbox:
    @pytest.mark.requirement("COMMAND-4")
    def test_it_serves_an_account_and_keeps_it_in_a_file(self, tmp_path: Path) -> None:
        state = tmp_path / "shop.json"
        for created in (1, 2):
            with self.running("--port", "0", "--mode", "segments", "--state", str(state)) as url:
                answered = httpx2.post(
                    f"{url}/api/v4/customers/segments",
                    json={"name": f"Новые {created}"},
                    headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
                )
                assert answered.status_code == 200
                listed = httpx2.get(
                    f"{url}/api/v4/customers/segments", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
                ).json()["_embedded"]["segments"]
                assert len([item for item in listed if item["name"].startswith("Новые ")]) == created

    def test_a_state_file_that_is_broken_is_named(self, tmp_path: Path) -> None:
        state = tmp_path / "shop.json"
        state.write_text("{")
        done = amo("sandbox", "--port", "0", "--state", str(state))
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert str(state) in done.stderr
        assert state.read_text() == "{"

    def test_a_port_that_is_taken_is_said(self) -> None:
        with self.running("--port", "0") as url:
            port = url.rpartition(":")[2]
            done = amo("sandbox", "--port", port)
        assert done.returncode == 1
        assert done.stderr == f"Error: port {port} cannot be used: Address already in use\n"

    class running:  # noqa: N801 - read as a word: with self.running(...)
        def __init__(self, *arguments: str) -> None:
            self.arguments = arguments

        def __enter__(self) -> str:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "amo_mcp", "sandbox", *self.arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=KEPT,
            )
            assert self.process.stdout
            first = self.process.stdout.readline()
            match = re.search(r"at (http://[0-9.:]+)", first)
            assert match, first
            return match[1]

        def __exit__(self, *_: object) -> None:
            self.process.terminate()
            _, told = self.process.communicate(timeout=10)
            assert told == ""
            assert self.process.returncode == 0


class TestDemo:
    @pytest.mark.requirement("COMMAND-5")
    def test_without_a_terminal_it_answers_yes_and_says_so(self) -> None:
        done = amo("demo", AMO_BASE_URL="https://never.used.example")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("(no terminal, so the demo answers yes)") == 4
        assert done.stdout.count("✓ 10 changes done") == 2
        assert "10 of 10  Done" in done.stdout
        assert "✓ deleted 54 «vip клиенты »" in done.stdout
        assert "✗ invalid_arguments: color is not one of the 40 segment colours. Nothing was changed." in done.stdout
        assert "\x1b[" not in done.stdout

    @pytest.mark.requirement("COMMAND-5")
    @pytest.mark.parametrize(("typed", "outcome", "questions"), [("y", "deleted 54", 4), ("n", "declined", 3)])
    def test_in_a_terminal_it_asks(self, typed: str, outcome: str, questions: int) -> None:
        told = self.typed_at(typed)
        assert told.count("Yes? [y/n]") == questions
        assert outcome in told
        assert "\x1b[" in told

    def typed_at(self, word: str) -> str:
        """What the demo shows in a terminal where `word` is typed at every question."""
        mine, its = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "amo_mcp", "demo"], stdin=its, stdout=its, stderr=its, env={**KEPT, "TERM": "xterm"}
        )
        os.close(its)
        told, answered, until = b"", 0, time.monotonic() + 60
        while time.monotonic() < until and select.select([mine], [], [], 30)[0]:
            try:
                chunk = os.read(mine, 65536)
            except OSError:
                break
            if not chunk:
                break
            told += chunk
            if told.count(b"[y/n]") > answered:
                answered += 1
                os.write(mine, word.encode() + b"\n")
        os.close(mine)
        assert process.wait(timeout=30) == 0
        return told.decode()
