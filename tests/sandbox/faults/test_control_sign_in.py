import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.bodies import token_request
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v4/account"
OAUTH = "/_sandbox/oauth"
CONTROLS = [
    ("GET", OAUTH),
    ("PUT", OAUTH),
    ("POST", f"{OAUTH}/tokens"),
    ("POST", f"{OAUTH}/codes"),
    ("POST", f"{OAUTH}/disconnect"),
    ("PUT", "/_sandbox/users"),
    ("GET", "/_sandbox/pace"),
]


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "account.json"


@pytest.mark.parametrize(("method", "path"), CONTROLS)
async def test_the_control_endpoints_of_sign_in_need_the_admin_token(
    nobody: AsyncClient, reader: AsyncClient, method: str, path: str
) -> None:
    refused = await nobody.request(method, path)
    assert [refused.status_code, (await reader.request(method, path)).status_code] == [401, 403]


@pytest.mark.parametrize(
    ("request_of", "opens"),
    [
        ({"content": b""}, 200),
        ({"json": {}}, 200),
        ({"json": {"expired": False}}, 200),
        ({"json": {"expired": True}}, 401),
    ],
)
async def test_the_control_endpoint_issues_tokens(admin: AsyncClient, request_of: dict[str, Any], opens: int) -> None:
    given = (await admin.post(f"{OAUTH}/tokens", **request_of)).json()
    assert list(given) == ["access_token", "refresh_token"]
    opened = await admin.get(ACCOUNT, headers={"Authorization": f"Bearer {given['access_token']}"})
    refreshed = await admin.post(
        "/oauth2/access_token", json=token_request("refresh_token", refresh_token=given["refresh_token"])
    )
    assert [opened.status_code, refreshed.status_code] == [opens, 200]
    assert (await admin.get(OAUTH)).json() == {"refreshes": 1, "live_refresh_tokens": 1}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"expired": 1}', b'{"expired": null}'])
async def test_a_malformed_request_issues_no_tokens(shop: Sandbox, admin: AsyncClient, content: bytes) -> None:
    answer = await admin.post(f"{OAUTH}/tokens", content=content)
    assert (answer.status_code, shop.oauth.live_refresh_tokens) == (400, 0)


async def test_the_control_endpoint_issues_an_authorization_code(admin: AsyncClient) -> None:
    given = (await admin.post(f"{OAUTH}/codes")).json()
    answer = await admin.post("/oauth2/access_token", json=token_request("authorization_code", **given))
    assert (list(given), answer.status_code) == (["code"], 200)
    assert (await admin.get(OAUTH)).json() == {"refreshes": 0, "live_refresh_tokens": 1}


async def test_what_a_sign_in_goes_by_is_set_independently(shop: Sandbox, admin: AsyncClient) -> None:
    answers = [
        await admin.put(OAUTH, json={"access_lifetime": 2.5}),
        await admin.put(OAUTH, json={"moved_to": "moved.amocrm.com:443"}),
        await admin.put(OAUTH, json={"access_lifetime": 60, "moved_to": None}),
        await admin.put(OAUTH, json={"redirect_uri": "https://crm.example.org/callback"}),
    ]
    first = "http://127.0.0.1:8919/callback"
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"access_lifetime": 2.5, "moved_to": None, "redirect_uri": first}),
        (200, {"access_lifetime": 2.5, "moved_to": "moved.amocrm.com:443", "redirect_uri": first}),
        (200, {"access_lifetime": 60, "moved_to": None, "redirect_uri": first}),
        (200, {"access_lifetime": 60, "moved_to": None, "redirect_uri": "https://crm.example.org/callback"}),
    ]
    assert (shop.oauth.access_lifetime, shop.oauth.moved_to) == (60, None)


async def test_a_disconnected_integration_has_no_live_token_and_its_hook_is_signed(
    shop: Sandbox, admin: AsyncClient, nobody: AsyncClient
) -> None:
    access, _ = shop.oauth.issue_tokens()
    hook = (await admin.post(f"{OAUTH}/disconnect")).json()
    # The HMAC of `sandbox-integration|28805383` under `sandbox-secret`.
    signature = hmac.new(b"sandbox-secret", b"sandbox-integration|28805383", sha256).hexdigest()
    assert hook == {"account_id": "28805383", "client_uuid": "sandbox-integration", "signature": signature}
    refused = await nobody.get(ACCOUNT, headers={"Authorization": f"Bearer {access}"})
    assert (refused.status_code, shop.oauth.live_refresh_tokens) == (401, 0)


