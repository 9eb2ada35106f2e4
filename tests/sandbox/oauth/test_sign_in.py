from urllib.parse import parse_qsl, urlsplit

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox
from tests.sandbox.bodies import sign_in_refused, token_request

pytestmark = pytest.mark.anyio

TOKENS = "/oauth2/access_token"
ACCOUNT = "/api/v4/account"
CALLBACK = "http://127.0.0.1:8919/callback"


async def test_the_consent_page_offers_to_allow_or_deny_access(shop: Sandbox, nobody: AsyncClient) -> None:
    shop.account.profile["name"] = "<Лавка>"
    shop.account.users[504141]["name"] = "Анна <Зёрнова>"
    asked = {"client_id": "sandbox-integration", "state": 'a"&b', "mode": "popup", "sandbox_answer": "perhaps"}
    answer = await nobody.get("/oauth", params=asked)
    link = "/oauth?client_id=sandbox-integration&amp;state=a%22%26b&amp;mode=popup&amp;sandbox_answer="
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text == (
        '<!DOCTYPE html>\n<html lang="en">\n'
        '<head><meta charset="utf-8"><title>Access to &lt;Лавка&gt;</title></head>\n'
        "<body>\n<h1>Access to &lt;Лавка&gt;</h1>\n"
        "<p>sandbox-integration asks for access to this sandbox account.</p>\n"
        f'<p><a href="{link}allow&amp;sandbox_user=504141">allow as Анна &lt;Зёрнова&gt;</a> '
        f'<a href="{link}allow&amp;sandbox_user=1002045">allow as Пётр Туркин</a> '
        f'<a href="{link}deny">deny</a></p>\n'
        "</body>\n</html>\n"
    )


async def test_allowing_access_redirects_with_a_code_that_can_be_exchanged(nobody: AsyncClient) -> None:
    asked = {"client_id": "sandbox-integration", "state": "x/y&z", "mode": "popup", "sandbox_answer": "allow"}
    answer = await nobody.get("/oauth", params=asked, headers={"Host": "127.0.0.1:8901"})
    there = urlsplit(answer.headers["location"])
    [(name, code), *others] = parse_qsl(there.query)
    assert (answer.status_code, f"{there.scheme}://{there.netloc}{there.path}") == (302, CALLBACK)
    assert (name, others) == ("code", [("referer", "127.0.0.1:8901"), ("state", "x/y&z"), ("platform", "1")])
    assert (await nobody.post(TOKENS, json=token_request("authorization_code", code=code))).status_code == 200


@pytest.mark.parametrize(
    ("redirect_uri", "asked", "location"),
    [
        (CALLBACK, {"state": "s"}, f"{CALLBACK}?error=access_denied&state=s"),
        (CALLBACK, {}, f"{CALLBACK}?error=access_denied"),
        ("https://a.example/?b=c", {"state": "s"}, "https://a.example/?b=c&error=access_denied&state=s"),
    ],
)
async def test_denying_access_redirects_with_an_error(
    shop: Sandbox, nobody: AsyncClient, redirect_uri: str, asked: dict[str, str], location: str
) -> None:
    shop.oauth.redirect_uri = redirect_uri
    asked = {"client_id": "sandbox-integration", "sandbox_answer": "deny", **asked}
    answer = await nobody.get("/oauth", params=asked)
    assert (answer.status_code, answer.headers["location"]) == (302, location)


@pytest.mark.parametrize("asked", [{}, {"client_id": "another"}])
async def test_the_consent_page_refuses_an_unknown_client_id(nobody: AsyncClient, asked: dict[str, str]) -> None:
    answer = await nobody.get("/oauth", params={**asked, "sandbox_answer": "allow"})
    assert (answer.status_code, answer.json()) == (400, sign_in_refused(400, "Check the `client_id` parameter"))


