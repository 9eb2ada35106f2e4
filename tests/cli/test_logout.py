"""Signing out."""

import errno
import os

import keyring
import pytest
from keyring.errors import KeyringLocked

from tests.cli.machine import Keychain, Terminal

pytestmark = pytest.mark.usefixtures("_no_keychain")


class TestLogout:
    @pytest.mark.requirement("COMMAND-7")
    def test_signing_out_removes_the_tokens_and_the_account(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        result = terminal.run("logout")
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"Signed out of {terminal.url}.\n", "")
        assert terminal.nobody_is_signed_in()

    def test_signing_out_without_a_named_account_means_the_latest_one(self, terminal: Terminal) -> None:
        terminal.state.create()
        terminal.state.remember("https://first.amocrm.ru")
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert terminal.run("logout", AMO_BASE_URL="").stdout == f"Signed out of {terminal.url}.\n"
        assert terminal.state.signed_in() == ["https://first.amocrm.ru"]

    def test_signing_out_removes_the_tokens_from_the_keychain(self, terminal: Terminal) -> None:
        keychain = Keychain()
        keyring.set_keyring(keychain)
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        assert terminal.run("logout").exit_code == 0
        assert (keychain.entries, terminal.state.signed_in()) == ({}, [])

    def test_signing_out_without_a_sign_in_is_refused(self, terminal: Terminal) -> None:
        named, unnamed = terminal.run("logout"), terminal.run("logout", AMO_BASE_URL="")
        assert [(result.exit_code, result.stdout, result.stderr) for result in (named, unnamed)] == [
            (1, "", f"Error: nobody is signed in to {terminal.url}\n"),
            (1, "", "Error: nobody is signed in\n"),
        ]

    def test_a_wrong_environment_is_reported(self, terminal: Terminal) -> None:
        result = terminal.run("logout", AMO_BASE_URL="https://evil.example", AMO_CONFIRM="off")
        assert (result.exit_code, result.stderr) == (
            1,
            (
                "Error: cannot sign out:\n"
                "  AMO_CONFIRM must be auto, dialog, page or chat\n"
                "  AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in "
                "AMO_ALLOWED_HOSTS\n"
            ),
        )

    def test_an_account_whose_tokens_are_gone_is_forgotten(self, terminal: Terminal) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        terminal.file.unlink()
        terminal.run("logout")
        assert terminal.state.signed_in() == []

    def test_a_keychain_that_stays_locked_is_reported_and_the_account_kept(self, terminal: Terminal) -> None:
        keychain = Keychain()
        keyring.set_keyring(keychain)
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        keychain.locked = True
        result = terminal.run("logout")
        assert (result.exit_code, result.stdout, result.stderr) == (
            1,
            "",
            f"Error: the tokens cannot be removed from the system's keychain: {os.strerror(errno.EACCES)}\n",
        )
        assert terminal.state.signed_in() == [terminal.url]

    @pytest.mark.parametrize("error", [OSError(1783, "bad data"), RuntimeError("no bus"), KeyringLocked("dismissed")])
    def test_a_keychain_whose_backend_raises_is_reported_in_one_sentence(
        self, error: Exception, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keychain = Keychain()
        keyring.set_keyring(keychain)
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(keychain, "delete_password", fail)
        result = terminal.run("logout")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert result.stderr.startswith("Error: the tokens cannot be removed from the system's keychain: ")

    def test_a_list_of_accounts_that_cannot_be_read_is_named_and_matters_only_where_no_account_is(
        self, terminal: Terminal
    ) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())
        accounts = terminal.state.path / "accounts.json"
        accounts.write_text("{")
        told = "  AMO_STATE_DIR: accounts.json in it cannot be read; run `amo-mcp login` to make it anew\n"
        unnamed = terminal.run("logout", AMO_BASE_URL="")
        assert (unnamed.exit_code, unnamed.stderr) == (1, f"Error: cannot sign out:\n{told}")
        assert terminal.run("doctor", AMO_BASE_URL="").stdout.count("accounts.json in it cannot be read") == 1
        assert terminal.run("logout").exit_code == 0
        assert accounts.read_text() == "[]"

    def test_a_list_of_accounts_that_cannot_be_written_is_reported(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("amo_mcp.paths.os.fsync", full)
        result = terminal.run("logout")
        told = f"Error: the list of accounts cannot be written: {os.strerror(errno.ENOSPC)}\n"
        assert (result.exit_code, result.stderr) == (1, told)
