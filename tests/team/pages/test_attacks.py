"""What nobody gets out of the pages: without a sign-in, a role, a form of ours; by hostile names; in a frame."""

import json
import logging
import re
from dataclasses import replace

import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.team.audit import Actor, Entry, Touched
from amo_mcp.team.people import look_up
from tests.team.approval.asking import asked_by
from tests.team.pages.office import COOKIE, URL, Office, a_token, text_of

pytestmark = pytest.mark.anyio

PAGES = ("/mine", "/people", "/audit", "/audit.jsonl", "/board", "/board/answers")
FORMS = {
    "/mine": {"do": "make", "label": "x", "scope": "write", "days": "365"},
    "/people": {"do": "role", "id": "1:Анна", "role": "admin"},
}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\r\nSet-Cookie: a=b\n{{7*7}}'


def origin(value: str | None = URL) -> dict[str, str]:
    return {} if value is None else {"origin": value}


@pytest.mark.requirement("TEAM-45")
@pytest.mark.parametrize("path", PAGES)
async def test_without_a_sign_in_every_page_leads_to_one_and_tells_nothing(path: str, office: Office) -> None:
    await office.known("Анна")
    async with office.stranger() as stranger:
        asked = await stranger.get(f"{path}?who=x")
        assert (asked.status_code, asked.content) == (303, b"")
        assert asked.headers["location"].startswith("/sign-in?to=%2F")


@pytest.mark.requirement("TEAM-45")
async def test_the_address_alone_leads_to_one_s_own_page(office: Office) -> None:
    async with office.stranger() as stranger:
        assert (await stranger.get("/")).headers["location"] == "/mine"


@pytest.mark.requirement("TEAM-45")
@pytest.mark.parametrize("path", FORMS)
async def test_without_a_sign_in_a_form_changes_nothing(path: str, office: Office) -> None:
    await office.known("Анна")
    async with office.stranger() as stranger:
        sent = await stranger.post(path, data=FORMS[path], headers=origin())
        assert (sent.status_code, sent.content) == (303, b"")
    assert await office.told() == []


@pytest.mark.requirement("TEAM-45", "TEAM-47")
@pytest.mark.parametrize("role", ["viewer", "editor", "approver"])
async def test_who_is_no_admin_is_shown_nothing_by_an_admin_s_address_and_changes_nothing(
    role: str, office: Office
) -> None:
    anna = await office.visitor("Анна", role)  # type: ignore[arg-type]
    await office.known("Секретный Человек", "admin")
    await office.audit.add(Entry(kind="token", what="made", by=Actor("1", "Секретный Человек")))
    for path in ("/people", "/audit", "/audit.jsonl", "/audit?who=%D0%A1"):
        answer = await anna.get(path)
        assert answer.status_code == 403
        assert "Секретный" not in answer.text
    for do in ({"do": "role", "role": "admin"}, {"do": "remove"}, {"do": "let_in"}):
        assert (await anna.post("/people", **do, id="1:Анна")).status_code == 403
    refused = {one.entry.what for one in await office.audit.page(10) if one.entry.kind == "refusal"}
    assert refused == {"/people", "/audit", "/audit.jsonl"}
    assert {kind for kind, *_ in await office.told()} == {"token", "refusal"}
    assert [one.role for one in await office.people.people() if one.name == "Анна"] == [role]


@pytest.mark.requirement("TEAM-45")
async def test_a_role_that_was_taken_is_gone_with_the_next_request(office: Office) -> None:
    anna, _ = await office.visitor("Анна", "admin"), await office.known("Борис", "admin")
    assert (await anna.get("/people")).status_code == 200
    await office.people.set_role("Анна", "viewer")
    assert (await anna.get("/people")).status_code == 403
    assert (await anna.post("/people", do="role", id="1:Анна", role="admin")).status_code == 403
    await office.people.remove("Анна")
    assert (await anna.get("/mine")).status_code == 303


@pytest.mark.requirement("TEAM-45")
@pytest.mark.parametrize("path", FORMS)
async def test_a_form_that_is_not_ours_in_this_browser_changes_nothing(path: str, office: Office) -> None:
    anna, boris = await office.visitor("Анна", "admin"), await office.visitor("Борис", "admin")
    form = FORMS[path]
    ours = {"token": anna.token, **form}
    tried = [
        (form, origin()),
        ({**form, "token": ""}, origin()),
        ({**form, "token": boris.token}, origin()),
        ({**form, "token": anna.token[:-1]}, origin()),
        ({**form, "token": "\ud83d".encode("utf-8", "replace").decode()}, origin()),
        (ours, origin("https://evil.example")),
        (ours, origin("null")),
        (ours, origin("http://crm.example.org")),
        (ours, origin(None)),
    ]
    for sent, headers in tried:
        answer = await anna.browser.post(path, data=sent, headers=headers)
        assert answer.status_code == 403, (sent, headers)
    as_json = await anna.browser.post(path, json=ours, headers=origin())
    as_parts = await anna.browser.post(path, files={"file": b"x"}, data=ours, headers=origin())
    by_get = await anna.browser.get(path, params=ours, headers=origin())
    assert (as_json.status_code, as_parts.status_code, by_get.status_code) == (403, 403, 200)
    assert await office.told() == []


@pytest.mark.requirement("TEAM-45")
async def test_a_form_is_answered_by_leading_elsewhere_so_that_it_is_not_sent_again(office: Office) -> None:
    anna = await office.visitor("Анна", "admin")
    for path, form in FORMS.items():
        answer = await anna.post(path, **form)
        assert (answer.status_code, answer.content) == (303, b"")


