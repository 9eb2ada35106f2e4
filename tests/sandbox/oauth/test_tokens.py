import base64
import json
from typing import Any

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Fault, Sandbox
from tests.clock import Clock
from tests.sandbox.bodies import sign_in_refused, token_request
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

TOKENS = "/oauth2/access_token"
ACCOUNT = "/api/v4/account"
NOW = 1_700_000_000
HOUR, DAY = 3600, 86400


def _decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def _status_with(access: str, client: AsyncClient) -> int:
    response = await client.get(ACCOUNT, headers={"Authorization": f"Bearer {access}"})
    return response.status_code


async def test_an_authorization_code_is_exchanged_for_a_pair_of_tokens(shop: Sandbox, nobody: AsyncClient) -> None:
    answer = await nobody.post(TOKENS, json=token_request("authorization_code", code=shop.oauth.issue_code()))
    given = answer.json()
    access, refresh = given.pop("access_token"), given.pop("refresh_token")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert given == {"token_type": "Bearer", "expires_in": DAY, "server_time": NOW}
    assert await _status_with(access, nobody) == 200
    assert await _status_with(refresh, nobody) == 401
    assert (shop.oauth.refreshes, shop.oauth.live_refresh_tokens) == (0, 1)


async def test_an_access_token_is_a_jwt_that_tells_where_to_call(shop: Sandbox, nobody: AsyncClient) -> None:
    given = (await nobody.post(TOKENS, json=token_request("authorization_code", code=shop.oauth.issue_code()))).json()
    header, payload, signature = given["access_token"].split(".")
    claims = _decoded(payload)
    assert len(claims.pop("jti")) == 32
    assert _decoded(header) == {"typ": "JWT", "alg": "RS256"}
    assert claims == {
        "aud": "sandbox-integration",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + DAY,
        "sub": "504141",
        "grant_type": "",
        "account_id": 28805383,
        "base_domain": "amocrm.ru",
        "api_domain": "example.amocrm.ru",
        "scopes": ["push_notifications", "files", "crm", "files_delete", "notifications"],
    }
    assert len(base64.urlsafe_b64decode(signature + "==")) == 256


async def test_tokens_issued_at_the_same_moment_all_differ(shop: Sandbox) -> None:
    pairs = [shop.oauth.issue_tokens(host="a.amocrm.ru") for _ in range(3)]
    claims = [_decoded(access.split(".")[1]) for access, _ in pairs]
    assert len({token for pair in pairs for token in pair}) == 6
    assert len({claim["jti"] for claim in claims}) == 3
    assert {claim["api_domain"] for claim in claims} == {"a.amocrm.ru"}


async def test_an_access_token_has_the_rights_of_the_administrator(shop: Sandbox) -> None:
    access, _ = shop.oauth.issue_tokens()
    async with client_of(shop, token=access) as client:
        created = await client.post("/api/v4/customers/segments", json={"name": "Новый"})
        account = await client.get(ACCOUNT)
    assert (created.status_code, account.json()["current_user_id"]) == (200, 504141)


async def test_an_issued_access_token_does_not_open_the_control_endpoints(shop: Sandbox) -> None:
    access, _ = shop.oauth.issue_tokens()
    async with client_of(shop, token=access) as client:
        assert (await client.get("/_sandbox/state")).status_code == 401


async def test_an_access_token_expires_when_its_lifetime_has_passed(
    shop: Sandbox, clock: Clock, nobody: AsyncClient
) -> None:
    shop.oauth.access_lifetime = HOUR
    given = (await nobody.post(TOKENS, json=token_request("authorization_code", code=shop.oauth.issue_code()))).json()
    opened = []
    for clock.now in (NOW + HOUR - 1, NOW + HOUR):
        opened.append(await _status_with(given["access_token"], nobody))
    assert (given["expires_in"], opened) == (HOUR, [200, 401])


async def test_a_pair_can_be_issued_with_the_access_token_expired(shop: Sandbox, nobody: AsyncClient) -> None:
    access, refresh = shop.oauth.issue_tokens(expired=True)
    claims = _decoded(access.split(".")[1])
    assert (claims["iat"], claims["exp"], await _status_with(access, nobody)) == (NOW - DAY, NOW, 401)
    assert (await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))).status_code == 200


