"""The commands, as somebody types them."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from amo_mcp import __version__
from amo_mcp.cli import cli
from amo_mcp.sandbox import ADMIN_TOKEN
from tests.cli.command_line import ENVIRONMENT, amo

COMMANDS = ["serve", "sandbox", "board", "demo", "login", "logout", "doctor", "config", "team"]


def test_help_names_the_commands() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    assert re.findall(r"^  (\w+)  ", output.partition("Commands:")[2], re.MULTILINE) == COMMANDS


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "config cursor",
        "doctor",
        "demo",
        "board --sandbox",
        "board --sandbox --file board.html",
        "sandbox --port 0",
        "serve --sandbox --http --port 0",
    ],
)
def test_a_command_whose_output_nobody_reads_ends_without_a_word(command: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "amo_mcp", *command.split()],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, "BROWSER": "true", "AMO_SANDBOX": "1"},
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is a device of Linux")
@pytest.mark.parametrize("arguments", ["doctor", "demo", "--help"])
def test_a_command_that_finds_no_room_for_what_it_prints_says_so(arguments: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "amo_mcp", arguments],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT | {"AMO_SANDBOX": "1"},
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"Error: nothing more can be written (No space left on device)\n",
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    usage, text, *_ = result.output.split("\n\n")
    assert usage.startswith(f"Usage: cli {name} [OPTIONS]")
    assert text.strip().endswith(".")


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"amo-mcp, version {__version__}\n"


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(cli, ["sevre"])
    assert result.exit_code == 2
    assert "No such command 'sevre'" in result.output


@pytest.mark.requirement("ENV-7")
def test_wrong_settings_are_reported_before_serving() -> None:
    done = amo(AMO_BASE_URL="http://example.org", AMO_CONFIRM="never")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "amo-mcp cannot start:",
        "  AMO_CONFIRM must be auto, dialog, page or chat",
        "  AMO_BASE_URL must begin with https: plain http is for loopback only",
        "  AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`",
    ]


@pytest.mark.requirement("ENV-7")
def test_a_token_that_the_client_did_not_fill_in_is_reported_before_serving() -> None:
    done = amo(AMO_BASE_URL="https://example.amocrm.ru", AMO_ACCESS_TOKEN="${AMO_ACCESS_TOKEN}")
    assert (done.returncode, done.stdout) == (2, "")
    [_, problem] = done.stderr.splitlines()
    assert problem.startswith("  AMO_ACCESS_TOKEN is a reference that nothing has replaced")


class TestSandbox:
    @pytest.mark.requirement("COMMAND-4")
    def test_the_sandbox_command_serves_an_account_and_keeps_it_in_a_file(self, tmp_path: Path) -> None:
        state = tmp_path / "shop.json"
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        for created in (1, 2):
            with sandbox("--port", "0", "--mode", "segments", "--state", str(state)) as url:
                segments = f"{url}/api/v4/customers/segments"
                response = httpx2.post(segments, json={"name": f"Новые {created}"}, headers=headers)
                assert response.status_code == 200
                listed = httpx2.get(segments, headers=headers).json()["_embedded"]["segments"]
                assert len([item for item in listed if item["name"].startswith("Новые ")]) == created

    def test_a_state_file_that_is_broken_is_named_and_left_as_it_is(self, tmp_path: Path) -> None:
        state = tmp_path / "shop.json"
        state.write_text("{")
        done = amo("sandbox", "--port", "0", "--state", str(state))
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert str(state) in done.stderr
        assert state.read_text() == "{"

    def test_a_port_that_is_in_use_is_reported(self) -> None:
        with sandbox("--port", "0") as url:
            port = url.rpartition(":")[2]
            done = amo("sandbox", "--port", port)
        assert done.returncode == 1
        assert done.stderr == f"Error: port {port} cannot be used: Address already in use\n"


@contextmanager
def sandbox(*arguments: str) -> Iterator[str]:
    """`amo-mcp sandbox` as a process; the value is its URL."""
    command = [sys.executable, "-u", "-m", "amo_mcp", "sandbox", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            match = re.search(r"at (http://[0-9.:]+)", first)
            assert match, first
            yield match[1]
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=10)
        assert errors == ""
        assert process.returncode == 0


class TestDemo:
    @pytest.mark.requirement("COMMAND-5")
    def test_without_a_terminal_the_demo_answers_yes_and_says_so(self) -> None:
        done = amo("demo", "--language", "en", AMO_BASE_URL="https://never.used.example")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("(no terminal, so the demo answers yes)") == 4
        assert re.findall(r"✓ (\d+) changes done", done.stdout) == ["11", "12"]
        assert "11 of 11  Done" in done.stdout
        assert "12 of 12  Done" in done.stdout
        assert "✓ deleted segment 54 «vip клиенты »" in done.stdout
        assert (
            "  ✗ invalid_arguments\n    The model reads:\n"
            "    │ color «pink» is not one of the 40 segment colours. Nothing was changed.\n" in done.stdout
        )
        assert "\x1b[" not in done.stdout

    @pytest.mark.requirement("LANGUAGE-1")
    @pytest.mark.parametrize(
        ("options", "variables", "asks"),
        [
            (["--language", "pt"], {"LC_ALL": "ru_RU.UTF-8"}, "o servidor pergunta"),
            ([], {"LC_ALL": "", "LC_MESSAGES": "es_MX.UTF-8", "LANG": "ru_RU.UTF-8"}, "el servidor pregunta"),
            ([], {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ru_RU.UTF-8"}, "сервер спрашивает"),
            ([], {"LC_ALL": "C.UTF-8", "LANG": "ru_RU.UTF-8"}, "the server asks"),
        ],
    )
    def test_the_demo_is_in_the_language_of_the_option_or_the_terminal(
        self, options: list[str], variables: dict[str, str], asks: str
    ) -> None:
        done = amo("demo", *options, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count(asks) == 4

    @pytest.mark.requirement("COMMAND-5")
    @pytest.mark.parametrize(("typed", "outcome", "questions"), [("y", "deleted segment 54", 4), ("n", "declined", 3)])
    def test_in_a_terminal_the_demo_asks(self, typed: str, outcome: str, questions: int) -> None:
        output = demo_in_terminal(typed)
        assert output.count("Yes? [y/n]") == questions
        assert outcome in output
        assert "\x1b[" in output

    @pytest.mark.requirement("LANGUAGE-1")
    @pytest.mark.parametrize(
        ("language", "asks", "typed", "outcome"),
        [
            ("ru", "Подтверждаете? [д/н]", "Да", "удалён сегмент 54"),
            ("es", "¿Confirma? [s/n]", "sí", "se eliminó el segmento 54"),
            ("pt", "Confirma? [s/n]", "y", "segmento 54"),
        ],
    )
    def test_in_a_terminal_the_demo_is_answered_in_its_language(
        self, language: str, asks: str, typed: str, outcome: str
    ) -> None:
        output = demo_in_terminal(typed, language)
        assert output.count(asks) == 4
        assert outcome in output


def demo_in_terminal(answer: str, language: str = "en") -> str:
    """What the demo shows in a terminal where `answer` is typed at every question."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "amo_mcp", "demo", "--language", language]
    environment = {**ENVIRONMENT, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output, answered, until = b"", 0, time.monotonic() + 60
        while time.monotonic() < until and select.select([ours], [], [], 30)[0]:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
            if output.count(b"/n]") + output.count("/н]".encode()) > answered:
                answered += 1
                os.write(ours, answer.encode() + b"\n")
        os.close(ours)
        assert process.wait(timeout=30) == 0
    return output.decode()


def test_the_module_runs_as_the_command_does() -> None:
    done = amo("config", "cursor", "--sandbox")
    assert done.returncode == 0
    assert json.loads(done.stdout)["mcpServers"]["amocrm"]["env"] == {"AMO_SANDBOX": "1"}
