"""The Python client of the SDK signs in by itself: it finds the server, refreshes, and signs in anew when revoked."""

import httpx2
import pytest
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.team.authorization.test_gaps import READING, WRITING
from tests.team.authorization.world import ACCEPT, CALLBACK, CIMD, URL, Attempt, World, query_of

pytestmark = pytest.mark.anyio


class Storage(TokenStorage):
    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Desk:
    """A client, its storage, and the browser of its person, who says yes to everything."""

    def __init__(self, world: World, storage: Storage, document: str | None) -> None:
        self.world, self.asked, self._back = world, list[str](), ""
        metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(CALLBACK)], client_name="Python")
        self.auth = OAuthClientProvider(
            f"{URL}/mcp", metadata, storage, self.open, self.wait, client_metadata_url=document
        )

    async def open(self, address: str) -> None:
        self.asked.append(query_of(address)["scope"])
        async with self.world.browser() as browser:
            attempt = Attempt(browser)
            page = await browser.get((await browser.get(address)).headers["location"])
            back = await browser.get(await attempt.amocrm(await attempt.answer(page)))
            self._back = back.headers["location"]

    async def wait(self) -> AuthorizationCodeResult:
        said = query_of(self._back)
        return AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said["iss"])

    async def call(self, body: object = READING) -> int:
        async with httpx2.AsyncClient(mounts=self.world.network, auth=self.auth, headers=ACCEPT) as client:
            return (await client.post(f"{URL}/mcp", json=body)).status_code


@pytest.mark.requirement("TEAM-20")
@pytest.mark.parametrize("document", [CIMD, None])
async def test_the_python_client_signs_in_asks_for_more_refreshes_and_is_revoked(
    world: World, document: str | None
) -> None:
    storage = Storage()
    desk = Desk(world, storage, document)
    assert (await desk.call(), desk.asked) == (200, ["segments:read"])
    assert storage.client is not None
    assert (storage.client.client_id == CIMD) == (document is not None)
    [person] = await world.people.people()
    await world.people.set_role(person.name, "editor")
    assert (await desk.call(WRITING), desk.asked[1:]) == (200, ["segments:read segments:write"])
    before = storage.tokens
    assert before is not None
    world.clock.now += 3600
    desk.auth.context.token_expiry_time = 1.0
    assert (await desk.call(), len(desk.asked)) == (200, 2)
    assert storage.tokens is not None
    assert storage.tokens.refresh_token != before.refresh_token
    await world.store.end_all(person.id)
    assert (await desk.call(), len(desk.asked)) == (200, 3)
