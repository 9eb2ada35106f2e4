"""The page of the audit, for admins, and its export."""

import json
from datetime import date
from urllib.parse import urlsplit

import pytest

from amo_mcp.team.audit import KINDS, Actor, Entry, Touched
from amo_mcp.team.pages.audit import PAGE
from amo_mcp.team.pages.words import KIND_WORDS
from tests.team.pages.office import MOSCOW, Office, text_of

pytestmark = pytest.mark.anyio

CHANGE = Entry(
    kind="change",
    what="update_segment",
    by=Actor("1:11", "Анна", "Claude 1.0"),
    subject="c0123456789ab",
    approved_by="Борис",
    approved_how="page",
    touched=(
        Touched(
            "update",
            "segment",
            "51",
            {"id": 51, "name": "VIP", "color": "6610f2", "updated_at": 1},
            {"id": 51, "name": "Лучшие", "color": "6610f2", "updated_at": 2},
            "done",
            "req-1",
        ),
    ),
)


@pytest.mark.requirement("TEAM-44")
async def test_an_entry_is_told_whole_in_a_person_s_words(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin", **{"accept-language": "ru"})
    await office.audit.add(CHANGE)
    shown = await admin.text("/audit")
    assert "update_segment · сделано 2023-11-15 01:13 (UTC+03:00) · «Анна» · «Claude 1.0» · «c0123456789ab»" in shown
    assert "Согласие на странице: «Борис»" in shown
    assert "До и после Изменить сегмент «VIP» Название было VIP Лучшие X-Request-Id: req-1" in shown
    assert "6610f2" not in shown


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            Entry(
                kind="person",
                what="role",
                touched=(
                    Touched("update", "person", "1", {"name": "Я", "role": "viewer"}, {"name": "Я", "role": "admin"}),
                ),
            ),
            "Gave another role · done 2023-11-15 01:13 (UTC+03:00) · the operator "
            "Before and after «Я» Role was viewer admin",
        ),
        (
            Entry(
                kind="token",
                what="made",
                touched=(
                    Touched(
                        "create",
                        "token",
                        "1",
                        {},
                        {"person": "Я", "label": "", "scope": "segments:read", "expires": 1_700_000_000.0, "odd": []},
                    ),
                ),
            ),
            "Made a personal token · done 2023-11-15 01:13 (UTC+03:00) · the operator "
            "Before and after Person Я Allowed May read Good until 2023-11-15 01:13 (UTC+03:00)",
        ),
        (
            Entry(
                kind="change",
                what="x",
                outcome="odd",
                touched=(
                    Touched(
                        "move",
                        "segment",
                        None,
                        {"customers": [[1, [51], None]]},
                        {"customers": [[1, [7], None]], "into": [7]},
                    ),
                ),
            ),
            "x · odd",
        ),
        (
            Entry(kind="change", what="x", touched=(Touched("delete", "segment", "1", {"name": "VIP", "odd": 1}, {}),)),
            "Delete segment «VIP» Name was VIP",
        ),
        (
            Entry(
                kind="change", what="x", touched=(Touched("create", "status", None, {}, {"name": "Новый", "sort": 10}),)
            ),
            "Create status «Новый» Name Новый Position 10",
        ),
        (Entry(kind="change", what="x", approved_by="Я", approved_how="dialog"), "«Я» agreed in a dialog"),
        (Entry(kind="approval", what="no", comment="not now"), "Said no · done 2023-11-15 01:13 (UTC+03:00)"),
        (Entry(kind="approval", what="no", comment="not now"), "Comment: «not now»"),
        (
            Entry(kind="refusal", what="signed_in", outcome="removed"),
            "Refused: Signed in · was removed from this server",
        ),
        (Entry(kind="refusal", what="/people", outcome="forbidden"), "Refused: /people · the role does not allow it"),
        (
            Entry(kind="change", what="x", touched=(Touched("create", "status", None, {}, {"name": "Н"}),) * 27),
            "and 2 more",
        ),
    ],
)
async def test_what_was_before_and_after_is_told(entry: Entry, said: str, office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    await office.audit.add(entry)
    assert said in await admin.text("/audit")


@pytest.mark.requirement("TEAM-44")
async def test_it_is_filtered_by_person_kind_and_day_of_the_account(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    office.clock.now = MOSCOW.start(date(2026, 11, 26))
    await office.audit.add(CHANGE)
    office.clock.now = MOSCOW.start(date(2026, 11, 27)) - 1
    await office.audit.add(Entry(kind="token", what="made", by=Actor("1:12", "Борис")))
    admin = await office.signed_in(admin.person)

    async def found(query: str) -> list[str]:
        exported = (await admin.get(f"/audit.jsonl?{query}")).text
        shown = await admin.text(f"/audit?{query}")
        kinds = [json.loads(line)["kind"] for line in exported.splitlines()]
        assert [word in shown for word in ("update_segment ·", "Made a personal token ·")] == [
            kind in kinds for kind in ("change", "token")
        ]
        return kinds

    assert await found("") == ["token", "change"]
    assert await found("who=%D0%90%D0%BD%D0%BD%D0%B0") == ["change"]
    assert await found("who=+1:12+") == ["token"]
    assert await found("kind=token") == ["token"]
    assert await found("kind=all&who=&since=&until=") == ["token", "change"]
    assert await found("since=2026-11-26&until=2026-11-26") == ["token", "change"]
    assert await found("since=2026-11-27") == []
    assert await found("until=2026-11-25") == []
    assert await found("since=yesterday&until=9999-12-31") == ["token", "change"]


@pytest.mark.requirement("TEAM-44")
async def test_it_comes_in_pages_and_the_export_has_all_of_it(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    for number in range(PAGE + 3):
        await office.audit.add(Entry(kind="token", what="made", by=Actor("1:11", "Анна"), subject=f"t{number:03}"))
    first = await admin.get("/audit?who=1:11&kind=token")
    assert (first.text.count("«t"), "«t052»" in first.text) == (PAGE, True)
    [older] = [part.partition('"')[0] for part in first.text.split('href="') if "before=" in part]
    rest = await admin.get("/audit" + older.replace("&amp;", "&"))
    assert [f"«t00{number}»" in rest.text for number in range(4)] == [True, True, True, False]
    assert "before=" not in rest.text.replace(urlsplit(older).query, "")
    exported = await admin.get("/audit.jsonl")
    assert (exported.headers["content-type"], exported.headers["content-disposition"]) == (
        "application/x-ndjson",
        'attachment; filename="audit.jsonl"',
    )
    assert len(exported.text.splitlines()) == PAGE + 3


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "", "1.5", "١"])
async def test_a_place_that_is_none_is_the_beginning(before: str, office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    await office.audit.add(CHANGE)
    shown = await admin.browser.get("/audit", params={"before": before})
    assert "update_segment" in text_of(shown)


async def test_where_there_is_nothing_that_is_said(office: Office) -> None:
    admin = await office.visitor("Ольга", "admin")
    assert "Nothing was found." in await admin.text("/audit?who=nobody%00")


def test_every_kind_has_words() -> None:
    assert {*KIND_WORDS} == {*KINDS}
