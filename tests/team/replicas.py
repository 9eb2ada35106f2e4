"""Replicas of a team's server as processes, over one database and one sandbox, and clients of any of them."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from click.testing import CliRunner
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation

from amo_mcp.cli import cli
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.cli.command_line import ENVIRONMENT
from tests.conftest import ERAS
from tests.forked import begin
from tests.team.environment import KEY

PUBLIC_URL = "https://crm.test"
HOST = {"host": "crm.test"}
SECONDS = 30
"""How long anything may take before a test gives up."""


_SERVES = re.compile(
    r"amo-mcp serves at (?P<url>\S+)/mcp for (?P<public>\S+)/mcp "
    r"and for its operator at (?P<operator>\S+) \(Ctrl-C ends it\)\.\n"
)
_CODE = "Whoever signs in with this code becomes the first admin; it is shown only now: "


@dataclass
class Replica:
    """One process.

    Attributes:
        url: where it listens; its clients call it by the name of the public address.
        operator: where its operator asks.
        code: what makes the first admin, if it has told that before it listened.
        output: the file with what it has printed.
        errors: the file with what it has logged.
    """

    process: BaseProcess
    output: Path
    errors: Path
    url: str = ""
    operator: str = ""
    code: str = ""
    _read: int = field(default=0, repr=False)

    def wait_until_it_listens(self) -> None:
        line = self._line()
        if line.startswith(_CODE):
            self.code = line.removeprefix(_CODE).strip()
            line = self._line()
        found = _SERVES.fullmatch(line)
        assert found
        self.url, self.operator = found["url"], found["operator"]

    def told_code(self) -> str:
        """What makes the first admin, of the replica that tells it."""
        return self.code or self._line().removeprefix(_CODE).strip()

    def _line(self) -> str:
        """The next line that it prints; what is there of it, if it ends."""
        end = time.monotonic() + SECONDS
        while True:
            is_over = not self.process.is_alive()
            line, newline, _ = self.output.read_text("utf-8")[self._read :].partition("\n")
            if newline or is_over:
                self._read += len(line) + len(newline)
                return line + newline
            assert time.monotonic() < end
            time.sleep(0.01)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.errors.read_text("utf-8").splitlines()]

    def get(self, path: str) -> httpx2.Response:
        """What the operator is answered."""
        return httpx2.get(f"{self.operator}{path}", timeout=SECONDS)

    def is_ready(self) -> bool:
        """As whoever watches it sees it: what is ending may let go of its socket before it answers."""
        try:
            return self.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def wait_until(self, ready: bool) -> None:
        end = time.monotonic() + SECONDS
        while self.is_ready() != ready:
            assert time.monotonic() < end
            time.sleep(0.05)

    def post(self, body: Any, token: str, **headers: str) -> httpx2.Response:
        accept = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {token}", **HOST}
        return httpx2.post(f"{self.url}/mcp", json=body, headers={**accept, **headers}, timeout=SECONDS)

    @asynccontextmanager
    async def client(self, era: str, token: str, person: Any = None) -> AsyncIterator[Client]:
        """A client that speaks to this replica alone."""
        headers = {"authorization": f"Bearer {token}", **HOST}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http),
                mode=ERAS[era],
                elicitation_callback=cast("ElicitationFnT | None", person),
                client_info=Implementation(name="tests", version="1"),
                cache=None,
            ) as client,
        ):
            yield client

    def ended(self) -> int:
        """With which code it ended, which is waited for."""
        self.process.join(SECONDS)
        assert self.process.exitcode is not None
        return self.process.exitcode

    def end(self) -> int:
        """End it in order."""
        self.process.terminate()
        return self.ended()


@dataclass
class Team:
    """Replicas that share a database and an account.

    Attributes:
        environment: of every replica, and of every command.
    """

    sandbox: Sandbox
    environment: dict[str, str]
    stack: ExitStack
    folder: Path
    _begun: int = 0

    def begin(self, **environment: str) -> Replica:
        """A replica that is about to listen."""
        env = {**ENVIRONMENT, **self.environment, **environment}
        port = urlsplit(env["AMO_PUBLIC_URL"]).port or 0
        self._begun += 1
        output, errors = (self.folder / f"replica-{self._begun}.{what}" for what in ("out", "err"))
        process = begin(["serve", "--team", "--port", str(port)], env, output, errors)
        self.stack.callback(_reap, process)
        return Replica(process, output, errors)

    def started(self, count: int, **environment: str) -> list[Replica]:
        """Replicas that are ready."""
        replicas = [self.begin(**environment) for _ in range(count)]
        for replica in replicas:
            replica.wait_until_it_listens()
            replica.wait_until(ready=True)
        return replicas

    def run(self, *arguments: str) -> str:
        """What a command of the operator prints, which succeeds."""
        # In a thread, since whoever calls may have an event loop.
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(CliRunner().invoke, cli, ["team", *arguments], env=self.environment).result()
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return str(result.stdout).strip()

    def token(self, name: str, role: str = "admin") -> str:
        return self.run("token", "--name", name, "--role", role)

    def writes(self) -> list[str]:
        return [f"{item.method} {item.path}" for item in self.sandbox.requests if item.method != "GET"]


@contextmanager
def team_on(database_url: str, sandbox: Sandbox | None = None, **environment: str) -> Iterator[Team]:
    """A team's account and database; its replicas are ended with the context."""
    sandbox = sandbox or Sandbox(mode="segments")
    with ExitStack() as stack:
        url = stack.enter_context(running(sandbox))
        own = {
            "AMO_PUBLIC_URL": PUBLIC_URL,
            "AMO_DATABASE_URL": database_url,
            "AMO_SECRET_KEY": KEY,
            "AMO_BASE_URL": url,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_CONFIRM": "dialog",
            "AMO_METRICS": "127.0.0.1:0",
        }
        folder = Path(stack.enter_context(TemporaryDirectory()))
        yield Team(sandbox, {**own, **environment}, stack, folder)


def _reap(process: BaseProcess) -> None:
    process.kill()
    process.join()
