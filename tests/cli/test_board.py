"""`amo-mcp board`: the board in the browser, and in a file."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from amo_mcp.cli import cli
from tests import recorder
from tests.cli.command_line import ENVIRONMENT
from tests.cli.machine import Machine

SECONDS = 30


@pytest.mark.requirement("BOARD-7")
def test_the_board_is_opened_in_the_browser_until_ctrl_c(tmp_path: Path) -> None:
    record = tmp_path / "opened"
    environment = {**ENVIRONMENT, "BROWSER": recorder.COMMAND, recorder.RECORD: str(record)}
    command = [sys.executable, "-m", "amo_mcp", "board", "--sandbox"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shown:
        assert shown.stdout
        assert shown.stderr
        assert shown.stdout.readline() == "The board is open in your browser (Ctrl-C ends it).\n"
        [address] = record.read_text("utf-8").split()
        with httpx2.Client(follow_redirects=True) as browser:
            page = browser.get(address)
            assert (page.status_code, page.url.path) == (200, "/")
            answers = browser.get(page.url.join("/answers")).json()
        assert len(answers["list_segments"]["structuredContent"]["segments"]) == 15
        shown.send_signal(signal.SIGINT)
        assert shown.wait(SECONDS) == 0
        assert (shown.stdout.read(), shown.stderr.read()) == ("", "")


@pytest.mark.requirement("BOARD-7")
def test_where_no_browser_can_be_opened_the_address_is_printed() -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("BROWSER", "DISPLAY")}
    command = [sys.executable, "-m", "amo_mcp", "board", "--sandbox"]
    with subprocess.Popen(command, env={**environment, "SSH_CONNECTION": "1"}, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout
        assert it.stdout.readline() == (
            "Open this address in a browser on this machine; it works once (Ctrl-C ends it):\n"
        )
        assert httpx2.get(it.stdout.readline().strip()).status_code == 303
        it.send_signal(signal.SIGINT)
        assert it.wait(SECONDS) == 0


@pytest.mark.requirement("BOARD-7")
def test_with_file_a_page_that_stands_alone_is_written_and_nothing_is_served(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = CliRunner().invoke(cli, ["board", "--sandbox", "--file", str(file)])
    assert (done.exit_code, done.output) == (0, f"The board is in {file}.\n")
    page = file.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert '"name": "VIP"' in page


@pytest.mark.requirement("BOARD-7")
def test_an_account_on_the_network_is_only_read(machine: Machine, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["board", "--file", str(tmp_path / "r.html")], env=machine.environment)
    assert done.exit_code == 0
    assert {request.method for request in machine.sandbox.requests} == {"GET"}


def test_what_keeps_it_from_reading_or_writing_is_said(machine: Machine, tmp_path: Path) -> None:
    def said(*arguments: str, **environment: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["board", *arguments], env={**machine.environment, **environment})
        return done.exit_code, done.output

    file = str(tmp_path / "r.html")
    assert said("--file", file, AMO_BASE_URL="")[0] == 1
    code, told = said("--file", file, AMO_ACCESS_TOKEN="wrong")
    assert code == 1
    assert told.startswith("Error: ")
    assert "AMO_ACCESS_TOKEN" in told
    assert said("--file", str(tmp_path / "none" / "r.html")) == (
        1,
        f"Error: {tmp_path / 'none' / 'r.html'}: No such file or directory\n",
    )
    machine.sandbox.account.mode = "disabled"
    code, told = said("--file", file)
    assert code == 1
    assert told.startswith("Error: This needs the customers mode `segments`, and the account is in `disabled`.")
    assert not Path(file).exists()