async def test_a_refresh_token_can_be_used_once(shop: Sandbox, nobody: AsyncClient) -> None:
    access, refresh = shop.oauth.issue_tokens()
    first = await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    second = await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    assert (second.status_code, second.json()) == (401, sign_in_refused(401, "Token has been revoked"))
    assert second.headers["content-type"] == "application/problem+json"
    assert (shop.oauth.refreshes, shop.oauth.live_refresh_tokens) == (1, 1)
    assert [await _status_with(token, nobody) for token in (access, first.json()["access_token"])] == [200, 200]
    assert (
        await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=first.json()["refresh_token"]))
    ).status_code == 200
    assert (shop.oauth.refreshes, shop.oauth.live_refresh_tokens) == (2, 1)


async def test_a_refresh_token_expires_after_ninety_days(shop: Sandbox, clock: Clock, nobody: AsyncClient) -> None:
    _, refresh = shop.oauth.issue_tokens()
    clock.now += 90 * DAY
    answer = await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    assert (answer.status_code, answer.json()) == (401, sign_in_refused(401, "Token has expired"))
    assert shop.oauth.live_refresh_tokens == 0
    clock.now -= 1
    assert (await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))).status_code == 200


async def test_an_authorization_code_can_be_used_once(shop: Sandbox, nobody: AsyncClient) -> None:
    code = shop.oauth.issue_code()
    answers = [await nobody.post(TOKENS, json=token_request("authorization_code", code=code)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json() == sign_in_refused(400, "Authorization code has been revoked")


async def test_an_authorization_code_expires_after_twenty_minutes(
    shop: Sandbox, clock: Clock, nobody: AsyncClient
) -> None:
    code = shop.oauth.issue_code()
    clock.now += 20 * 60
    late = await nobody.post(TOKENS, json=token_request("authorization_code", code=code))
    clock.now -= 1
    in_time = await nobody.post(TOKENS, json=token_request("authorization_code", code=code))
    assert (late.status_code, late.json()) == (400, sign_in_refused(400, "Authorization code has expired"))
    assert in_time.status_code == 200


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"client_id": "another"}, "Check the `client_id` parameter"),
        ({"client_secret": "wrong"}, "Check the `client_secret` parameter"),
        ({"redirect_uri": "http://127.0.0.1:8919/callback/"}, "Redirect URI is not associated with client"),
        ({"redirect_uri": None}, "Redirect URI is not associated with client"),
        ({"grant_type": "password"}, "Check that all required parameters have been provided"),
        ({"grant_type": ["refresh_token"]}, "Check that all required parameters have been provided"),
    ],
)
async def test_a_refused_token_request_does_not_use_up_the_code_or_refresh_token(
    shop: Sandbox, nobody: AsyncClient, change: Any, hint: str
) -> None:
    code, (_, refresh) = shop.oauth.issue_code(), shop.oauth.issue_tokens()
    answers = [
        await nobody.post(TOKENS, json=body | change)
        for body in (
            token_request("authorization_code", code=code),
            token_request("refresh_token", refresh_token=refresh),
        )
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(400, sign_in_refused(400, hint))] * 2
    again = [
        await nobody.post(TOKENS, json=body)
        for body in (
            token_request("authorization_code", code=code),
            token_request("refresh_token", refresh_token=refresh),
        )
    ]
    assert [answer.status_code for answer in again] == [200, 200]


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        ({"code": "unknown"}, 400, "Cannot decrypt the authorization code"),
        ({"code": ""}, 400, "Check the `code` parameter"),
        ({"code": ["a"]}, 400, "Check the `code` parameter"),
        ({}, 400, "Check the `code` parameter"),
        ({"refresh_token": "unknown"}, 401, "Cannot decrypt the refresh token"),
        ({"refresh_token": {}}, 400, "Check the `refresh_token` parameter"),
        ({"refresh_token": ""}, 400, "Check the `refresh_token` parameter"),
    ],
)
async def test_a_code_or_refresh_token_never_issued_is_refused(
    nobody: AsyncClient, body: Any, status: int, hint: str
) -> None:
    grant = "refresh_token" if "refresh_token" in body else "authorization_code"
    answer = await nobody.post(TOKENS, json=token_request(grant, **body))
    assert (answer.status_code, answer.json()) == (status, sign_in_refused(status, hint))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"grant_type=refresh_token"])
