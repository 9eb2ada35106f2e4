"""The official Python client signs in to a team's server over a real port, and its processes share what it has got."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl, BaseModel, SecretStr

from tests.conftest import ERAS, answer
from tests.person import sign_in
from tests.team.authorization.world import query_of
from tests.team.front_door import front_door
from tests.team.people import ADMIN, NAMES, give_role
from tests.team.replicas import SECONDS, Replica, Team

pytestmark = pytest.mark.anyio

REDIRECT = "http://127.0.0.1:1/callback"
"""Where nobody listens: where the browser is sent is read, and not followed."""

READ, WRITE = "segments:read", "segments:read segments:write"


class Kept(BaseModel):
    """What a client keeps from one process to the next."""

    client: OAuthClientInformationFull | None = None
    tokens: OAuthToken | None = None


class File(TokenStorage):
    """A client's storage in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kept = Kept.model_validate_json(path.read_bytes()) if path.exists() else Kept()

    async def get_tokens(self) -> OAuthToken | None:
        return self.kept.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.kept.tokens = tokens
        self._path.write_text(self.kept.model_dump_json(), "utf-8")

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.kept.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.kept.client = client_info


class Process:
    """One process of a client, whose person says yes to everything."""

    def __init__(self, replica: Replica, era: str, path: Path) -> None:
        self._url, self._era, self.asked, self._back = f"{replica.url}/mcp", era, list[str](), ""
        self.storage = File(path)
        metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(REDIRECT)], client_name="Python")
        self.auth = OAuthClientProvider(self._url, metadata, self.storage, self._open, self._wait)

    async def _open(self, address: str) -> None:
        self.asked.append(query_of(address)["scope"])
        self._back = await anyio.to_thread.run_sync(sign_in, address, str(ADMIN), REDIRECT)

    async def _wait(self) -> AuthorizationCodeResult:
        said = query_of(self._back)
        return AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said["iss"])

    async def expire(self) -> None:
        """Have the client take its access token for one that is no good any more."""
        assert self.storage.kept.tokens
        await self.storage.set_tokens(self.storage.kept.tokens.model_copy(update={"access_token": "amo_x_expired"}))
        self.auth.context.current_tokens = self.storage.kept.tokens
        self.auth.context.token_expiry_time = 1.0

    async def call(self, tool: str, **arguments: object) -> list[str]:
        """The names that a call answers with."""
        async with (
            httpx2.AsyncClient(auth=self.auth, timeout=SECONDS) as http,
            Client(streamable_http_client(self._url, http_client=http), mode=ERAS[self._era], cache=None) as client,
        ):
            said = answer(await client.call_tool(tool, arguments))
        return [segment["name"] for segment in said.get("segments", [said.get("segment")])]


@pytest.fixture
def door(database_url: SecretStr) -> Iterator[tuple[Team, Replica]]:
    with front_door(database_url) as door:
        yield door


@pytest.mark.requirement("TEAM-20", "TEAM-21", "TEAM-23", "TEAM-24")
async def test_the_python_client_signs_in_and_two_processes_that_refresh_at_once_stay_signed_in(
    door: tuple[Team, Replica], era: str, tmp_path: Path
) -> None:
    team, replica = door
    first = Process(replica, era, tmp_path / "first")
    assert (await first.call("list_segments", search="vip"), first.asked) == (["VIP", "vip клиенты "], [READ])
    await anyio.to_thread.run_sync(give_role, team, ADMIN, "editor")
    assert (await first.call("create_segment", name="Новая группа"), first.asked[1:]) == (["Новая группа"], [WRITE])
    await first.expire()
    shutil.copy(tmp_path / "first", tmp_path / "second")
    second = Process(replica, era, tmp_path / "second")
    second.auth.context.token_expiry_time = 1.0
    async with anyio.create_task_group() as group:
        for process in (first, second):
            group.start_soon(process.call, "list_segments")
    assert (first.asked[2:], second.asked) == ([], [])
    assert first.storage.kept.tokens != second.storage.kept.tokens
    for process in (first, second):
        await process.expire()
        assert len(await process.call("list_segments", search="vip")) == 2
    assert (first.asked[2:], second.asked) == ([], [])
    team.run("people", "--name", NAMES[ADMIN], "--remove")
    with pytest.RaisesGroup(pytest.RaisesExc(httpx2.HTTPStatusError, match="403 Forbidden"), flatten_subgroups=True):
        await first.call("list_segments")
    assert first.asked[2:] == [READ]
