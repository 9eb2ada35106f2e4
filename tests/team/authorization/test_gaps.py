"""What the SDK leaves open to attackers and takes from people, closed in every respect; see also `test_bare_sdk`."""

from typing import Any

import anyio
import pytest

from amo_mcp.sandbox import Fault
from amo_mcp.team.audit import Actor
from amo_mcp.team.authorization import store
from amo_mcp.team.people import new_token
from tests.team.authorization.world import ADMIN, CALLBACK, CIMD, URL, Attempt, Tokens, World, query_of

pytestmark = pytest.mark.anyio

WRITING = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_segment", "arguments": {}}}
READING = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "a"}}}
RESOURCE = f'resource_metadata="{URL}/.well-known/oauth-protected-resource/mcp"'


@pytest.mark.requirement("TEAM-21")
async def test_the_metadata_says_that_documents_of_clients_and_public_clients_are_taken(world: World) -> None:
    async with world.browser() as client:
        server = await client.get("/.well-known/oauth-authorization-server")
        resources = [await client.get(f"/.well-known/oauth-protected-resource{path}") for path in ("", "/mcp")]
    assert server.json() == {
        "issuer": URL,
        "authorization_endpoint": f"{URL}/authorize",
        "token_endpoint": f"{URL}/token",
        "registration_endpoint": f"{URL}/register",
        "revocation_endpoint": f"{URL}/revoke",
        "scopes_supported": ["segments:read"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
    }
    assert [resource.json() for resource in resources] == [
        {
            "resource": f"{URL}/mcp",
            "authorization_servers": [URL],
            "scopes_supported": ["segments:read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "amo-mcp",
        }
    ] * 2


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "wrong", [{"code_challenge": None}, {"scope": "everything"}, {"resource": "https://a.example"}]
)
async def test_an_error_that_a_client_is_told_names_the_issuer(world: World, wrong: dict[str, Any]) -> None:
    async with world.browser() as browser:
        assert query_of(await Attempt(browser).authorize(**wrong))["iss"] == URL


@pytest.mark.requirement("TEAM-21")
async def test_a_client_is_told_which_scope_it_needs(world: World) -> None:
    tokens = await world.signed_in(role="editor")
    async with world.browser() as client:
        nobody = await client.post("/mcp", json=WRITING)
    refused, read = await tokens.call(WRITING), await tokens.call(READING)
    assert nobody.headers["www-authenticate"] == f'Bearer realm="amo-mcp", scope="segments:read", {RESOURCE}'
    assert (refused.status_code, read.status_code) == (403, 200)
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="amo-mcp", error="insufficient_scope", error_description="The client was allowed to read only.", '
        f'scope="segments:read segments:write", {RESOURCE}'
    )
    more = await world.signed_in(scope="segments:write")
    assert (await more.call(WRITING)).status_code == 200


@pytest.mark.requirement("TEAM-21")
async def test_a_client_that_refreshes_where_it_should_ask_its_person_is_told_to_ask_once(world: World) -> None:
    tokens = await world.signed_in(role="editor")
    await tokens.call(WRITING)
    told = await tokens.refresh()
    assert (told.status_code, told.json()["error"]) == (400, "server_error")
    assert ((await tokens.call(READING)).status_code, (await tokens.refresh()).status_code) == (200, 200)
    await tokens.call(WRITING)
    world.clock.now += store.ASKING_SECONDS
    assert (await tokens.refresh()).status_code == 200


async def test_a_viewer_is_not_sent_to_agree_to_what_their_role_does_not_allow(world: World) -> None:
    assert (await (await world.signed_in()).call(WRITING)).status_code == 200