async def test_a_removed_user_is_not_listed_and_their_token_goes_on_working(shop: Sandbox, admin: AsyncClient) -> None:
    access, _ = shop.oauth.issue_tokens(user_id=1002045)
    before = (await admin.get("/api/v4/users")).json()["_embedded"]["users"]
    removed = await admin.put("/_sandbox/users", json={"removed": [1002045]})
    after = (await admin.get("/api/v4/users")).json()["_embedded"]["users"]
    assert ([user["id"] for user in before], [user["id"] for user in after]) == ([504141, 1002045], [504141])
    assert (removed.json(), (await admin.get("/api/v4/users/1002045")).status_code) == ({"removed": [1002045]}, 204)
    async with client_of(shop, access) as client:
        account, users = await client.get(ACCOUNT), await client.get("/api/v4/users")
    assert (account.json()["current_user_id"], users.status_code) == (1002045, 403)
    assert (await admin.put("/_sandbox/users", json={"removed": [5]})).status_code == 400
    assert shop.account.removed_users == [1002045]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"lifetime": 5}',
        b'{"access_lifetime": 0}',
        b'{"access_lifetime": true}',
        b'{"access_lifetime": "5"}',
        b'{"access_lifetime": 1e999}',
        b'{"moved_to": ""}',
        b'{"moved_to": 5}',
        b'{"moved_to": "https://moved.amocrm.com"}',
        b'{"access_lifetime": 5, "moved_to": "a b"}',
    ],
)
async def test_invalid_sign_in_settings_change_nothing(shop: Sandbox, admin: AsyncClient, content: bytes) -> None:
    answer = await admin.put(OAUTH, content=content)
    assert answer.status_code == 400
    assert (shop.oauth.access_lifetime, shop.oauth.moved_to) == (86400, None)


async def test_a_restart_keeps_codes_tokens_and_sign_in_settings(state_file: Path, clock: Clock) -> None:
    first = Sandbox(state_file=state_file, clock=clock)
    code, dead, (access, refresh) = first.oauth.issue_code(), first.oauth.issue_code(), first.oauth.issue_tokens()
    first.oauth.revoke(dead)
    async with client_of(first) as client:
        await client.put(OAUTH, json={"access_lifetime": 60, "moved_to": "example.amocrm.ru"})
        await client.post("/oauth2/access_token", json=token_request("refresh_token", refresh_token=refresh))
    again = Sandbox(state_file=state_file, clock=clock)
    assert (again.oauth.access_lifetime, again.oauth.moved_to) == (60, "example.amocrm.ru")
    assert (again.oauth.refreshes, again.oauth.live_refresh_tokens) == (0, 1)
    async with client_of(again, access) as client:
        answers = [
            await client.get(ACCOUNT),
            await client.post("/oauth2/access_token", json=token_request("refresh_token", refresh_token=refresh)),
            await client.post("/oauth2/access_token", json=token_request("authorization_code", code=dead)),
            await client.post("/oauth2/access_token", json=token_request("authorization_code", code=code)),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 400, 200]
    assert [answer.json()["hint"] for answer in answers[1:3]] == [
        "Token has been revoked",
        "Authorization code has been revoked",
    ]


def test_a_state_file_has_no_sign_in_part_until_something_is_issued(state_file: Path, clock: Clock) -> None:
    sandbox = Sandbox(state_file=state_file, clock=clock)
    account = sandbox.account.document()
    assert json.loads(state_file.read_text("utf-8")) == account
    code = sandbox.oauth.issue_code()
    kept: dict[str, Any] = {
        "access_lifetime": 86400,
        "moved_to": None,
        "codes": {code: 1_700_001_200},
        "access_tokens": {},
        "refresh_tokens": {},
        "revoked": [],
        "granted_by": {code: 504141},
    }
    assert json.loads(state_file.read_text("utf-8")) == {**account, "oauth": kept}
    assert sandbox.account.document() == account


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "oauth: Input should be an object"),
        ({"access_lifetime": "60"}, "oauth.access_lifetime: Input should be a valid number"),
        ({"moved_to": 5}, "oauth.moved_to: Input should be a valid string"),
        ({"revoked": None}, "oauth.revoked: Input should be a valid array"),
        ({"revoked": [5]}, "oauth.revoked.0: Input should be a valid string"),
        ({"codes": []}, "oauth.codes: Input should be an object"),
        ({"refresh_tokens": {"a": None}}, "oauth.refresh_tokens.a: Input should be a valid number"),
    ],
)
def test_a_state_file_with_an_invalid_sign_in_part_is_refused(
    state_file: Path, clock: Clock, change: Any, reason: str
) -> None:
    Sandbox(state_file=state_file, clock=clock).oauth.issue_tokens()
    document = json.loads(state_file.read_text("utf-8"))
    document["oauth"] = None if change is None else document["oauth"] | change
    state_file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=reason) as caught:
        Sandbox(state_file=state_file)
    assert str(state_file) in str(caught.value)
