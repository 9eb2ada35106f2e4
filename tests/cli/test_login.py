"""Signing in and out, as somebody does it: with a code, or on the consent page in a browser."""

import errno
import logging
import os
import socket
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import keyring
import pytest
from click.testing import CliRunner, Result
from keyring.backends import fail
from keyring.errors import KeyringLocked
from starlette.types import Receive, Scope, Send

from amo_mcp.amocrm.auth import Credentials
from amo_mcp.cli import cli, login
from amo_mcp.paths import StateDir
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.credentials import FileCredentialStore
from tests.storage.test_credentials import MemoryKeychain

BROUGHT = "amo-mcp has the answer. You can close this page and go back to the terminal."
NOT_IT = "This is not the answer that amo-mcp waits for."


@pytest.fixture(autouse=True)
def _logs_and_keychain_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)
    root.handlers[:] = handlers
    root.setLevel(level)


class Standing(Sandbox):
    """A sandbox that stays at its address while what it is changes from test to test."""

    def __init__(self) -> None:
        self.now = Sandbox()
        self.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.now.app(scope, receive, send)


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Standing, str]]:
    made = Standing()
    with running(made) as url:
        yield made, url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Terminal:
    """Somebody at a terminal, with the keys of the sandbox's integration in the environment."""

    sandbox: Sandbox
    url: str
    state: StateDir
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments), env={**self.environment, **environment})
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "sandbox-secret" not in result.output
        return result

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def file(self) -> Path:
        return self.state.path / f"sign-in-{self.host.replace(':', '_')}.json"

    @property
    def kept(self) -> Credentials | None:
        return anyio.run(FileCredentialStore(self.file).load)

    @property
    def requests(self) -> list[str]:
        return [f"{item.method} {item.path}" for item in self.sandbox.requests]

    def nobody_is_signed_in(self) -> bool:
        return not self.state.signed_in() and not list(self.state.path.glob("sign-in-*"))


@pytest.fixture
def terminal(standing: tuple[Standing, str], sandbox: Sandbox, tmp_path: Path) -> Terminal:
    standing[0].now, url = sandbox, standing[1]
    sandbox.oauth.redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    made = Terminal(sandbox, url, StateDir(tmp_path / "state"))
    made.environment = {
        "AMO_BASE_URL": url,
        "AMO_CLIENT_ID": sandbox.oauth.client_id,
        "AMO_CLIENT_SECRET": sandbox.oauth.client_secret,
        "AMO_REDIRECT_URI": sandbox.oauth.redirect_uri,
        "AMO_STATE_DIR": str(made.state.path),
    }
    return made


class TestCode:
    @pytest.mark.requirement("COMMAND-6")
    def test_a_code_signs_in_and_is_remembered(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"Signed in to {terminal.url}; the tokens are kept in {terminal.file}.\n"
        assert terminal.state.signed_in() == [terminal.url]
        kept = terminal.kept
        assert kept is not None
        assert (kept.base_url, kept.client_id, kept.redirect_uri) == (
            terminal.url,
            "sandbox-integration",
            terminal.sandbox.oauth.redirect_uri,
        )
        assert terminal.sandbox.oauth.accepts(kept.access_token.get_secret_value())
        assert kept.access_token.get_secret_value() not in result.output
        assert kept.refresh_token.get_secret_value() not in result.output
        assert terminal.requests == ["POST /oauth2/access_token"]

    def test_with_a_keychain_it_is_kept_there(self, terminal: Terminal) -> None:
        keychain = MemoryKeychain()
        keyring.set_keyring(keychain)
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert result.stdout == f"Signed in to {terminal.url}; the tokens are kept in the system's keychain.\n"
        assert list(keychain.entries) == [("amo-mcp", terminal.host.replace(":", "_"))]
        assert terminal.kept is None

    def test_signing_in_again_replaces_the_old_sign_in(self, terminal: Terminal) -> None:
        for _ in range(2):
            terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert terminal.state.signed_in() == [terminal.url]
        assert len(list(terminal.state.path.glob("sign-in-*.json*"))) == 1

    def test_a_code_that_is_refused_leaves_nothing_behind(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "def502-a-wrong-code")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            f"Error: cannot sign in: {terminal.host} refused it (status 400); a code lives 20 minutes and works once\n"
        )
        assert terminal.nobody_is_signed_in()

    def test_a_code_that_is_refused_leaves_an_older_sign_in_as_it_was(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        before = terminal.kept
        assert terminal.run("login", "--code", "def502-a-wrong-code").exit_code == 1
        assert terminal.kept == before
        assert terminal.state.signed_in() == [terminal.url]

    def test_whose_code_it_is_has_to_be_said(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "x", AMO_BASE_URL="")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot sign in:\n  AMO_BASE_URL or AMO_SUBDOMAIN is needed with --code: it says whose code it is\n"
        )
        assert terminal.requests == []

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            ({"status": 502}, "answered the sign-in with the status 502 and no tokens"),
            ({"drop": "before"}, "closed the connection before responding"),
        ],
    )
    def test_an_account_that_does_not_answer_is_said(
        self, fault: dict[str, object], told: str, terminal: Terminal
    ) -> None:
        terminal.sandbox.faults.add(Fault(**fault))
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: amoCRM {told}\n")
        assert terminal.nobody_is_signed_in()


