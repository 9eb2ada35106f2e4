"""The page of what is somebody's own: their tokens, and the questions that wait for them."""

import re

import pytest

from amo_mcp.team.audit import Actor
from amo_mcp.team.pages.mine import DAYS, MAX_LABEL
from amo_mcp.team.people import MAX_LISTED_TOKENS, MAX_OWN_TOKENS, look_up, new_token
from tests.team.approval.asking import asked_by
from tests.team.pages.office import COOKIE, URL, Office, Visitor, text_of

pytestmark = pytest.mark.anyio

FORM = {"do": "make", "label": "Мой Cursor", "scope": "read", "days": "30"}
TOKEN = re.compile(r"amo_[0-9a-f]{12}_[\w-]{43}")
DAY = 86_400.0


async def made(visitor: Visitor, **form: str) -> str:
    """A new token, from the page that shows it."""
    sent = await visitor.post("/mine", **{**FORM, **form})
    assert (sent.status_code, sent.headers["location"]) == (303, "/mine?told=made")
    [token, again] = TOKEN.findall((await visitor.get("/mine?told=made")).text)
    assert token == again
    return str(token)


@pytest.mark.requirement("TEAM-43")
async def test_a_person_makes_a_token_that_is_theirs_with_a_scope_and_an_end(office: Office) -> None:
    anna = await office.visitor("Анна", "editor")
    for scope, allowed, may_write in (
        ("read", "segments:read", False),
        ("write", "segments:read segments:write", True),
    ):
        known = await look_up(office.people, await made(anna, scope=scope))
        assert known is not None
        assert (known.person, known.scope, known.may_write) == (anna.person, allowed, may_write)
        assert (known.label, known.expires) == ("Мой Cursor", office.clock.now + 30 * DAY)


@pytest.mark.requirement("TEAM-43")
async def test_a_new_token_is_shown_once(office: Office) -> None:
    anna = await office.visitor("Анна")
    token = await made(anna)
    assert token not in (await anna.get("/mine?told=made")).text
    assert token not in (await anna.get("/mine")).text
    for table in ("tokens", "audit", "people", "browsers"):
        for row in await office.database.fetch(f"SELECT {table}::text AS kept FROM {table}"):
            assert token.split("_", 2)[2] not in row["kept"]


@pytest.mark.requirement("TEAM-43")
async def test_a_new_token_is_shown_to_nobody_else_in_the_same_browser(office: Office) -> None:
    anna, boris = await office.visitor("Анна"), await office.visitor("Борис")
    sent = await anna.post("/mine", **FORM)
    [kept] = sent.headers.get_list("set-cookie")
    name, _, rest = kept.partition("=")
    value, _, how = rest.partition("; ")
    assert how == "HttpOnly; Max-Age=120; Path=/; SameSite=lax; Secure"
    assert "amo_" not in value.replace("__Host-amo", "")
    boris.browser.cookies.set(name, value, domain="crm.example.org")
    assert TOKEN.findall((await boris.get("/mine")).text) == []


@pytest.mark.parametrize("value", ["", "k1", "k1:", "k1:AAAA", "unknown:AAAA", "k1:" + "A" * 200, "k1:é"])
async def test_what_is_no_new_token_is_not_shown(value: str, office: Office) -> None:
    anna = await office.visitor("Анна")
    cookies = f"{COOKIE}={anna.browser.cookies[COOKIE]}; __Host-amo-new-token={value}"
    shown = await anna.browser.get("/mine", headers={b"cookie": cookies.encode()})
    assert shown.status_code == 200
    assert "Your new token" not in shown.text


@pytest.mark.requirement("TEAM-43")
async def test_a_person_revokes_a_token_of_theirs(office: Office) -> None:
    anna = await office.visitor("Анна")
    token = await made(anna)
    known = await look_up(office.people, token)
    assert known is not None
    assert "«Мой Cursor»" in await anna.text("/mine")
    assert await anna.done("/mine", do="revoke", id=known.id) == "The token was revoked: it is good no longer."
    assert await look_up(office.people, token) is None
    assert await anna.done("/mine", do="revoke", id=known.id) == (
        "Nothing was changed: there is no such token of yours, or it was good no longer."
    )
    assert [(kind, what, by) for kind, what, by, _ in await office.told()] == [
        ("token", "made", "Анна"),
        ("token", "revoked", "Анна"),
    ]
    assert "«Мой Cursor» · revoked" in await anna.text("/mine")


@pytest.mark.requirement("TEAM-45")
async def test_nobody_revokes_another_s_token_by_its_id_not_even_an_admin(office: Office) -> None:
    boris, admin = await office.visitor("Борис"), await office.visitor("Ольга", "admin")
    token = await made(boris)
    known = await look_up(office.people, token)
    assert known is not None
    for tried in (known.id, known.id + "\0", "' OR true --"):
        assert "no such token of yours" in await admin.done("/mine", do="revoke", id=tried)
    assert await look_up(office.people, token) == known


