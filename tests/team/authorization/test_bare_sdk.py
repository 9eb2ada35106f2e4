"""Every gap of the SDK's own authorization server: it is there in the SDK alone, and not in this server.

When a later SDK closes one, the test says so by failing, and what closes it here may be left out.
"""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests.team.authorization.bare import bare_sdk
from tests.team.authorization.world import CALLBACK, Attempt, World, query_of
from tests.transports.peers import INITIALIZE

pytestmark = pytest.mark.anyio

REGISTERED = "http://localhost/callback"
METADATA = "/.well-known/oauth-authorization-server"


async def says_nothing_of_clients_documents(client: httpx2.AsyncClient) -> bool:
    document = (await client.get(METADATA)).json()
    is_told = document.get("client_id_metadata_document_supported", False)
    return not is_told or "none" not in document["token_endpoint_auth_methods_supported"]


async def names_no_issuer_in_its_answers(client: httpx2.AsyncClient) -> bool:
    refused = await Attempt(client, redirect_uri=REGISTERED).authorize(code_challenge=None)
    return "iss" not in query_of(refused)


async def tells_no_scope(client: httpx2.AsyncClient) -> bool:
    return "scope=" not in (await client.post("/mcp", json=INITIALIZE)).headers["www-authenticate"]


async def refuses_another_port_of_the_persons_machine(client: httpx2.AsyncClient) -> bool:
    return (await Attempt(client, redirect_uri=CALLBACK).authorize()).status_code == 400


async def registers_any_scheme(client: httpx2.AsyncClient) -> bool:
    body = {"redirect_uris": ["javascript:alert(1)"], "token_endpoint_auth_method": "none"}
    return (await client.post("/register", json=body)).status_code == 201


async def asks_for_tokens_of_any_server(client: httpx2.AsyncClient) -> bool:
    asked = Attempt(client, redirect_uri=REGISTERED, resource="https://evil.example/mcp")
    return "error" not in query_of(await asked.authorize())


async def tells_a_person_in_json(client: httpx2.AsyncClient) -> bool:
    answer = await Attempt(client, client_id="unknown").authorize()
    return not answer.headers["content-type"].startswith("text/html")


async def is_called_by_any_name(client: httpx2.AsyncClient) -> bool:
    return (await client.get(METADATA, headers={"host": "evil.example"})).status_code == 200


async def keeps_pages_of_clients_out(client: httpx2.AsyncClient) -> bool:
    headers = {"origin": "http://localhost:6274", "access-control-request-method": "POST"}
    return "access-control-allow-origin" not in (await client.options("/mcp", headers=headers)).headers


GAPS = [
    says_nothing_of_clients_documents,
    names_no_issuer_in_its_answers,
    tells_no_scope,
    refuses_another_port_of_the_persons_machine,
    registers_any_scheme,
    asks_for_tokens_of_any_server,
    tells_a_person_in_json,
    is_called_by_any_name,
    keeps_pages_of_clients_out,
]


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize("gap", GAPS)
async def test_a_gap_of_the_sdk_is_closed(gap: Callable[[httpx2.AsyncClient], Awaitable[bool]], world: World) -> None:
    async with bare_sdk() as bare, world.browser() as here:
        assert (await gap(bare), await gap(here)) == (True, False)


@pytest.mark.requirement("TEAM-21")
async def test_a_code_that_the_sdk_lets_be_used_twice_is_good_once(world: World) -> None:
    async with bare_sdk() as bare, world.browser() as here:
        asked = Attempt(bare, redirect_uri=REGISTERED)
        code = query_of(await asked.authorize())["code"]
        assert [(await asked.exchange(code)).status_code for _ in range(2)] == [200, 200]
        asked = Attempt(here)
        code = await asked.code()
        assert [(await asked.exchange(code)).status_code for _ in range(2)] == [200, 400]