class TestEnvironment:
    def test_what_is_missing_is_told_together(self, terminal: Terminal) -> None:
        missing = {"AMO_CLIENT_ID": "", "AMO_CLIENT_SECRET": "", "AMO_REDIRECT_URI": ""}
        result = terminal.run("login", **missing)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot sign in:\n"
            "  AMO_CLIENT_ID is needed: the integration's card shows it\n"
            "  AMO_CLIENT_SECRET is needed: the integration's card shows it\n"
            "  AMO_REDIRECT_URI is needed: the integration's card shows it\n"
        )

    @pytest.mark.requirement("ENV-2")
    @pytest.mark.parametrize("name", ["AMO_CLIENT_ID", "AMO_CLIENT_SECRET", "AMO_REDIRECT_URI"])
    def test_each_of_them_is_needed(self, name: str, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "x", **{name: ""})
        assert result.stderr == f"Error: cannot sign in:\n  {name} is needed: the integration's card shows it\n"
        assert terminal.requests == []

    def test_what_is_wrong_is_told_together(self, terminal: Terminal) -> None:
        result = terminal.run("login", AMO_BASE_URL="http://example.org", AMO_TIMEOUT="soon")
        assert (result.exit_code, result.stderr) == (
            1,
            (
                "Error: cannot sign in:\n"
                "  AMO_TIMEOUT must be a number of seconds above 0, at most 600\n"
                "  AMO_BASE_URL must begin with https: plain http is for loopback only\n"
            ),
        )

    @pytest.mark.parametrize(
        "redirect",
        [
            "https://127.0.0.1:8919/callback",
            "http://shop.example:8919/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1.evil.example:8919/",
            "callback",
            "http://127.0.0.1:99999/callback",
            "http://[::1:8919/callback",
        ],
    )
    def test_a_redirect_that_does_not_come_to_this_machine_cannot_be_caught(
        self, redirect: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webbrowser, "open", pytest.fail)
        result = terminal.run("login", AMO_REDIRECT_URI=redirect)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot sign in:\n"
            "  AMO_REDIRECT_URI is not on this machine (http://127.0.0.1:8919/callback would be), so that the redirect "
            "cannot be caught; use --code\n"
        )

    def test_a_port_that_is_taken_is_said(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webbrowser, "open", pytest.fail)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            redirect = f"http://127.0.0.1:{taken.getsockname()[1]}/callback"
            result = terminal.run("login", AMO_REDIRECT_URI=redirect)
        assert (result.exit_code, result.stderr) == (
            1,
            f"Error: AMO_REDIRECT_URI: {os.strerror(errno.EADDRINUSE)}\n",
        )
        assert terminal.nobody_is_signed_in()

    def test_a_folder_that_cannot_be_made_is_named(self, terminal: Terminal, tmp_path: Path) -> None:
        taken = tmp_path / "taken"
        taken.write_text("")
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code(), AMO_STATE_DIR=str(taken))
        assert (result.exit_code, result.stderr) == (1, f"Error: {taken}: {os.strerror(errno.EEXIST)}\n")
        # The code was not spent on tokens that could not have been kept.
        assert terminal.requests == []

    def test_a_folder_that_cannot_be_written_to_is_named(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert result.exit_code == 1
        assert str(terminal.state.path) in result.stderr

    def test_where_the_keychain_is_not_unlocked_the_tokens_are_kept_in_a_file_and_that_is_said(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Locked(MemoryKeychain):
            def set_password(self, service: str, username: str, password: str) -> None:
                raise KeyringLocked("dismissed")

        keyring.set_keyring(Locked())
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        spill = terminal.file.with_suffix(".unsaved.json")
        assert (result.exit_code, spill.exists()) == (0, True)
        assert result.stdout == f"Signed in to {terminal.url}; the tokens are kept in {spill}.\n"


class Browser:
    """A browser that `webbrowser.open` opens, in the hands of somebody who does what `visit` does."""

    def __init__(self, visit: Callable[["Browser", str], None]) -> None:
        self._visit = visit
        self.opened: list[str] = []
        self.seen: list[tuple[int, str]] = []

    def open(self, page: str) -> bool:
        self.opened.append(page)
        self._visit(self, page)
        return True

    def go(self, address: str) -> None:
        with httpx2.Client(trust_env=False, follow_redirects=True, timeout=10.0) as client:
            answer = client.get(address)
        self.seen.append((answer.status_code, answer.text))

    @staticmethod
    def state(page: str) -> str:
        return parse_qs(urlsplit(page).query)["state"][0]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Browser, str], None]], Browser]:
    def made(visit: Callable[[Browser, str], None]) -> Browser:
        browser = Browser(visit)
        monkeypatch.setattr(webbrowser, "open", browser.open)
        monkeypatch.setattr(login, "WAIT_FOR_CONSENT", 10.0)
        return browser

    return made


