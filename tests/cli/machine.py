"""What the commands find on a machine: a host to talk to, a keychain, a terminal with an environment."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from click.testing import CliRunner, Result
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.cli import cli
from amo_mcp.paths import StateDir
from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Sandbox
from amo_mcp.storage.credentials import FileCredentialStore

ACCOUNT = "/api/v4/account"
SHOP = "Лавка «Зерно и турка» (id 28805383)"

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
        return self.state.sign_in_file(self.url)

    @property
    def kept(self) -> Credentials | None:
        return anyio.run(FileCredentialStore(self.file).load)

    @property
    def requests(self) -> list[str]:
        return [f"{item.method} {item.path}" for item in self.sandbox.requests]

    def nobody_is_signed_in(self) -> bool:
        return not self.state.signed_in() and not list(self.state.path.glob("sign-in-*.json*"))


def sign_in_to(sandbox: Sandbox, url: str, *, expired: bool = False) -> Credentials:
    """What a machine keeps once somebody has signed in; or a day later, when the access token is past its time."""
    oauth = sandbox.oauth
    access, refresh = oauth.issue_tokens(expired=expired, host=url.removeprefix("http://"))
    return Credentials(
        base_url=url,
        client_id=oauth.client_id,
        client_secret=SecretStr(oauth.client_secret),
        redirect_uri=oauth.redirect_uri,
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh),
        expires=time.time() + (0 if expired else 86_400),
    )


@dataclass
class Machine:
    """A machine that would serve a sandbox, and what the doctor finds there."""

    host: Host
    state: StateDir
    environment: dict[str, str] = field(default_factory=dict)
    wrote: bool = False

    @property
    def sandbox(self) -> Sandbox:
        return self.host.sandbox

    @property
    def url(self) -> str:
        return self.host.url

    def healthy(self) -> dict[str, str]:
        """The lines of a machine on which all is well."""
        segments, fields = len(self.sandbox.account.segments), len(self.sandbox.account.fields)
        return {
            "settings": f"ok {self.url}",
            "confirmation": "ok auto: the client's dialog, else a page in this machine's browser",
            "state dir": f"ok {self.state.path}",
            "rate limit": "ok 7 requests per second, shared by all processes on this machine",
            "host": "ok answers (plain http, on this machine)",
            "clock": "ok right",
            "sign-in": "ok a long-lived token, expiry unknown",
            "account": f"ok {SHOP}",
            "journal": "ok can be read and written",
            "rights": "ok administrator",
            "mode": "ok segments: the segment tools work",
            "segments": f"ok {segments} of 100",
            "fields": f"ok {fields} of 30",
        }

    def seen(self, *arguments: str, **environment: str) -> tuple[int, dict[str, str]]:
        """The exit code and the lines, by what each is about."""
        result = CliRunner().invoke(cli, ["doctor", *arguments], env={**self.environment, **environment})
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.stderr == ""
        assert not [token for token in (ADMIN_TOKEN, USER_TOKEN, "sandbox-secret") if token in result.output]
        assert self.wrote or {request.method for request in self.sandbox.requests} <= {"GET"}
        lines = {}
        for line in result.stdout.splitlines():
            mark, what, found = line[:2], line[3:17].strip(), line[17:]
            assert mark in ("ok", "!!")
            lines[what.removesuffix(":")] = f"{mark} {found}"
        assert result.exit_code == (1 if any(line.startswith("!!") for line in lines.values()) else 0)
        return result.exit_code, lines

    def sign_in(self, *, expired: bool = False) -> Credentials:
        signed_in = sign_in_to(self.sandbox, self.url, expired=expired)
        self.state.create()
        anyio.run(FileCredentialStore(self.file).save, signed_in)
        self.state.remember(self.url)
        return signed_in

    @property
    def file(self) -> Path:
        return self.state.sign_in_file(self.url)