@pytest.mark.parametrize(
    ("picked", "user", "written"), [({}, 504141, 200), ({"sandbox_user": "1002045"}, 1002045, 403)]
)
async def test_tokens_act_as_the_user_who_has_allowed_access(
    nobody: AsyncClient, picked: dict[str, str], user: int, written: int
) -> None:
    asked = {"client_id": "sandbox-integration", "sandbox_answer": "allow", **picked}
    query = dict(parse_qsl(urlsplit((await nobody.get("/oauth", params=asked)).headers["location"]).query))
    given = (await nobody.post(TOKENS, json=token_request("authorization_code", code=query["code"]))).json()
    again = token_request("refresh_token", refresh_token=given["refresh_token"])
    for access in (given["access_token"], (await nobody.post(TOKENS, json=again)).json()["access_token"]):
        headers = {"Authorization": f"Bearer {access}"}
        account = await nobody.get(ACCOUNT, headers=headers)
        created = await nobody.post("/api/v4/customers/segments", json={"name": "Новый"}, headers=headers)
        assert (account.json()["current_user_id"], created.status_code) == (user, written)


@pytest.mark.parametrize("picked", ["", "1", "x", "1002045"])
async def test_nobody_but_a_user_of_the_account_can_allow_access(
    shop: Sandbox, nobody: AsyncClient, picked: str
) -> None:
    shop.account.removed_users = [1002045]
    asked = {"client_id": "sandbox-integration", "sandbox_answer": "allow", "sandbox_user": picked}
    answer = await nobody.get("/oauth", params=asked)
    assert (answer.status_code, answer.json()) == (400, sign_in_refused(400, "Check the `sandbox_user` parameter"))


async def test_a_live_refresh_token_shows_where_the_account_is(shop: Sandbox, nobody: AsyncClient) -> None:
    _, refresh = shop.oauth.issue_tokens()
    path, headers = "/oauth2/account/current/subdomain", {"X-Refresh-Token": refresh}
    before = await nobody.get(path, headers=headers)
    shop.oauth.moved_to = "moved.amocrm.com"
    after = await nobody.get(path, headers=headers)
    assert before.json() == {
        "id": 28805383,
        "subdomain": "example",
        "domain": "example.amocrm.ru",
        "top_level_domain": "ru",
    }
    assert after.json() == {
        "id": 28805383,
        "subdomain": "moved",
        "domain": "moved.amocrm.com",
        "top_level_domain": "com",
    }
    assert (shop.oauth.refreshes, shop.oauth.live_refresh_tokens) == (0, 1)


@pytest.mark.parametrize("kind", ["none", "unknown", "access", "used"])
async def test_the_account_is_not_shown_without_a_live_refresh_token(
    shop: Sandbox, nobody: AsyncClient, kind: str
) -> None:
    access, refresh = shop.oauth.issue_tokens()
    shop.oauth.revoke(refresh)
    token = {"none": "", "unknown": "unknown", "access": access, "used": refresh}[kind]
    headers = {"X-Refresh-Token": token} if token else {}
    answer = await nobody.get("/oauth2/account/current/subdomain", headers=headers)
    hint = "Token has been revoked" if kind == "used" else "Cannot decrypt the refresh token"
    assert (answer.status_code, answer.json()) == (401, sign_in_refused(401, hint))


async def test_api_requests_to_the_old_host_of_a_moved_account_are_redirected(
    shop: Sandbox, admin: AsyncClient, nobody: AsyncClient
) -> None:
    shop.oauth.moved_to = "moved.amocrm.com"
    answers = [
        await nobody.get("/api/v4/customers/segments?page=2&limit=1"),
        await admin.post("/api/v4/customers/segments", json={"name": "Новый"}),
        await admin.get("/api/Ж%20"),
    ]
    assert [(answer.status_code, answer.content, answer.headers["location"]) for answer in answers] == [
        (301, b"", "https://moved.amocrm.com/api/v4/customers/segments?page=2&limit=1"),
        (301, b"", "https://moved.amocrm.com/api/v4/customers/segments"),
        (301, b"", "https://moved.amocrm.com/api/%D0%96%20"),
    ]
    assert len(shop.account.segments) == 15


async def test_a_moved_account_serves_its_new_host_and_signs_in_on_the_old_one(
    shop: Sandbox, admin: AsyncClient
) -> None:
    shop.oauth.moved_to = "moved.amocrm.com"
    _, refresh = shop.oauth.issue_tokens()
    moved = await admin.get(f"https://moved.amocrm.com{ACCOUNT}")
    refreshed = await admin.post(TOKENS, json=token_request("refresh_token", refresh_token=refresh))
    assert [moved.status_code, refreshed.status_code] == [200, 200]
    shop.oauth.moved_to = None
    assert (await admin.get(ACCOUNT)).status_code == 200
