"""Several processes share one sign-in, and any of them can be killed at any moment."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from pydantic import SecretStr

from amo_mcp.addresses import allowed_base_url
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.paths import StateDir
from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.credentials import credential_store
from tests.cli.machine import sign_in_to
from tests.conftest import answer, error

pytestmark = pytest.mark.anyio

REFRESH = "POST /oauth2/access_token"
LOGIN = "Run `amo-mcp login` on the machine of this server."
KEPT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AMO_")},
    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
}


@dataclass
class Machine:
    """A machine on which somebody signed in to a sandbox a day ago: the kept access token is past its time."""

    sandbox: Sandbox
    url: str
    state: StateDir

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def file(self) -> Path:
        return self.state.path / f"sign-in-{self.host.replace(':', '_')}.json"

    @property
    def refreshes(self) -> list[str]:
        return [request.method for request in self.sandbox.requests if f"{request.method} {request.path}" == REFRESH]

    def sign_in(self) -> Credentials:
        signed_in = sign_in_to(self.sandbox, self.url, expired=True)
        self.state.create()
        self.file.write_text(signed_in.model_dump_json())
        self.state.remember(self.url)
        return signed_in

    def server(self, **more: str) -> StdioServerParameters:
        environment = {"AMO_BASE_URL": self.url, "AMO_STATE_DIR": str(self.state.path), **more}
        return StdioServerParameters(command=sys.executable, args=["-m", "amo_mcp"], env={**KEPT, **environment})

    async def token(self) -> SecretStr:
        """What the next process uses: this one."""
        http = HttpTransport(timeout=5.0, direct=True)
        try:
            return await OAuthTokenSource(
                credential_store(self.url, self.state),
                http,
                allowed=lambda address: allowed_base_url(address, ()),
            ).token()
        finally:
            await http.aclose()


@pytest.fixture
async def machine(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Machine]:
    with running(sandbox) as url:
        made = Machine(sandbox, url, StateDir(tmp_path / "state"))
        made.sign_in()
        yield made


async def test_three_processes_with_four_calls_each_refresh_once_and_all_answer_right(machine: Machine) -> None:
    got: list[dict[str, Any]] = []
    everybody_is_there = anyio.Event()
    there = 0

    async def process(mode: str) -> None:
        nonlocal there
        async with Client(machine.server(), mode=mode, cache=None) as client:
            there += 1
            if there == 3:
                everybody_is_there.set()
            await everybody_is_there.wait()
            async with anyio.create_task_group() as calls:

                async def call() -> None:
                    got.append(answer(await client.call_tool("get_segment", {"segment_id": 51})))

                for _ in range(4):
                    calls.start_soon(call)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as processes:
            for mode in ("legacy", "auto", "auto"):
                processes.start_soon(process, mode)
    assert len(got) == 12
    assert got == [got[0]] * 12
    assert (got[0]["id"], got[0]["name"]) == (51, machine.sandbox.account.segments[51]["name"])
    assert (machine.refreshes, machine.sandbox.oauth.refreshes) == (["POST"], 1)
    assert machine.sandbox.oauth.live_refresh_tokens == 1
    assert [request.status for request in machine.sandbox.requests if request.of_api] == [200] * 12


@pytest.mark.requirement("ENV-2")
async def test_the_account_that_was_signed_in_to_is_served_without_being_named(machine: Machine) -> None:
    async with Client(machine.server(AMO_BASE_URL=""), mode="auto", cache=None) as client:
        assert answer(await client.call_tool("get_segment", {"segment_id": 51}))["id"] == 51
    assert machine.sandbox.oauth.refreshes == 1


async def test_a_sign_in_that_has_ended_is_told_with_what_to_do(machine: Machine) -> None:
    kept = machine.sign_in()
    machine.sandbox.oauth.revoke(kept.refresh_token.get_secret_value())
    async with Client(machine.server(), mode="auto", cache=None) as client:
        failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
    assert failure == {
        "code": "unauthorized",
        "message": (
            "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. Nothing was changed."
        ),
        "retryable": False,
        "hint": LOGIN,
    }


KILLED = """
import os, sys
from pathlib import Path

import anyio

from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.storage.credentials import FileCredentialStore

where, file = sys.argv[1:]
die = lambda *_, **__: os._exit(9)


class Killed(HttpTransport):
    async def send(self, *asked, **more):
        if where == "with the lock, before the request":
            die()
        response = await super().send(*asked, **more)
        if where == "after the answer, before the write":
            die()
        return response


store = FileCredentialStore(Path(file))
if where == "before the lock":
    store.exclusive = die
if where == "after the pair was written beside, before it was renamed":
    Path.replace = die
if where == "after it was renamed":
    replace = Path.replace
    Path.replace = lambda *paths: die(replace(*paths))

anyio.run(OAuthTokenSource(store, Killed(timeout=5.0, direct=True), allowed=str).token)
"""


class TestKilled:
    async def killed(self, where: str, machine: Machine) -> None:
        """Let a process begin a refresh and end it there; the others only ever see what it left."""
        command = [sys.executable, "-c", KILLED, where, str(machine.file)]
        done = await anyio.run_process(command, check=False, env=KEPT, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (9, b"")

    @pytest.mark.parametrize(
        ("where", "refreshes", "beside"),
        [
            ("before the lock", (0, 1), False),
            ("with the lock, before the request", (0, 1), False),
            ("after the pair was written beside, before it was renamed", (1, 1), True),
            ("after it was renamed", (1, 1), False),
        ],
    )
    async def test_a_process_killed_at_any_moment_but_one_leaves_the_next_one_signed_in(
        self, where: str, refreshes: tuple[int, int], beside: bool, machine: Machine
    ) -> None:
        await self.killed(where, machine)
        left = await anyio.Path(f"{machine.file}.new").exists()
        assert (machine.sandbox.oauth.refreshes, left) == (refreshes[0], beside)
        with anyio.fail_after(5):
            token = await machine.token()
        assert machine.sandbox.oauth.granted_by(token.get_secret_value())
        assert (machine.sandbox.oauth.refreshes, machine.sandbox.oauth.live_refresh_tokens) == (refreshes[1], 1)
        kept = json.loads(await anyio.Path(machine.file).read_text())
        assert kept["access_token"] == token.get_secret_value()
        assert not await anyio.Path(f"{machine.file}.new").exists()

    async def test_a_process_killed_between_the_answer_and_the_write_leaves_a_person_to_sign_in_again(
        self, machine: Machine
    ) -> None:
        await self.killed("after the answer, before the write", machine)
        assert machine.sandbox.oauth.refreshes == 1
        with anyio.fail_after(5), pytest.raises(Unauthorized) as caught:
            await machine.token()
        assert caught.value.hint == LOGIN
        # Signed in again, it serves.
        machine.sign_in()
        assert machine.sandbox.oauth.granted_by((await machine.token()).get_secret_value())
