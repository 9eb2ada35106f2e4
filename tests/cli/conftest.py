"""A terminal and an account for the commands: a sandbox on a real port, and a machine without a keychain."""

from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest

from amo_mcp.paths import StateDir
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.cli.machine import NO_KEYCHAIN, Host, Machine, Terminal, free_port


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
def terminal(host: Host, sandbox: Sandbox, tmp_path: Path) -> Terminal:
    sandbox.oauth.redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    made = Terminal(sandbox, host.url, StateDir(tmp_path / "state"))
    made.environment = {
        "AMO_BASE_URL": host.url,
        "AMO_CLIENT_ID": sandbox.oauth.client_id,
        "AMO_CLIENT_SECRET": sandbox.oauth.client_secret,
        "AMO_REDIRECT_URI": sandbox.oauth.redirect_uri,
        "AMO_STATE_DIR": str(made.state.path),
    }
    return made


@pytest.fixture
def machine(host: Host, tmp_path: Path) -> Machine:
    made = Machine(host, StateDir(tmp_path / "state"))
    made.environment = {
        "AMO_BASE_URL": made.url,
        "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
        "AMO_STATE_DIR": str(made.state.path),
    }
    return made