Make = Callable[[Callable[[Browser, str], None]], Browser]


def allow(browser: Browser, page: str) -> None:
    browser.go(f"{page}&sandbox_answer=allow")


class TestConsent:
    @pytest.mark.requirement("COMMAND-6")
    def test_who_allows_it_in_the_browser_is_signed_in(self, terminal: Terminal, browser: Make) -> None:
        used = browser(allow)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (0, "")
        [page] = used.opened
        state = Browser.state(page)
        assert page == f"{terminal.url}/oauth?client_id=sandbox-integration&state={state}&mode=popup"
        assert len(state) >= 32
        assert result.stdout == (
            f"Let the integration in on this page:\n  {page}\n"
            f"Signed in to {terminal.url}; the tokens are kept in {terminal.file}.\n"
        )
        assert used.seen == [(200, BROUGHT)]
        assert terminal.state.signed_in() == [terminal.url]
        assert terminal.kept is not None
        assert terminal.sandbox.oauth.accepts(terminal.kept.access_token.get_secret_value())

    def test_every_sign_in_has_a_state_of_its_own(self, terminal: Terminal, browser: Make) -> None:
        used = browser(allow)
        for _ in range(2):
            assert terminal.run("login").exit_code == 0
        assert len({Browser.state(page) for page in used.opened}) == 2

    def test_without_an_address_the_redirect_says_whose_account_it_is(self, terminal: Terminal, browser: Make) -> None:
        def allow_here(used: Browser, page: str) -> None:
            used.go(page.replace("https://www.amocrm.ru", terminal.url) + "&sandbox_answer=allow")

        used = browser(allow_here)
        assert terminal.run("login", AMO_BASE_URL="").exit_code == 0
        assert used.opened[0].startswith("https://www.amocrm.ru/oauth?client_id=sandbox-integration&state=")
        assert terminal.state.signed_in() == [terminal.url]

    def test_an_answer_that_nobody_asked_for_is_left_aside(self, terminal: Terminal, browser: Make) -> None:
        def forge_first(used: Browser, page: str) -> None:
            here, state = terminal.sandbox.oauth.redirect_uri, Browser.state(page)
            used.go(f"{here}?code=evil&referer=evil.example&state=x{state}")
            used.go(f"{here}?code=evil&referer=evil.example&state=%D1%85")
            used.go(f"{here}?code=evil&referer=evil.example")
            used.go(f"{here}?error=access_denied")
            used.go(f"{here}?state={state}")
            used.go(f"{here}?code=&state={state}")
            allow(used, page)

        used = browser(forge_first)
        assert terminal.run("login").exit_code == 0
        assert used.seen == [(400, NOT_IT)] * 6 + [(200, BROUGHT)]
        assert terminal.requests == ["POST /oauth2/access_token"]

    def test_other_pages_of_the_address_are_not_there(self, terminal: Terminal, browser: Make) -> None:
        def stray(used: Browser, page: str) -> None:
            used.go(terminal.sandbox.oauth.redirect_uri.replace("/callback", f"/?state={Browser.state(page)}&code=x"))
            allow(used, page)

        used = browser(stray)
        assert terminal.run("login").exit_code == 0
        assert [status for status, _ in used.seen] == [404, 200]

    def test_who_denies_it_is_not_signed_in(self, terminal: Terminal, browser: Make) -> None:
        used = browser(lambda used, page: used.go(f"{page}&sandbox_answer=deny"))
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: access was denied on the consent page\n",
        )
        assert used.seen == [(200, BROUGHT)]
        assert terminal.nobody_is_signed_in()

    @pytest.mark.parametrize(
        "referer",
        ["evil.example", "amocrm.ru.evil.example", "user@shop.amocrm.ru", "shop.amocrm.ru/x", "", "127.0.0.1:0"],
    )
    def test_an_account_where_no_token_may_be_sent_is_refused(
        self, referer: str, terminal: Terminal, browser: Make
    ) -> None:
        def from_elsewhere(used: Browser, page: str) -> None:
            asked = httpx2.QueryParams({"code": "x", "state": Browser.state(page), "referer": referer})
            used.go(f"{terminal.sandbox.oauth.redirect_uri}?{asked}")

        browser(from_elsewhere)
        result = terminal.run("login", AMO_BASE_URL="")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: the redirect named an account outside of amocrm.ru, amocrm.com and kommo.com\n",
        )
        assert terminal.nobody_is_signed_in()
        assert terminal.requests == []

    def test_another_account_than_the_named_one_is_refused(self, terminal: Terminal, browser: Make) -> None:
        def as_another(used: Browser, page: str) -> None:
            here = terminal.sandbox.oauth.redirect_uri
            used.go(f"{here}?code=x&state={Browser.state(page)}&referer=Other.amocrm.ru")

        browser(as_another)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            (
                "Error: cannot sign in: it was https://other.amocrm.ru that let the integration in, "
                f"and not {terminal.url}\n"
            ),
        )
        assert terminal.nobody_is_signed_in()

    def test_a_page_that_nobody_answers_is_given_up(
        self, terminal: Terminal, browser: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert login.WAIT_FOR_CONSENT == 600.0
        browser(lambda *_: None)
        monkeypatch.setattr(login, "WAIT_FOR_CONSENT", 0.0)
        result = terminal.run("login")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: nobody answered the consent page in time\n",
        )

    def test_the_redirect_can_come_to_the_newer_loopback_address(self, terminal: Terminal, browser: Make) -> None:
        terminal.sandbox.oauth.redirect_uri = f"http://[::1]:{free_port()}/callback"
        browser(allow)
        assert terminal.run("login", AMO_REDIRECT_URI=terminal.sandbox.oauth.redirect_uri).exit_code == 0


