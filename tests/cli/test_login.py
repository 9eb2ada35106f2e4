"""Signing in with a code, as somebody types or pastes it."""

import errno
import os
import socket
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import keyring
import pytest

from amo_mcp.sandbox import Fault
from tests.cli.machine import Keychain, Terminal

pytestmark = pytest.mark.usefixtures("_no_keychain")


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
        assert terminal.sandbox.oauth.granted_by(kept.access_token.get_secret_value())
        assert kept.access_token.get_secret_value() not in result.output
        assert kept.refresh_token.get_secret_value() not in result.output
        assert terminal.requests == ["POST /oauth2/access_token"]

    def test_where_there_is_a_keychain_the_tokens_are_kept_in_it(self, terminal: Terminal) -> None:
        keychain = Keychain()
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
            f"Error: cannot sign in: {terminal.host} refused it (status 400). Check that AMO_REDIRECT_URI is the "
            "redirect address on the integration's card, to the letter; a code lives 20 minutes and works once. If "
            "both are right, check AMO_CLIENT_ID and AMO_CLIENT_SECRET too\n"
        )
        assert terminal.nobody_is_signed_in()

    def test_a_code_that_is_refused_leaves_an_older_sign_in_as_it_was(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        before = terminal.kept
        assert terminal.run("login", "--code", "def502-a-wrong-code").exit_code == 1
        assert terminal.kept == before
        assert terminal.state.signed_in() == [terminal.url]

    def test_a_code_without_a_named_account_is_refused(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "x", AMO_BASE_URL="")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot sign in:\n  AMO_BASE_URL or AMO_SUBDOMAIN is needed with --code: it says whose code it is\n"
        )
        assert terminal.requests == []

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ({"status": 502}, "amoCRM answered the sign-in with the status 502 and no tokens. Try again in a minute."),
            (
                {"status": 404, "html": True},
                "amoCRM answered the sign-in with the status 404 and no tokens. Check the account's address "
                "(AMO_BASE_URL): the account may have been renamed.",
            ),
            ({"drop": "before"}, "amoCRM closed the connection before responding. Try again in a minute."),
            (
                {"status": 403, "html": True},
                "amoCRM's gateway refuses every request of this integration or address. Stop calling for now: trying "
                "again makes it last longer. If it stays, write to amoCRM's support.",
            ),
        ],
    )
    def test_a_token_endpoint_that_gives_no_tokens_is_reported(
        self, fault: dict[str, Any], message: str, terminal: Terminal
    ) -> None:
        terminal.sandbox.faults.add(Fault(**fault))
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: cannot sign in. {message}\n")
        assert terminal.nobody_is_signed_in()

    @pytest.mark.parametrize("wrong", ["AMO_CLIENT_ID", "AMO_CLIENT_SECRET", "AMO_REDIRECT_URI"])
    def test_a_refusal_names_the_variable_that_is_wrong_whichever_it_is(self, wrong: str, terminal: Terminal) -> None:
        code = terminal.sandbox.oauth.issue_code()
        result = terminal.run("login", "--code", code, **{wrong: terminal.environment[wrong] + "/"})
        assert (result.exit_code, wrong in result.stderr) == (1, True)
        assert terminal.run("login", "--code", code).exit_code == 0

    def test_a_refusal_with_401_names_the_id_and_the_secret_and_not_the_code(self, terminal: Terminal) -> None:
        terminal.sandbox.faults.add(Fault(status=401))
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert (result.exit_code, result.stderr) == (
            1,
            (
                f"Error: cannot sign in: {terminal.host} refused it (status 401). "
                "Check AMO_CLIENT_ID and AMO_CLIENT_SECRET against the integration's card\n"
            ),
        )
        assert terminal.nobody_is_signed_in()