async def test_a_token_request_that_is_not_a_json_object_is_refused(nobody: AsyncClient, content: bytes) -> None:
    answer = await nobody.post(TOKENS, content=content)
    hint = "Check that all required parameters have been provided"
    assert (answer.status_code, answer.json()) == (400, sign_in_refused(400, hint))


async def test_codes_and_tokens_cannot_be_exchanged_in_place_of_each_other(shop: Sandbox, nobody: AsyncClient) -> None:
    code, (access, refresh) = shop.oauth.issue_code(), shop.oauth.issue_tokens()
    bodies = [
        token_request("refresh_token", refresh_token=code),
        token_request("refresh_token", refresh_token=access),
        token_request("authorization_code", code=refresh),
    ]
    answers = [await nobody.post(TOKENS, json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [401, 401, 400]


async def test_the_integration_can_be_given_another_id_secret_and_redirect_uri(
    shop: Sandbox, nobody: AsyncClient
) -> None:
    shop.oauth.client_id, shop.oauth.client_secret, shop.oauth.redirect_uri = "id", "key", "https://a.example/b"
    own = {"client_id": "id", "client_secret": "key", "redirect_uri": "https://a.example/b"}
    code = shop.oauth.issue_code()
    answers = [
        await nobody.post(TOKENS, json=token_request("authorization_code", code=code, **further))
        for further in ({}, own)
    ]
    assert [answer.status_code for answer in answers] == [400, 200]


async def test_revoking_a_token_leaves_the_others_valid(shop: Sandbox, nobody: AsyncClient) -> None:
    code, (access, refresh), (other, _) = shop.oauth.issue_code(), shop.oauth.issue_tokens(), shop.oauth.issue_tokens()
    for token in (code, access, refresh):
        shop.oauth.revoke(token)
    answers = [
        await nobody.post(TOKENS, json=body)
        for body in (
            token_request("authorization_code", code=code),
            token_request("refresh_token", refresh_token=refresh),
        )
    ]
    hints = [answer.json()["hint"] for answer in answers]
    assert hints == ["Authorization code has been revoked", "Token has been revoked"]
    assert [await _status_with(access, nobody), await _status_with(other, nobody)] == [401, 200]
    assert shop.oauth.live_refresh_tokens == 1
    with pytest.raises(ValueError, match="no such code or token was issued"):
        shop.oauth.revoke("unknown")


async def test_a_refresh_whose_response_is_dropped_still_uses_up_the_token(shop: Sandbox, nobody: AsyncClient) -> None:
    _, refresh = shop.oauth.issue_tokens()
    shop.faults.add(Fault(path="/oauth2/*", drop="after"))
    with pytest.raises(ConnectionResetError):
        await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    answer = await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    assert (answer.status_code, answer.json()["hint"]) == (401, "Token has been revoked")
    assert (shop.oauth.refreshes, shop.oauth.live_refresh_tokens) == (1, 1)


async def test_a_refresh_refused_by_a_fault_does_not_use_up_the_token(shop: Sandbox, nobody: AsyncClient) -> None:
    _, refresh = shop.oauth.issue_tokens()
    shop.faults.add(Fault(method="POST", path=TOKENS, status=503, html=True))
    answers = [await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 200]


async def test_token_requests_are_recorded_without_their_secrets(shop: Sandbox, nobody: AsyncClient) -> None:
    code, (_, refresh) = shop.oauth.issue_code(), shop.oauth.issue_tokens()
    await nobody.post(TOKENS, json=token_request("authorization_code", code=code))
    await nobody.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    await nobody.post(TOKENS, json=[code])
    await nobody.post(TOKENS, content=f"code={code}".encode())
    hidden = {"client_secret": "…"}
    assert [(request.path, request.status, request.body) for request in shop.requests] == [
        (TOKENS, 200, token_request("authorization_code", code="…", **hidden)),
        (TOKENS, 200, token_request("refresh_token", refresh_token="…", **hidden)),
        (TOKENS, 400, None),
        (TOKENS, 400, None),
    ]


async def test_bodies_of_api_requests_are_recorded_unchanged(shop: Sandbox, admin: AsyncClient) -> None:
    await admin.post("/api/v4/customers/segments", json={"code": "seen"})
    assert shop.requests[0].body == {"code": "seen"}