class TestLogout:
    @pytest.mark.requirement("COMMAND-7")
    def test_who_signs_out_is_forgotten(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        result = terminal.run("logout")
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"Signed out of {terminal.url}.\n", "")
        assert terminal.nobody_is_signed_in()

    def test_without_a_name_it_is_who_signed_in_last(self, terminal: Terminal) -> None:
        terminal.state.create()
        terminal.state.remember("https://first.amocrm.ru")
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert terminal.run("logout", AMO_BASE_URL="").stdout == f"Signed out of {terminal.url}.\n"
        assert terminal.state.signed_in() == ["https://first.amocrm.ru"]

    def test_from_the_keychain_it_goes_too(self, terminal: Terminal) -> None:
        keychain = MemoryKeychain()
        keyring.set_keyring(keychain)
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert terminal.run("logout").exit_code == 0
        assert (keychain.entries, terminal.state.signed_in()) == ({}, [])

    def test_nobody_can_sign_out_who_is_not_signed_in(self, terminal: Terminal) -> None:
        named, unnamed = terminal.run("logout"), terminal.run("logout", AMO_BASE_URL="")
        assert [(it.exit_code, it.stdout, it.stderr) for it in (named, unnamed)] == [
            (1, "", f"Error: nobody is signed in to {terminal.url}\n"),
            (1, "", "Error: nobody is signed in\n"),
        ]

    def test_an_environment_that_is_wrong_is_said(self, terminal: Terminal) -> None:
        result = terminal.run("logout", AMO_BASE_URL="https://evil.example", AMO_CONFIRM="off")
        assert (result.exit_code, result.stderr) == (
            1,
            (
                "Error: cannot sign out:\n"
                "  AMO_CONFIRM must be auto, dialog or chat\n"
                "  AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in "
                "AMO_ALLOWED_HOSTS\n"
            ),
        )

    def test_an_account_whose_tokens_are_gone_is_forgotten_all_the_same(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        terminal.file.unlink()
        terminal.run("logout")
        assert terminal.state.signed_in() == []
