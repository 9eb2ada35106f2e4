"""Connecting a program to a team's server in a real browser without JavaScript, from its address to its token."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from amo_mcp.language import Language
from amo_mcp.storage.postgres.database import Database
from tests.browser.connecting import CLOSE, Door, open_door, walk
from tests.browser.test_approval import ANNA, OLEG
from tests.browser.test_page import HOSTILE

pytestmark = pytest.mark.anyio

TOO_OLD = "This sign-in is too old, was used already, or was begun in another browser. Begin it again."


@pytest.fixture
async def door(database: Database, database_url: SecretStr) -> AsyncIterator[Door]:
    async with open_door(database, database_url) as door:
        await door.program.register("Claude Code")
        yield door


async def test_a_person_connects_a_program_which_then_reads_with_their_rights(door: Door) -> None:
    shown = await door.browser.do("open", address=door.program.address())
    assert "It calls itself: «Claude Code»" in shown["text"]
    assert f"Your browser then goes on to {door.program.redirect.split('/')[2]}." in shown["text"]
    shown = await door.browser.do("press", button="Connect")
    assert "asks for access to this sandbox account" in shown["text"]
    shown = await door.allow(ANNA)
    assert shown["text"].strip() == CLOSE
    [said] = door.program.answers
    assert {name: said[name] for name in said if name != "code"} == {"state": "s1", "iss": door.team.url}
    assert await door.program.segments() == ["VIP", "vip клиенты "]
    assert [person.name for person in await door.team.people.people()] == ["Анна Зёрнова"]


@pytest.mark.parametrize("where", ["here", "at amoCRM"])
async def test_a_no_is_told_to_the_program_and_signs_nobody_in(door: Door, where: str) -> None:
    await door.browser.do("open", address=door.program.address())
    if where == "here":
        shown = await door.browser.do("press", button="Do not connect")
    else:
        await door.browser.do("press", button="Connect")
        shown = await door.browser.do("follow", link="deny")
    assert shown["text"].strip() == CLOSE
    assert door.program.answers == [{"error": "access_denied", "state": "s1", "iss": door.team.url}]
    assert await door.team.people.people() == []


async def test_a_consent_is_of_no_use_in_another_browser_and_the_first_one_goes_on(door: Door) -> None:
    consent = await door.browser.do("open", who="Anna", address=door.program.address())
    amocrm = await door.browser.do("press", who="Anna", button="Connect")
    for address in (consent["url"], amocrm["url"]):
        shown = await door.browser.do("open", who="Oleg", address=address)
        if address == amocrm["url"]:
            shown = await door.allow(OLEG, who="Oleg")
        assert TOO_OLD in shown["text"]
    assert (door.program.answers, await door.team.people.people()) == ([], [])
    assert {one["name"] for one in shown["cookies"]} == set()
    await door.allow(ANNA, who="Anna")
    assert await door.program.segments() == ["VIP", "vip клиенты "]
    assert [person.name for person in await door.team.people.people()] == ["Анна Зёрнова"]


async def test_a_hostile_name_of_a_program_is_text_on_one_line(door: Door) -> None:
    await door.program.register(f"{HOSTILE}\r\n\u2028SAFE\u202e {'x' * 10_000}")
    shown = await door.browser.do("open", address=door.program.address(), width=360)
    [line] = [line for line in shown["text"].split("\n") if line.startswith("It calls itself:")]
    assert line.startswith('It calls itself: «"><script>document.title="pwned"</script><img')
    assert len(line) < 110
    assert "\u202e" not in shown["text"]
    assert (shown["title"], shown["scrollWidth"]) == ("Connect a program to amoCRM", 360)


async def test_pressed_twice_the_last_one_counts(door: Door) -> None:
    await door.browser.do("open", address=door.program.address())
    await door.browser.do("twice", button="Connect")
    await door.allow(ANNA)
    assert await door.program.segments() == ["VIP", "vip клиенты "]


async def test_whoever_comes_back_from_amocrm_answers_anew_and_the_answer_before_counts_no_more(door: Door) -> None:
    consent = await door.browser.do("open", address=door.program.address())
    first = await door.browser.do("press", button="Connect")
    shown = await door.browser.do("resend")
    assert "It calls itself: «Claude Code»" in shown["text"]
    second = await door.browser.do("press", button="Connect")
    await door.browser.do("open", address=first["url"])
    assert TOO_OLD in (await door.allow(ANNA))["text"]
    await door.browser.do("open", address=second["url"])
    assert (await door.allow(ANNA))["text"].strip() == CLOSE
    for stale in (consent, second):
        shown = await door.browser.do("open", address=stale["url"])
        if stale is second:
            shown = await door.allow(ANNA)
        assert TOO_OLD in shown["text"]
    assert len(door.program.answers) == 1


async def test_a_page_that_waited_too_long_says_that_nothing_came_of_it(door: Door) -> None:
    await door.browser.do("open", address=door.program.address())
    await door.team.database.execute("UPDATE sign_in_requests SET expires = unix_now()")
    shown = await door.browser.do("press", button="Connect")
    assert TOO_OLD in shown["text"]
    assert door.program.answers == []


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_every_page_of_signing_in_fits_a_phone_and_breaks_no_rule_of_accessibility(
    door: Door, language: Language
) -> None:
    async def look(name: str) -> None:
        await door.browser.check(name, (360, 1000))

    await walk(door, language, look)
