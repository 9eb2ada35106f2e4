import json

import pytest

from amo_mcp.sandbox import Sandbox

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v4/account"
OAUTH = "/_sandbox/oauth"
CONTROLS = [
    ("GET", OAUTH),
    ("PUT", OAUTH),
    ("POST", f"{OAUTH}/tokens"),
    ("POST", f"{OAUTH}/codes"),
    ("GET", "/_sandbox/pace"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "account.json"


@pytest.mark.parametrize(("method", "path"), CONTROLS)
async def test_the_controls_of_sign_in_are_for_the_administrator_only(shop, connect, reader, method, path):
    async with connect(shop, token=None) as nobody:
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
async def test_tokens_are_issued_over_http(admin, asking, request_of, opens):
    given = (await admin.post(f"{OAUTH}/tokens", **request_of)).json()
    assert list(given) == ["access_token", "refresh_token"]
    opened = await admin.get(ACCOUNT, headers={"Authorization": f"Bearer {given['access_token']}"})
    refreshed = await admin.post(
        "/oauth2/access_token", json=asking("refresh_token", refresh_token=given["refresh_token"])
    )
    assert [opened.status_code, refreshed.status_code] == [opens, 200]
    assert (await admin.get(OAUTH)).json() == {"refreshes": 1, "live_refresh_tokens": 1}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"expired": 1}', b'{"expired": null}'])
async def test_tokens_are_not_issued_to_a_wrong_request(shop, admin, content):
    answer = await admin.post(f"{OAUTH}/tokens", content=content)
    assert (answer.status_code, shop.oauth.live_refresh_tokens) == (400, 0)


async def test_a_code_is_issued_over_http(admin, asking):
    given = (await admin.post(f"{OAUTH}/codes")).json()
    answer = await admin.post("/oauth2/access_token", json=asking("authorization_code", **given))
    assert (list(given), answer.status_code) == (["code"], 200)
    assert (await admin.get(OAUTH)).json() == {"refreshes": 0, "live_refresh_tokens": 1}


async def test_the_lifetime_and_the_host_are_set_one_by_one(shop, admin):
    answers = [
        await admin.put(OAUTH, json={"access_lifetime": 2.5}),
        await admin.put(OAUTH, json={"moved_to": "moved.amocrm.com:443"}),
        await admin.put(OAUTH, json={"access_lifetime": 60, "moved_to": None}),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"access_lifetime": 2.5, "moved_to": None}),
        (200, {"access_lifetime": 2.5, "moved_to": "moved.amocrm.com:443"}),
        (200, {"access_lifetime": 60, "moved_to": None}),
    ]
    assert (shop.oauth.access_lifetime, shop.oauth.moved_to) == (60, None)


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
        b'{"moved_to": ""}',
        b'{"moved_to": 5}',
        b'{"moved_to": "https://moved.amocrm.com"}',
        b'{"access_lifetime": 5, "moved_to": "a b"}',
    ],
)
async def test_wrong_settings_are_refused_whole(shop, admin, content):
    answer = await admin.put(OAUTH, content=content)
    assert answer.status_code == 400
    assert (shop.oauth.access_lifetime, shop.oauth.moved_to) == (86400, None)


async def test_a_restart_keeps_codes_tokens_and_settings(path, clock, connect, asking):
    first = Sandbox(state_file=path, clock=clock)
    code, dead, (access, refresh) = first.oauth.issue_code(), first.oauth.issue_code(), first.oauth.issue_tokens()
    first.oauth.revoke(dead)
    async with connect(first) as client:
        await client.put(OAUTH, json={"access_lifetime": 60, "moved_to": "example.amocrm.ru"})
        await client.post("/oauth2/access_token", json=asking("refresh_token", refresh_token=refresh))
    again = Sandbox(state_file=path, clock=clock)
    assert (again.oauth.access_lifetime, again.oauth.moved_to) == (60, "example.amocrm.ru")
    assert (again.oauth.refreshes, again.oauth.live_refresh_tokens) == (0, 1)
    async with connect(again, access) as client:
        answers = [
            await client.get(ACCOUNT),
            await client.post("/oauth2/access_token", json=asking("refresh_token", refresh_token=refresh)),
            await client.post("/oauth2/access_token", json=asking("authorization_code", code=dead)),
            await client.post("/oauth2/access_token", json=asking("authorization_code", code=code)),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 400, 200]
    assert [answer.json()["hint"] for answer in answers[1:3]] == [
        "Token has been revoked",
        "Authorization code has been revoked",
    ]


async def test_the_file_is_the_account_alone_until_somebody_signs_in(path, clock):
    sandbox = Sandbox(state_file=path, clock=clock)
    account = sandbox.account.document()
    assert json.loads(path.read_text("utf-8")) == account
    code = sandbox.oauth.issue_code()
    kept = {
        "access_lifetime": 86400,
        "moved_to": None,
        "codes": {code: 1_700_001_200},
        "access_tokens": {},
        "refresh_tokens": {},
        "revoked": [],
    }
    assert json.loads(path.read_text("utf-8")) == {**account, "oauth": kept}
    assert sandbox.account.document() == account


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "oauth is not an object"),
        ({"access_lifetime": "60"}, "oauth.access_lifetime is not a number"),
        ({"moved_to": 5}, "oauth.moved_to is not a host"),
        ({"revoked": None}, "oauth.revoked is not a list of tokens"),
        ({"revoked": [5]}, "oauth.revoked is not a list of tokens"),
        ({"codes": []}, "oauth.codes does not tell when they expire"),
        ({"refresh_tokens": {"a": None}}, "oauth.refresh_tokens does not tell when they expire"),
    ],
)
async def test_a_file_whose_sign_in_no_sandbox_wrote_is_refused(path, clock, change, reason):
    Sandbox(state_file=path, clock=clock).oauth.issue_tokens()
    document = json.loads(path.read_text("utf-8"))
    document["oauth"] = None if change is None else document["oauth"] | change
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=reason) as caught:
        Sandbox(state_file=path)
    assert str(path) in str(caught.value)
