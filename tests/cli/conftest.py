"""An account for the commands: a sandbox on a real port, a machine without a keychain, and logs put back afterwards."""

import logging
from collections.abc import Callable, Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError
from starlette.types import Receive, Scope, Send

from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.serving import running

NO_KEYCHAIN: Callable[[], KeyringBackend] = fail.Keyring
"""What keyring falls back on where there is no keychain."""


class Keychain(KeyringBackend):
    """A keychain that lives as long as the test; while it is `locked`, nothing of it can be read or written."""

    priority = 5

    def __init__(self, *, locked: bool = False) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("dismissed")


class Host:
    """A host that stays at its address while the sandbox behind it changes from test to test.

    Starting a server for each test would take longer than the tests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.sandbox = Sandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.sandbox.app(scope, receive, send)


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    made, front = Host(), Sandbox()
    front.app = made
    with running(front) as made.url:
        yield made


@pytest.fixture
def host(shared_host: Host, sandbox: Sandbox) -> Host:
    """The host with this test's `sandbox` behind it."""
    shared_host.sandbox = sandbox
    return shared_host


@pytest.fixture
def _no_keychain() -> Iterator[None]:
    """A machine without a keychain."""
    before = keyring.get_keyring()
    keyring.set_keyring(NO_KEYCHAIN())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    """Commands send logs to the terminal's stderr; afterwards they go where they went before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