async def test_a_personal_token_is_not_asked_for_more_than_its_person_gave_it(world: World) -> None:
    await world.signed_in(role="editor")
    token_id, token, digest = new_token()
    anna = Actor(ADMIN, "Анна Зёрнова")
    await world.people.add_own_token(token_id, digest, anna, label="x", scope="segments:read", days=7)
    assert (await Tokens(world, token, "").call(WRITING)).status_code == 200


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_client_is_answered_at_any_port_of_the_person_s_machine(world: World, host: str) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser, redirect_uri=f"http://{host}:50123/callback")
        assert (await attempt.exchange(await attempt.code())).status_code == 200


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,a",
        "http://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://localhost@evil.example/cb",
        "https://user@a.example/cb",
        "https://a.example/cb#fragment",
        "evilapp://cb",
        "file:///etc/passwd",
    ],
)
async def test_no_client_is_registered_that_wants_to_be_answered_elsewhere(world: World, address: str) -> None:
    async with world.browser() as client:
        body = {"redirect_uris": ["https://a.example/cb", address], "token_endpoint_auth_method": "none"}
        answer = await client.post("/register", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.requirement("TEAM-21")
async def test_registrations_are_bounded_and_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_REGISTRATIONS", 2)
    body = {"redirect_uris": ["cursor://anysphere.cursor-mcp/oauth"], "token_endpoint_auth_method": "none"}
    async with world.browser() as client:
        answers = [await client.post("/register", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 400]
        client_id = answers[0].json()["client_id"]
        assert await world.store.client(client_id)
        world.clock.now += 86_401
        assert (await client.post("/register", json=body)).status_code == 201
        assert await world.store.client(client_id) is None
        large = await client.post("/register", json=body | {"client_name": "a" * 70_000})
        assert large.status_code == 413


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "resource", ["https://evil.example/mcp", f"{URL}.evil.example/mcp", "http://crm.example.org/mcp"]
)
async def test_a_token_for_another_server_is_refused(world: World, resource: str) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        assert query_of(await attempt.authorize(resource=resource))["error"] == "invalid_target"
        refused = await attempt.exchange(await attempt.code(), resource=resource)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")


async def test_a_token_of_another_server_in_the_same_database_is_refused(world: World) -> None:
    tokens = await world.signed_in()
    await world.database.execute("UPDATE sign_ins SET resource = 'https://other.example.org/mcp'")
    assert (await tokens.call()).status_code == 401


@pytest.mark.requirement("TEAM-21")
async def test_a_code_is_good_once_however_many_come_with_it(world: World) -> None:
    statuses: list[int] = []
    async with world.browser() as browser:
        attempt = Attempt(browser)
        code = await attempt.code()

        async def exchange() -> None:
            statuses.append((await attempt.exchange(code)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(exchange)
    assert sorted(statuses) == [200] + [400] * 7


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"client_id": "0b5c"}, "does not know the program"),
        ({"client_id": "https://127.0.0.1/x"}, "does not know the program"),
        ({"client_id": "https://[::1"}, "does not know the program"),
        ({"client_id": None}, "does not know the program"),
        ({"redirect_uri": "https://evil.example/cb"}, "answered at an address"),
        ({"redirect_uri": "http://localhost:1/other"}, "answered at an address"),
        ({"redirect_uri": "javascript:alert(1)"}, "answered at an address"),
        ({"redirect_uri": None}, "answered at an address"),
    ],
)
async def test_a_person_is_told_on_a_page_what_to_do(world: World, wrong: dict[str, Any], told: str) -> None:
    async with world.browser() as browser:
        page = await Attempt(browser).authorize(**wrong)
    assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert told in page.text
    assert "connect it again" in page.text
    assert "location" not in page.headers


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "path", ["/authorize", "/token", "/register", "/consent", "/.well-known/oauth-authorization-server"]
)
async def test_nothing_is_answered_by_another_name_or_to_a_foreign_page(world: World, path: str) -> None:
    async with world.browser() as client:
        renamed = await client.get(path, headers={"host": "evil.example"})
        foreign = await client.post(path, headers={"origin": "https://evil.example"})
    assert (renamed.status_code, foreign.status_code) == (421, 403)


@pytest.mark.requirement("TEAM-21")
async def test_a_public_client_revokes_its_tokens(world: World) -> None:
    for kind in ("access_token", "refresh_token"):
        tokens = await world.signed_in()
        async with world.browser() as client:
            foreign = {"token": getattr(tokens, kind), "client_id": "https://other.example.com/mcp.json"}
            world.documents[foreign["client_id"]] = world.documents[CIMD].replace(
                CIMD.encode(), foreign["client_id"].encode()
            )
            assert (await client.post("/revoke", data=foreign)).status_code == 200
            assert (await tokens.call()).status_code == 200
            revoked = await client.post("/revoke", data={"token": getattr(tokens, kind), "client_id": CIMD})
        assert (revoked.status_code, (await tokens.call()).status_code) == (200, 401)
        assert (await tokens.refresh()).json()["error"] == "invalid_grant"


async def test_the_address_of_the_client_is_answered_with_what_it_said(world: World) -> None:
    async with world.browser() as browser:
        assert (await Attempt(browser).back()).headers["location"].startswith(CALLBACK)


@pytest.mark.requirement("TEAM-21")
async def test_what_is_no_revocation_is_told_so(world: World) -> None:
    async with world.browser() as client:
        answers = [
            await client.post("/revoke", data=data) for data in ({"client_id": "x", "token": "y"}, {"client_id": CIMD})
        ]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
        (401, "invalid_client"),
        (400, "invalid_request"),
    ]


async def test_the_pages_have_their_stylesheet(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.get("/style.css")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.requirement("TEAM-20")
async def test_an_account_that_does_not_say_who_somebody_is_signs_nobody_in(world: World) -> None:
    body = '{"id": 28805383, "name": "Лавка", "current_user_id": null, "country": "RU"}'
    world.sandbox.faults.add(Fault(path="/api/v4/account", body=body, content_type="application/hal+json"))
    async with world.browser() as browser:
        refused = await Attempt(browser).back()
    assert (refused.status_code, "did not confirm" in refused.text, await world.people.people()) == (400, True, [])