class TestPasted:
    """What is given to `--code` comes from a clipboard."""

    @pytest.mark.requirement("COMMAND-6")
    @pytest.mark.parametrize(
        "pasted",
        [
            "https://shop.example/callback?code={code}&state=x&platform=1",
            "https://shop.example/callback?code={code}&referer={host}&state=x&platform=1",
            "http://127.0.0.1:8919/?referer={host}&code={code}",
            " <https://shop.example/callback?code={code}&state=x>\n",
            "?code={code}&state=x",
            "code={code}&state=x",
            "code={code}",
            "  {code}\n",
            "'{code}'",
            "{code_in_two_lines}",
        ],
    )
    def test_the_code_is_taken_out_of_whatever_it_was_copied_with(self, pasted: str, terminal: Terminal) -> None:
        code = terminal.sandbox.oauth.issue_code()
        halves = f"{code[:20]}\n  {code[20:]}"
        text = pasted.format(code=code, host=terminal.host, code_in_two_lines=halves)
        result = terminal.run("login", "--code", text)
        assert (result.exit_code, result.stderr) == (0, "")
        assert terminal.state.signed_in() == [terminal.url]

    def test_an_address_that_names_the_account_needs_no_other_name_for_it(self, terminal: Terminal) -> None:
        code = terminal.sandbox.oauth.issue_code()
        pasted = f"https://shop.example/callback?{urlencode({'code': code, 'referer': terminal.host})}"
        assert terminal.run("login", "--code", pasted, AMO_BASE_URL="").exit_code == 0
        assert terminal.state.signed_in() == [terminal.url]

    @pytest.mark.parametrize(
        "pasted", ["", "  ", "\n", "''", "https://shop.example/callback", "https://shop.example/?state=x", "code=", "?"]
    )
    def test_a_text_without_a_code_is_refused_before_anything_is_sent(self, pasted: str, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", pasted)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot sign in:\n"
            "  --code needs the authorization code, or the whole address that the consent page redirected to\n"
        )
        assert terminal.requests == []

    def test_an_address_that_says_access_was_denied_is_reported_as_that(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "https://shop.example/callback?error=access_denied&state=x")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: cannot sign in: access was denied on the consent page\n",
        )

    def test_an_address_of_another_account_than_the_named_one_is_refused(self, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "https://shop.example/?code=x&referer=other.amocrm.ru")
        assert (result.exit_code, result.stderr) == (
            1,
            f"Error: cannot sign in: access was granted by https://other.amocrm.ru, not by {terminal.url}\n",
        )
        assert terminal.requests == []


class TestEnvironment:
    def test_missing_variables_are_reported_together(self, terminal: Terminal) -> None:
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
    def test_each_variable_of_the_integration_is_needed(self, name: str, terminal: Terminal) -> None:
        result = terminal.run("login", "--code", "x", **{name: ""})
        assert result.stderr == f"Error: cannot sign in:\n  {name} is needed: the integration's card shows it\n"
        assert terminal.requests == []

    def test_wrong_variables_are_reported_together(self, terminal: Terminal) -> None:
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
    def test_a_redirect_address_on_another_machine_is_refused(
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

    def test_a_redirect_port_that_is_in_use_is_reported(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webbrowser, "open", pytest.fail)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            redirect = f"http://127.0.0.1:{taken.getsockname()[1]}/callback"
            result = terminal.run("login", AMO_REDIRECT_URI=redirect)
        assert (result.exit_code, result.stderr) == (
            1,
            f"Error: cannot sign in:\n  AMO_REDIRECT_URI cannot be used: {os.strerror(errno.EADDRINUSE)}\n",
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

    def test_where_the_keychain_stays_locked_the_tokens_are_kept_in_a_file(self, terminal: Terminal) -> None:
        keyring.set_keyring(Keychain(locked=True))
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert result.exit_code == 0
        assert f"the tokens are kept in {terminal.state.path}" in result.stdout
        assert terminal.state.signed_in() == [terminal.url]

    def test_tokens_that_cannot_be_kept_are_reported(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        result = terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert (result.exit_code, result.stdout, result.stderr) == (
            1,
            "",
            f"Error: the tokens cannot be kept in {terminal.file}: {os.strerror(errno.ENOSPC)}\n",
        )
        assert terminal.state.signed_in() == []