async def test_tokens_are_told_with_when_they_end_and_were_used(office: Office) -> None:
    anna = await office.visitor("Анна")
    token = await made(anna, days="7")
    known = await look_up(office.people, token)
    assert known is not None
    office.clock.now += 3600
    await office.people.note_use(known.id)
    shown = await anna.text("/mine")
    assert "May read · good until 2023-11-22 01:13 (UTC+03:00) · last used 2023-11-15 02:13 (UTC+03:00)" in shown
    office.clock.now += 8 * DAY
    anna = await office.signed_in(anna.person)
    assert "«Мой Cursor» · expired" in await anna.text("/mine")


@pytest.mark.requirement("TEAM-45")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"label": ""}, "1 to 64 characters"),
        ({"label": " \t"}, "1 to 64 characters"),
        ({"label": "x" * (MAX_LABEL + 1)}, "1 to 64 characters"),
        ({"label": "a\u202eb"}, "1 to 64 characters"),
        ({"label": "a\0b"}, "1 to 64 characters"),
        ({"scope": "segments:write admin"}, "was not filled in"),
        ({"days": "36500"}, "was not filled in"),
        ({"days": "-1"}, "was not filled in"),
        ({"days": "nan"}, "was not filled in"),
        ({"do": "all"}, "was not filled in"),
    ],
)
async def test_a_form_that_is_not_filled_in_as_it_can_be_makes_nothing(
    wrong: dict[str, str], said: str, office: Office
) -> None:
    anna = await office.visitor("Анна")
    assert said in await anna.done("/mine", **{**FORM, **wrong})
    assert await office.people.tokens() == []


async def test_a_token_has_a_name_as_long_as_its_bound_on_one_line(office: Office) -> None:
    anna = await office.visitor("Анна")
    await made(anna, label=f" {'x' * (MAX_LABEL - 2)} \r\n y")
    [known] = await office.people.tokens()
    assert known.label == f"{'x' * (MAX_LABEL - 2)} y"


async def test_a_person_has_so_many_good_tokens_and_no_more(office: Office) -> None:
    anna = await office.visitor("Анна")
    for _ in range(MAX_OWN_TOKENS - 1):
        token_id, _, digest = new_token()
        await office.people.add_own_token(token_id, digest, anna_by(anna), label="x", scope="segments:read", days=7)
    await made(anna)
    assert "as many as you can have" in await anna.done("/mine", **FORM)
    office.clock.now += 8 * DAY
    anna = await office.signed_in(anna.person)
    await made(anna)


async def test_so_many_tokens_of_a_person_are_listed_and_no_more(office: Office) -> None:
    anna = await office.visitor("Анна")
    for number in range(MAX_LISTED_TOKENS + 1):
        token_id, _, digest = new_token()
        office.clock.now += 1
        await office.people.add_own_token(token_id, digest, anna_by(anna), label=f"{number}", scope="", days=0)
    listed = await office.people.tokens_of(anna.person.id)
    assert [one.label for one in listed] == [f"{number}" for number in range(MAX_LISTED_TOKENS, 0, -1)]


def anna_by(visitor: Visitor) -> Actor:
    return Actor(visitor.person.id, visitor.person.name)


@pytest.mark.requirement("TEAM-43")
async def test_the_questions_that_wait_are_told_to_who_may_see_them_with_where_to_answer(office: Office) -> None:
    asker, other = await office.visitor("Анна", "editor"), await office.visitor("Борис", "editor")
    approver = await office.visitor("Ольга", "approver")
    question = await asked_by(office.questions, asker.person)
    for visitor in (asker, approver):
        shown = await visitor.get("/mine")
        assert f'<a href="/approve/{question.page}"><bdi>Delete segment «VIP»</bdi></a>' in shown.text
        assert "Asked by «Анна», until" in text_of(shown)
    assert "Nothing waits for an answer." in await other.text("/mine")
    assert question.approval.id not in (await asker.get("/mine")).text


async def test_the_page_tells_where_clients_call_and_lets_somebody_sign_out(office: Office) -> None:
    anna = await office.visitor("Анна")
    shown = (await anna.get("/mine")).text
    assert f"{URL}/mcp" in shown
    assert f'<form method="post" action="/sign-out">\n<input type="hidden" name="token" value="{anna.token}">' in shown
    assert "/people" not in shown


@pytest.mark.parametrize(
    ("language", "said"), [("ru-RU,en", "Моё"), ("es", "Lo mío"), ("pt-BR", "Meu"), ("de", "Mine"), ("", "Mine")]
)
async def test_the_pages_are_in_the_language_of_the_browser(language: str, said: str, office: Office) -> None:
    anna = await office.visitor("Анна", "viewer", **{"accept-language": language})
    assert f"<h1>{said}</h1>" in (await anna.get("/mine")).text


async def test_days_are_told_with_their_number(office: Office) -> None:
    assert DAYS == (7, 30, 90, 365)
    anna = await office.visitor("Анна", "viewer", **{"accept-language": "ru"})
    assert "7 дней 30 дней 90 дней 365 дней" in await anna.text("/mine")
