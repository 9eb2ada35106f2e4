"""Signing in, from a client's first request to its tokens, each step at another replica than the one before."""

import pytest

from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.team.authorization.store import LATE_SECONDS
from amo_mcp.team.people import digest_of
from tests.team.authorization.world import ADMIN, CALLBACK, CIMD, URL, USER, Attempt, World, form_of, query_of

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("TEAM-20")
async def test_a_person_signs_in_with_amocrm_and_their_client_gets_tokens(world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        back = await attempt.back()
        assert back.status_code == 303
        said = query_of(back)
        code = said.pop("code")
        assert back.headers["location"].startswith(f"{CALLBACK}?")
        assert said == {"state": "s1", "iss": URL}
        answer = await attempt.exchange(code)
    given = answer.json()
    access, refresh = given.pop("access_token"), given.pop("refresh_token")
    assert (answer.status_code, given) == (200, {"token_type": "Bearer", "expires_in": 3600, "scope": "segments:read"})
    assert len(access) > 40 < len(refresh)
    [person] = await world.people.people()
    assert (person.id, person.name, person.role) == (ADMIN, "Анна Зёрнова", "viewer")


@pytest.mark.requirement("TEAM-20")
async def test_whoever_is_no_administrator_signs_in_too(world: World) -> None:
    tokens = await world.signed_in(1002045)
    assert (await tokens.call()).status_code == 200
    [person] = await world.people.people()
    assert (person.id, person.name, person.role) == (USER, "user 1002045", "viewer")


@pytest.mark.requirement("TEAM-20")
async def test_a_client_that_has_registered_itself_signs_in(world: World) -> None:
    async with world.browser() as browser:
        body = {"redirect_uris": ["http://127.0.0.1/cb"], "client_name": "Inspector"}
        registered = (await browser.post("/register", json=body)).json()
        assert registered["token_endpoint_auth_method"] == "none"
        assert "client_secret" not in registered
        attempt = Attempt(browser, client_id=registered["client_id"], redirect_uri="http://127.0.0.1:6274/cb")
        page = await attempt.page()
        assert "«<bdi>Inspector</bdi>»" in page.text
        assert registered["client_id"] not in page.text
        assert (await attempt.exchange(await attempt.code())).status_code == 200


async def test_the_page_says_who_asks_where_it_leads_and_what_for(world: World) -> None:
    async with world.browser() as browser:
        page = await Attempt(browser, scope="segments:read segments:write").page()
        only_read = await Attempt(browser).page()
    assert page.status_code == 200
    for told in ("«<bdi>Claude Code</bdi>»", CIMD, "localhost:53211", "may read", "may create and change"):
        assert told in page.text
    assert "may create and change" not in only_read.text
    policy = page.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; style-src 'self'; form-action 'self' https://www.amocrm.ru http://localhost:53211; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    assert (page.headers["x-frame-options"], page.headers["cache-control"]) == ("DENY", "no-store")
    assert "<script" not in page.text


@pytest.mark.parametrize(
    ("asked", "heading"),
    [
        ("ru-RU,ru;q=0.9", "Подключить программу к amoCRM"),
        ("es-419", "Conectar un programa a amoCRM"),
        ("de, pt-BR", "Conectar um programa ao amoCRM"),
        ("", "Connect a program to amoCRM"),
    ],
)
async def test_the_page_is_in_the_language_of_the_browser(world: World, asked: str, heading: str) -> None:
    async with world.browser(**{"accept-language": asked}) as browser:
        assert f"<h1>{heading}</h1>" in (await Attempt(browser).page()).text


async def test_the_page_is_shown_each_time_anew(world: World) -> None:
    async with world.browser() as browser:
        for _ in range(2):
            attempt = Attempt(browser)
            assert "Connect a program" in (await attempt.page()).text
            assert (await attempt.exchange(await attempt.code())).status_code == 200


async def test_two_sign_ins_of_one_browser_at_once_are_both_finished(world: World) -> None:
    async with world.browser() as browser:
        first, second = Attempt(browser, state="1"), Attempt(browser, state="2")
        sent = [await one.answer(await one.page()) for one in (first, second)]
        back = [await browser.get(await one.amocrm(there)) for one, there in zip((first, second), sent, strict=True)]
    assert [query_of(answer)["state"] for answer in back] == ["1", "2"]


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_refusal_is_told_to_the_client(world: World, where: str) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        if where == "here":
            page = await attempt.page()
            said = await attempt.answer(page, "no")
            assert "You are not signed in" in (await attempt.answer(page)).text
        else:
            said = await attempt.back(answer="deny")
    assert said.headers["location"] == f"{CALLBACK}?error=access_denied&state=s1&iss=https%3A%2F%2Fcrm.example.org"
    assert await world.people.people() == []


@pytest.mark.requirement("TEAM-22")
async def test_the_first_admin_is_whoever_signs_in_with_the_code(world: World) -> None:
    assert await world.store.begin_bootstrap(digest_of("right"))
    assert not await world.store.begin_bootstrap(digest_of("another"))
    roles, offered = [], []
    for user, code in ((1002045, "wrong"), (504141, " right "), (1002045, "right")):
        async with world.browser() as browser:
            attempt = Attempt(browser)
            page = await attempt.page()
            offered.append('name="code"' in page.text)
            form = form_of(page, answer="yes", code=code)
            sent = await browser.post("/consent", data=form, headers={"origin": URL})
            await browser.get(await attempt.amocrm(sent, user))
        roles.append({person.id: person.role for person in await world.people.people()})
    assert roles == [{USER: "viewer"}, {ADMIN: "admin", USER: "viewer"}, {ADMIN: "admin", USER: "viewer"}]
    assert offered == [True, True, False]


@pytest.mark.requirement("TEAM-22")
async def test_a_code_that_was_lost_makes_nobody_an_admin_once_there_is_one(world: World) -> None:
    await world.store.begin_bootstrap(digest_of("lost"))
    await world.signed_in(role="admin")
    person = await world.store.know(USER, "Пётр", digest_of("lost").hex(), "tests")
    assert (person.role, await world.store.bootstrap_is_open()) == ("viewer", False)


@pytest.mark.requirement("TEAM-40")
async def test_the_audit_tells_who_signed_in_and_out_and_how(world: World) -> None:
    tokens = await world.signed_in()
    first = tokens.refresh_token
    await tokens.refresh()
    world.clock.now += LATE_SECONDS + 1
    await tokens.refresh(first)
    revoked = await world.signed_in()
    async with world.browser() as client:
        await client.post("/revoke", data={"token": revoked.access_token, "client_id": CIMD})
        await world.signed_in()
        await client.get("/amocrm/disconnected", params=world.sandbox.oauth.disconnect())
    await world.people.remove("Анна Зёрнова")
    async with world.browser() as browser:
        await Attempt(browser).back()
    told = [recorded.entry for recorded in await PostgresAudit(world.database).page(100)]
    shown = [(e.kind, e.what, e.outcome, e.by.client) for e in reversed(told) if e.kind in ("sign_in", "refusal")]
    assert shown == [
        ("sign_in", "signed_in", "done", "Claude Code"),
        ("sign_in", "reuse", "ended", "Claude Code"),
        ("sign_in", "signed_in", "done", "Claude Code"),
        ("sign_in", "signed_out", "done", "Claude Code"),
        ("sign_in", "signed_in", "done", "Claude Code"),
        ("sign_in", "ended", "done", "amoCRM"),
        ("refusal", "signed_in", "removed", "Claude Code"),
    ]
    assert {(entry.by.person, entry.by.name) for entry in told if entry.kind == "sign_in"} == {(ADMIN, "Анна Зёрнова")}