@pytest.mark.requirement("TEAM-45")
async def test_no_page_can_be_framed_kept_or_made_to_run_what_is_not_ours(office: Office) -> None:
    anna = await office.visitor("Анна", "admin")
    for path in PAGES:
        shown = await anna.get(path)
        assert shown.status_code == 200
        headers = shown.headers
        assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
        assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("same-origin", "nosniff")
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        if path == "/board/answers":
            continue
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'", "'none'")
        assert policy["form-action"] in ("'none'", "'self'")
        if not path.startswith("/board"):
            assert "script-src" not in policy
            assert "<script" not in shown.text
            assert re.findall(r"\son\w+=|style=|javascript:", shown.text) == []
        else:
            assert re.fullmatch(r"'sha256-\S+'", policy["script-src"])
    for refused in (await anna.post("/mine"), await anna.browser.post("/mine", data={})):
        assert refused.headers["x-frame-options"] == "DENY"


@pytest.mark.requirement("TEAM-45")
async def test_hostile_names_are_text_on_every_page(office: Office) -> None:
    admin = await office.visitor(HOSTILE, "admin", **{"user-agent": "<script>alert(1)</script>"})
    removed = await office.known(f"{HOSTILE}2", "editor")
    await office.people.shut_out(removed.id, admin_by(admin.person.name))
    await admin.post("/mine", do="make", label="<img src=x onerror=alert(1)>", scope="read", days="7")
    asker = await office.known(f"{HOSTILE}3", "editor")
    await asked_by(office.questions, asker)
    thing = Touched(
        HOSTILE, HOSTILE, HOSTILE, {"name": HOSTILE, HOSTILE: HOSTILE}, {"name": "x", "z": HOSTILE}, "", HOSTILE
    )
    hostile = Entry(
        kind="change",
        what=HOSTILE,
        outcome=HOSTILE,
        by=Actor("1", HOSTILE, HOSTILE),
        subject=HOSTILE,
        approved_by=HOSTILE,
        approved_how="page",
        touched=(thing,),
        comment=HOSTILE,
    )
    await office.audit.add(hostile)
    await office.audit.add(replace(hostile, approved_how=HOSTILE))
    for path in ("/mine", "/people", "/audit"):
        shown = await admin.get(path)
        assert shown.status_code == 200
        assert "set-cookie" not in {name for name, value in shown.headers.items() if "a=b" in value}
        for wrong in ("<script", "<img", "\u202e", "\nSet-Cookie"):
            assert wrong not in shown.text, (path, wrong)
        assert "alert(1)" in shown.text


def admin_by(name: str) -> Actor:
    return Actor("1:admin", name, HOSTILE)


@pytest.mark.requirement("TEAM-45")
@pytest.mark.parametrize("told", [HOSTILE, "%0d%0aSet-Cookie:a=b", "role&told=removed", "__class__"])
async def test_what_stands_in_an_address_is_not_repeated(told: str, office: Office) -> None:
    anna = await office.visitor("Анна", "admin")
    for path in ("/mine", "/people"):
        shown = await anna.browser.get(path, params={"told": told})
        assert shown.status_code == 200
        assert "said" not in text_of(shown)
        assert 'class="said"' not in shown.text


@pytest.mark.requirement("TEAM-45")
async def test_nothing_that_somebody_sends_begins_a_line_of_the_log_or_of_the_export(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "amo_mcp")
    admin = await office.visitor(HOSTILE, "admin")
    await admin.post("/mine", do="make", label="x\r\ny", scope="read", days="7")
    await admin.post("/mine", do="revoke", id=HOSTILE)
    await admin.post("/people", do="role", id=HOSTILE, role="admin")
    exported = (await admin.get("/audit.jsonl")).text
    [line] = exported.splitlines()
    assert json.loads(line)["name"] == HOSTILE.replace("\0", "?")
    assert "\u202e" not in exported
    assert not any("Set-Cookie" in record.getMessage() for record in caplog.records)


@pytest.mark.requirement("TEAM-45")
async def test_a_token_signs_nobody_in_on_a_page_and_a_cookie_nobody_in_at_mcp(office: Office) -> None:
    anna = await office.visitor("Анна", "admin")
    await anna.post("/mine", **FORMS["/mine"])
    [token] = set(re.findall(r"amo_[0-9a-f]{12}_[\w-]{43}", (await anna.get("/mine?told=made")).text))
    assert await look_up(office.people, token)
    async with office.stranger(authorization=f"Bearer {token}") as stranger:
        assert (await stranger.get("/mine")).status_code == 303
        assert (await stranger.get(f"/mine?access_token={token}")).status_code == 303
    at_mcp = await anna.browser.post("/mcp", json={}, headers=origin())
    assert at_mcp.status_code == 401


async def test_a_cookie_that_is_nobody_s_is_nobody(office: Office) -> None:
    await office.visitor("Анна", "admin")
    for value in ("x", "", "a" * 4000):
        async with office.stranger() as stranger:
            stranger.cookies.set(COOKIE, value, domain="crm.example.org")
            assert (await stranger.get("/people")).status_code == 303


@pytest.mark.requirement("TEAM-45")
async def test_another_name_of_the_server_is_answered_nothing(office: Office) -> None:
    anna = await office.visitor("Анна")
    assert (await anna.browser.get("/mine", headers={"host": "evil.example"})).status_code == 421


async def test_while_the_database_is_away_a_page_says_so(office: Office) -> None:
    anna = await office.visitor("Анна")
    await office.database.close()
    away = await anna.get("/mine")
    assert away.status_code == 503
    assert "Try again in a minute." in away.text


async def test_the_sandbox_hears_of_no_write(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    await a_token(office, "Анна")
    for path in PAGES:
        await admin.get(path)
    assert writes(office.sandbox) == []


def writes(sandbox: Sandbox) -> list[str]:
    return [f"{one.method} {one.path}" for one in sandbox.requests if one.method != "GET"]
