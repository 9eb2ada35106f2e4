"""What somebody tries who is not the person, or not the client."""

import hmac
import logging
from hashlib import sha256

import pytest

from amo_mcp.team.audit import OPERATOR
from amo_mcp.team.authorization import store
from amo_mcp.team.site import MAX_QUERY
from tests.team.authorization.world import ADMIN, CALLBACK, CIMD, URL, Attempt, World, form_of, query_of

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "wrong",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
    ],
)
async def test_pkce_cannot_be_left_out_or_weakened(world: World, wrong: dict[str, str | None]) -> None:
    async with world.browser() as browser:
        assert "error" in query_of(await Attempt(browser).authorize(**wrong))


@pytest.mark.requirement("TEAM-21")
async def test_a_stolen_code_is_worth_nothing(world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        code = await attempt.code()
        wrong = [
            await attempt.exchange(code, code_verifier="x" * 43),
            await attempt.exchange(code, redirect_uri="http://localhost:1/callback"),
            await attempt.exchange(code, client_id="unknown"),
        ]
        assert [answer.status_code for answer in wrong] == [400, 400, 401]
        world.clock.now += store.CODE_SECONDS
        assert (await attempt.exchange(code)).json()["error"] == "invalid_grant"


@pytest.mark.requirement("TEAM-20")
async def test_a_consent_counts_in_the_browser_that_gave_it_alone_and_once(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        attempt = Attempt(attacker)
        link = await attempt.amocrm(await attempt.answer(await attempt.page()), 1002045)
        ridden = await victim.get(link)
        assert (ridden.status_code, "another browser" in ridden.text) == (400, True)
        own = Attempt(victim)
        await own.answer(await own.page())
        assert (await victim.get(link)).status_code == 400
        assert (await attacker.get(link)).status_code == 303
        assert (await attacker.get(link)).status_code == 400
    assert len(await world.people.people()) == 1


@pytest.mark.requirement("TEAM-20")
async def test_until_amocrm_has_answered_a_yes_can_be_given_anew_or_taken_back_in_its_browser_alone(
    world: World,
) -> None:
    async with world.browser() as person, world.browser() as attacker:
        attempt, riding = Attempt(person), Attempt(attacker)
        page = await attempt.page()
        seen = await attacker.get(page.url)
        # Pressed twice before the first is answered: the browser has no cookie of its yes yet.
        first = await attempt.answer(page)
        person.cookies.delete("__Host-amo-sign-in")
        links = [await attempt.amocrm(sent) for sent in (first, await attempt.answer(page))]
        for answer in ("yes", "no"):
            assert (await riding.answer(seen, answer)).status_code == 400
        assert (await attacker.get(page.url)).status_code == 400
        assert [(await person.get(link)).status_code for link in links] == [400, 303]
        page = await attempt.page()
        link = await attempt.amocrm(await attempt.answer(page))
        assert query_of(await attempt.answer(await person.get(page.url), "no"))["error"] == "access_denied"
        assert (await person.get(link)).status_code == 400


@pytest.mark.requirement("TEAM-20")
async def test_no_other_page_says_yes_for_a_person(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        page = await Attempt(attacker).page()
        mine = await Attempt(victim).page()
        riding = [
            await victim.post("/consent", data=form_of(page, answer="yes"), headers={"origin": URL}),
            await victim.post("/consent", data=form_of(mine, answer="yes")),
            await victim.post("/consent", data=form_of(mine, answer="yes"), headers={"origin": "http://localhost:1"}),
            await victim.post("/consent", data=form_of(mine, answer="yes"), headers={"origin": "null"}),
            await victim.post("/consent", data=form_of(mine, answer="yes", token=""), headers={"origin": URL}),
        ]
    assert [answer.status_code for answer in riding] == [403] * 5
    assert all("set-cookie" not in answer.headers for answer in riding)


@pytest.mark.requirement("TEAM-20")
async def test_the_cookies_are_for_this_host_alone_and_the_one_of_the_browser_comes_with_the_yes(world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        page = await attempt.page()
        sent = await attempt.answer(page)
    for answer, name in ((page, "__Host-amo-consent"), (sent, "__Host-amo-sign-in")):
        [cookie] = answer.headers.get_list("set-cookie")
        assert cookie.startswith(f"{name}=")
        assert cookie.partition("; ")[2] == "HttpOnly; Max-Age=900; Path=/; SameSite=lax; Secure"


@pytest.mark.requirement("TEAM-20")
@pytest.mark.parametrize("referer", ["evil.amocrm.ru", "example.amocrm.ru.evil.example", "", "EXAMPLE.kommo.com"])
async def test_another_account_signs_nobody_in(world: World, referer: str) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        link = await attempt.amocrm(await attempt.answer(await attempt.page()))
        refused = await browser.get(link.replace("referer=example.amocrm.ru", f"referer={referer}"))
        assert (refused.status_code, "another account" in refused.text) == (400, True)
        assert (await browser.get(link)).status_code == 400
    assert [request.path for request in world.sandbox.requests] == []


async def test_what_amocrm_does_not_confirm_signs_nobody_in(world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        link = await attempt.amocrm(await attempt.answer(await attempt.page()))
        refused = await browser.get(link.replace("code=", "code=x"))
    assert (refused.status_code, "did not confirm" in refused.text) == (400, True)


async def test_a_request_is_too_old_after_a_quarter_of_an_hour(world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        page = await attempt.page()
        link = await attempt.amocrm(await attempt.answer(page))
        world.clock.now += store.REQUEST_SECONDS
        assert [(await browser.get(link)).status_code, (await attempt.answer(page)).status_code] == [400, 400]


async def test_a_hostile_name_of_a_client_is_text(world: World) -> None:
    name = "<script>alert(1)</script>\u202e\r\nX: y" + "a" * 500
    async with world.browser() as browser:
        body = {"redirect_uris": ["http://localhost/cb"], "client_name": name}
        client_id = (await browser.post("/register", json=body)).json()["client_id"]
        page = await Attempt(browser, client_id=client_id, redirect_uri="http://localhost:1/cb").page()
    assert "<script" not in page.text
    assert "«<bdi>&lt;script&gt;alert(1)&lt;/script&gt; X: yaaa" in page.text
    assert "\u202e" not in page.text
    assert "a" * 81 not in page.text


async def test_what_a_client_says_breaks_neither_a_header_nor_a_line_of_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    state = "a\r\nSet-Cookie: b=c"
    with caplog.at_level(logging.DEBUG, "amo_mcp"):
        async with world.browser() as browser:
            back = await Attempt(browser, state=state).back(answer="deny")
            await Attempt(browser).authorize(client_id="https://a.example/\n{fake}")
    assert query_of(back)["state"] == state
    assert "set-cookie" not in back.headers
    assert not any("\n" in record.getMessage() for record in caplog.records)


@pytest.mark.requirement("TEAM-24")
async def test_amocrm_s_hook_ends_every_sign_in_and_a_forged_one_none(world: World) -> None:
    tokens = await world.signed_in()
    hook = world.sandbox.oauth.disconnect()
    forged = [
        {**hook, "signature": ""},
        {**hook, "signature": hmac.new(b"wrong", b"sandbox-integration|28805383", sha256).hexdigest()},
        {**hook, "account_id": "1"},
        {**hook, "client_uuid": "other"},
        {},
    ]
    async with world.browser() as amocrm:
        statuses = [(await amocrm.get("/amocrm/disconnected", params=query)).status_code for query in forged]
        assert (statuses, (await tokens.call()).status_code) == ([403] * 5, 200)
        assert (await amocrm.get("/amocrm/disconnected", params=hook)).status_code == 200
    assert ((await tokens.call()).status_code, (await tokens.refresh()).status_code) == (401, 400)


@pytest.mark.requirement("TEAM-24")
async def test_whoever_was_removed_is_signed_out_and_stays_out(world: World) -> None:
    tokens = await world.signed_in()
    await world.people.remove("Анна Зёрнова")
    assert ((await tokens.call()).status_code, (await tokens.refresh()).status_code) == (401, 400)
    async with world.browser() as browser:
        refused = await Attempt(browser).back()
    assert (refused.status_code, "only an administrator of it" in refused.text) == (403, True)


@pytest.mark.requirement("TEAM-24")
@pytest.mark.parametrize("how", ["removed and let in again", "disconnected"])
async def test_a_code_that_waits_ends_with_everything_else(how: str, world: World) -> None:
    async with world.browser() as browser:
        attempt = Attempt(browser)
        code = await attempt.code()
        if how == "disconnected":
            assert (await browser.get("/amocrm/disconnected", params=world.sandbox.oauth.disconnect())).is_success
        else:
            await world.people.remove("Анна Зёрнова")
            await world.people.let_in(ADMIN, OPERATOR)
        assert (await attempt.exchange(code)).status_code == 400


@pytest.mark.requirement("TEAM-23")
async def test_nothing_that_is_kept_is_a_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with world.browser() as browser:
            attempt = Attempt(browser)
            link = await attempt.amocrm(await attempt.answer(await attempt.page()))
            code = query_of(await browser.get(link))["code"]
            answer = (await attempt.exchange(code)).json()
            cookies = [cookie.value for cookie in browser.cookies.jar]
    tables = await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = ""
    for table in tables:
        rows = await world.database.fetch(f'SELECT t::text AS row FROM "{table["tablename"]}" t')
        dump += "\n".join(row["row"] for row in rows)
    assert "Claude Code" in dump
    dump += "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("amo_mcp"))
    secrets = [code, query_of(link)["code"], query_of(link)["state"], answer["access_token"], answer["refresh_token"]]
    for secret in [*secrets, *filter(None, cookies), attempt.verifier, world.sandbox.oauth.client_secret]:
        assert secret not in dump


@pytest.mark.requirement("TEAM-21")
async def test_addresses_without_end_keep_nobody_from_registering_and_no_client_in_use_from_being_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_CLIENTS", 3)
    await world.signed_in()
    fetched = [f"https://evil.example/{number}" for number in range(5)]
    async with world.browser() as attacker:
        for address in fetched:
            world.documents[address] = world.documents[CIMD].replace(CIMD.encode(), address.encode())
            world.clock.now += 1
            assert (await Attempt(attacker, client_id=address).authorize()).status_code == 302
        known = [address for address in [CIMD, *fetched] if await world.store.client(address)]
        assert known == [CIMD, *fetched[3:]]
        answers = [await attacker.post("/register", json={"redirect_uris": [CALLBACK]}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 400]


async def test_an_address_that_is_too_long_is_refused(world: World) -> None:
    async with world.browser() as browser:
        fits = f"/sign-in?{'a' * MAX_QUERY}"
        statuses = [(await browser.get(address)).status_code for address in (fits, f"{fits}a")]
    assert statuses == [303, 414]


async def test_a_client_s_redirect_is_the_one_that_was_asked_for(world: World) -> None:
    async with world.browser() as browser:
        assert (await Attempt(browser).back()).headers["location"].partition("?")[0] == CALLBACK
        assert world.fetched == [CIMD]
