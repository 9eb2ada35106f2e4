"""An account for the commands: a sandbox on a real port, a machine without a keychain, and logs put back afterwards."""

import logging
from collections.abc import Iterator

import keyring
import pytest
from keyring.backends import fail
from starlette.types import Receive, Scope, Send

from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.serving import running


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
    keyring.set_keyring(fail.Keyring())
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
