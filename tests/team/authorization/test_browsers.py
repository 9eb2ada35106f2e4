"""Who is signed in in a browser, for pages of ours; each request reaches another replica than the last."""

import httpx2
import pytest

from amo_mcp.team.browser import SESSION_SECONDS
from amo_mcp.team.people import digest_of
from tests.team.authorization.world import ADMIN, URL, Attempt, World, form_of

pytestmark = pytest.mark.anyio


async def visit(
    world: World, browser: httpx2.AsyncClient, to: str = "/own/a?b=c%26d&e", **form: str
) -> httpx2.Response:
    """What our callback answers to a browser that asked for a page, was sent to sign in, and did."""
    asked = await browser.get(to)
    assert asked.status_code == 303
    sent = await browser.get(asked.headers["location"])
    page = await browser.get(sent.headers["location"])
    answer = await browser.post("/consent", data=form_of(page, answer="yes", **form), headers={"origin": URL})
    return await browser.get(await Attempt(browser).amocrm(answer))


@pytest.mark.requirement("TEAM-27")
async def test_whoever_asks_for_a_page_signs_in_and_comes_back_to_it(world: World) -> None:
    async with world.browser() as browser:
        back = await visit(world, browser)
        assert (back.status_code, back.headers["location"]) == (303, f"{URL}/own/a?b=c%26d&e")
        shown = (await browser.get(back.headers["location"])).json()
        assert shown.pop("token")
        assert shown == {"id": ADMIN, "role": "viewer", "until": world.clock.now + SESSION_SECONDS}
        await world.people.set_role("Анна Зёрнова", "approver")
        assert (await browser.get("/own/a")).json()["role"] == "approver"


@pytest.mark.requirement("TEAM-27")
async def test_connecting_a_client_signs_the_browser_in_too(world: World) -> None:
    async with world.browser() as browser:
        await Attempt(browser).code()
        assert (await browser.get("/own/a")).json()["id"] == ADMIN


@pytest.mark.requirement("TEAM-22")
async def test_the_first_admin_may_sign_in_for_a_page(world: World) -> None:
    await world.store.begin_bootstrap(digest_of("right"))
    async with world.browser() as browser:
        await visit(world, browser, code="right")
        assert (await browser.get("/own/a")).json()["role"] == "admin"


@pytest.mark.requirement("TEAM-27")
async def test_the_cookie_is_for_this_host_alone_and_a_new_one_with_each_sign_in(world: World) -> None:
    async with world.browser() as browser:
        given: list[str] = []
        for _ in range(2):
            back = await visit(world, browser) if not given else await Attempt(browser).back()
            [cookie] = back.headers.get_list("set-cookie")
            name, _, rest = cookie.partition("=")
            value, _, kept = rest.partition("; ")
            assert (name, kept) == ("__Host-amo-session", "HttpOnly; Max-Age=43200; Path=/; SameSite=lax; Secure")
            given.append(value)
        assert given[0] != given[1]
    async with world.browser(cookie=f"__Host-amo-session={given[0]}") as old:
        assert (await old.get("/own/a")).status_code == 303


@pytest.mark.requirement("TEAM-27")
@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "", "@evil"])
async def test_a_sign_in_leads_to_this_server_alone(world: World, to: str) -> None:
    async with world.browser() as browser:
        page = await browser.get((await browser.get("/sign-in", params={"to": to})).headers["location"])
        answer = await browser.post("/consent", data=form_of(page, answer="yes"), headers={"origin": URL})
        back = await browser.get(await Attempt(browser).amocrm(answer))
    assert back.headers["location"].startswith(f"{URL}/")


@pytest.mark.requirement("TEAM-27")
async def test_no_browser_is_signed_in_by_the_link_of_another_one(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        page = await attacker.get((await attacker.get("/sign-in?to=/own/a")).headers["location"])
        answer = await attacker.post("/consent", data=form_of(page, answer="yes"), headers={"origin": URL})
        link = await Attempt(attacker).amocrm(answer)
        refused = await victim.get(link)
        assert (refused.status_code, "set-cookie" in refused.headers) == (400, False)
        assert (await victim.get("/own/a")).status_code == 303


@pytest.mark.requirement("TEAM-27")
async def test_a_refusal_at_amocrm_signs_nobody_in(world: World) -> None:
    async with world.browser() as browser:
        page = await browser.get((await browser.get("/sign-in?to=/own/a")).headers["location"])
        answer = await browser.post("/consent", data=form_of(page, answer="yes"), headers={"origin": URL})
        refused = await browser.get(await Attempt(browser).amocrm(answer, answer="deny"))
    assert (refused.status_code, "did not confirm" in refused.text) == (400, True)


@pytest.mark.requirement("TEAM-27")
async def test_a_form_counts_from_a_page_of_ours_in_the_same_browser_alone(world: World) -> None:
    async with world.browser() as browser, world.browser() as other:
        await visit(world, browser)
        await visit(world, other)
        token, theirs = [(await one.get("/own/a")).json()["token"] for one in (browser, other)]
        posts = [
            (token, {"origin": URL}),
            (theirs, {"origin": URL}),
            ("", {"origin": URL}),
            (token, {}),
            (token, {"origin": "null"}),
            (token, {"origin": "http://localhost:1"}),
        ]
        answers = [await browser.post("/own/a", data={"token": one}, headers=headers) for one, headers in posts]
    assert [answer.status_code for answer in answers] == [200, 403, 403, 403, 403, 403]


@pytest.mark.requirement("TEAM-27")
@pytest.mark.parametrize("how", ["time", "removed", "disconnected"])
async def test_a_browser_is_signed_in_no_longer(world: World, how: str) -> None:
    async with world.browser() as browser:
        await visit(world, browser)
        match how:
            case "time":
                world.clock.now += SESSION_SECONDS
            case "removed":
                await world.people.remove("Анна Зёрнова")
            case _:
                await browser.get("/amocrm/disconnected", params=world.sandbox.oauth.disconnect())
        assert (await browser.get("/own/a")).status_code == 303


@pytest.mark.requirement("TEAM-27")
async def test_whoever_signs_out_is_signed_out_by_a_form_of_ours_alone(world: World) -> None:
    async with world.browser() as browser:
        await visit(world, browser)
        token = (await browser.get("/own/a")).json()["token"]
        cookie = browser.cookies["__Host-amo-session"]
        assert (await browser.post("/sign-out", data={"token": token})).status_code == 403
        assert (await browser.get("/own/a")).status_code == 200
        gone = await browser.post("/sign-out", data={"token": token}, headers={"origin": URL})
        assert (gone.status_code, "You are signed out" in gone.text) == (200, True)
        assert "__Host-amo-session" not in browser.cookies
    async with world.browser(cookie=f"__Host-amo-session={cookie}") as old:
        assert (await old.get("/own/a")).status_code == 303
