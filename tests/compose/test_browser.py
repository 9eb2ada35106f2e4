"""Whether this machine can open a browser, and opening one without waiting for its end."""

import sys
import webbrowser
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from amo_mcp.compose import browser

pytestmark = pytest.mark.anyio

NO_SESSION = "there is no graphical session (DISPLAY or WAYLAND_DISPLAY), and BROWSER is not set"
UNREPLACED = "BROWSER is a reference that was not replaced by its value"
OVER_SSH = "this is a session over SSH"


@pytest.mark.requirement("CONFIRM-7")
@pytest.mark.parametrize(
    ("platform", "environment", "why_not"),
    [
        ("linux", {}, NO_SESSION),
        ("linux", {"DISPLAY": ":0"}, ""),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, ""),
        ("linux", {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, NO_SESSION),
        ("linux", {"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "10.0.0.2 22"}, OVER_SSH),
        ("linux", {"SSH_CONNECTION": "10.0.0.2 22", "BROWSER": "/usr/bin/opens-it-elsewhere"}, ""),
        ("linux", {"BROWSER": "firefox"}, ""),
        ("linux", {"DISPLAY": ":0", "BROWSER": "${BROWSER}"}, UNREPLACED),
        ("freebsd14", {}, NO_SESSION),
        ("darwin", {}, ""),
        ("darwin", {"SSH_CONNECTION": "10.0.0.2 22"}, OVER_SSH),
        ("win32", {}, ""),
    ],
)
def test_a_browser_opens_in_a_graphical_session_of_this_machine_or_when_one_was_set_by_hand(
    platform: str, environment: dict[str, str], why_not: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert browser.why_not() == why_not


@pytest.mark.parametrize("name", ["w3m", "/usr/bin/lynx", "www-browser"])
async def test_a_text_browser_is_none(name: str, monkeypatch: pytest.MonkeyPatch, opened_tabs: Path) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser(name))
    assert not browser.is_found()
    assert not await browser.open_tab("http://127.0.0.1:1/")
    assert not opened_tabs.exists()


async def test_a_machine_without_any_browser_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert not browser.is_found()
    assert not await browser.open_tab("http://127.0.0.1:1/")


async def test_a_browser_that_was_set_by_hand_and_cannot_be_parsed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unparsed() -> None:
        raise ValueError("No closing quotation")

    monkeypatch.setattr(webbrowser, "get", unparsed)
    assert not browser.is_found()
    assert not await browser.open_tab("http://127.0.0.1:1/")


async def test_the_browser_that_was_set_by_hand_is_given_the_address(opened_tabs: Path) -> None:
    assert await browser.open_tab("http://127.0.0.1:1/secret")
    assert opened_tabs.read_text() == "http://127.0.0.1:1/secret\n"


async def test_a_browser_that_runs_until_it_is_closed_counts_as_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "_OPENING_SECONDS", 0.01)
    closed = anyio.Event()

    def runs(_: str) -> bool:
        anyio.from_thread.run(closed.wait, token=token)
        return True

    token = anyio.lowlevel.current_token()
    monkeypatch.setattr(browser, "_open", runs)
    assert await browser.open_tab("http://127.0.0.1:1/")
    closed.set()
    await anyio.lowlevel.checkpoint()


async def test_nothing_that_a_browser_prints_reaches_what_the_server_writes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """xdg-open prints the address that it could not open; the client's log is no place for its secret."""
    monkeypatch.setenv("BROWSER", "sh -c 'echo $0; echo $0 >&2' %s")
    assert await browser.open_tab("http://127.0.0.1:1/secret")
    assert capfd.readouterr() == ("", "")


async def test_what_lies_in_the_working_directory_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, opened_tabs: Path
) -> None:
    """A client starts the server in the folder of a project, which may be anybody's."""
    (tmp_path / "webbrowser.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    assert await browser.open_tab("http://127.0.0.1:1/secret")
    assert opened_tabs.read_text() == "http://127.0.0.1:1/secret\n"


async def test_a_browser_that_ends_with_an_error_did_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "false")
    assert not await browser.open_tab("http://127.0.0.1:1/")


async def test_where_no_process_can_be_started_no_browser_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert not await browser.open_tab("http://127.0.0.1:1/")
