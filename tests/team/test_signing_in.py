"""A team's server whose people sign in with amoCRM: replicas as processes, and each step at another one."""

from collections.abc import Iterator
from itertools import cycle
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from amo_mcp.team.authorization.app import CALLBACK_PATH
from tests.team.authorization.world import Attempt, form_of, query_of
from tests.team.replicas import PUBLIC_URL, SECONDS, Replica, Team, team_on
from tests.transports.peers import INITIALIZE

pytestmark = pytest.mark.anyio

REDIRECT = "http://127.0.0.1:1/cb"


class Front(httpx2.AsyncBaseTransport):
    """What is in front of the replicas: it gives each request to the next one."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._next = cycle(replicas)
        self._network = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        at = urlsplit(next(self._next).url)
        url = request.url.copy_with(scheme="http", host=at.hostname, port=at.port)
        sent = httpx2.Request(request.method, url, headers=request.headers, stream=request.stream)
        return await self._network.handle_async_request(sent)

    async def aclose(self) -> None:
        await self._network.aclose()


@pytest.fixture
def team(database_url: SecretStr) -> Iterator[Team]:
    sandbox = Sandbox(mode="segments")
    sandbox.oauth.redirect_uri = PUBLIC_URL + CALLBACK_PATH
    own = {"AMO_CLIENT_ID": sandbox.oauth.client_id, "AMO_CLIENT_SECRET": sandbox.oauth.client_secret}
    with team_on(database_url.get_secret_value(), sandbox, **own) as team:
        yield team


@pytest.mark.requirement("TEAM-20", "TEAM-22")
async def test_the_first_admin_signs_in_step_by_step_at_two_replicas(team: Team) -> None:
    first = team.started(1)[0]
    code = first.told_code()
    second = team.started(1)[0]
    assert (len(code) > 20, second.code) == (True, "")
    async with httpx2.AsyncClient(
        mounts={PUBLIC_URL: Front([first, second])}, base_url=PUBLIC_URL, timeout=SECONDS, trust_env=False
    ) as browser:
        client = (await browser.post("/register", json={"redirect_uris": [REDIRECT]})).json()
        resource = f"{PUBLIC_URL}/mcp"
        attempt = Attempt(browser, client_id=client["client_id"], redirect_uri=REDIRECT, resource=resource)
        form = form_of(await attempt.page(), answer="yes", code=code)
        sent = await browser.post("/consent", data=form, headers={"origin": PUBLIC_URL})
        back = await browser.get(await attempt.amocrm(sent))
        given = (await attempt.exchange(query_of(back)["code"])).json()
        assert query_of(back)["iss"] == PUBLIC_URL
        asked = {"grant_type": "refresh_token", "client_id": client["client_id"]}
        fresh = (await browser.post("/token", data={**asked, "refresh_token": given["refresh_token"]})).json()
    for token, replica in ((given["access_token"], second), (fresh["access_token"], first)):
        assert replica.post(INITIALIZE, token).status_code == 200
    assert "admin" in team.run("people")
    first.end()
    assert code not in str(first.lines)
