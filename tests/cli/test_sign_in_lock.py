"""Commands that touch what is kept of a sign-in, beside servers that refresh it."""

from pathlib import Path

import keyring
import pytest
from filelock import FileLock, Timeout

from tests.cli.machine import Keychain, Terminal

pytestmark = pytest.mark.usefixtures("_no_keychain")


class Watched(Keychain):
    """A keychain that notes whether a server could refresh the sign-in while it is used."""

    def __init__(self, lock: Path) -> None:
        super().__init__()
        self.lock = lock
        self.could_refresh: list[bool] = []

    def _check(self) -> None:
        try:
            with FileLock(self.lock, timeout=0, mode=0o600):
                self.could_refresh.append(True)
        except Timeout:
            self.could_refresh.append(False)
        super()._check()


def test_no_command_reads_moves_or_removes_a_sign_in_while_a_server_may_refresh_it(terminal: Terminal) -> None:
    keychain = Watched(terminal.state.sign_in_lock(terminal.url))
    keyring.set_keyring(keychain)
    keychain.locked = True
    ran = [terminal.run("login", "--code", terminal.sandbox.oauth.issue_code())]
    keychain.locked = False
    # The doctor finds a sign-in that the keychain did not take, and moves it there.
    for command in ("doctor", "logout"):
        used = len(keychain.could_refresh)
        ran.append(terminal.run(command))
        assert len(keychain.could_refresh) > used
    assert ([result.exit_code for result in ran], keychain.entries) == ([0, 0, 0], {})
    assert not any(keychain.could_refresh)
