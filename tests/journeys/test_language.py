"""A person is asked in their language, about days of their account; a model is answered in English."""

import json
import re
from typing import Any

import pytest

from amo_mcp.sandbox import USER_TOKEN, Sandbox
from amo_mcp.sandbox.faults.faults import Fault
from tests.conftest import PROFILE, Person, Serve, answer, error

pytestmark = pytest.mark.anyio

START = 272433
"""The custom field of the type `date`."""

CYRILLIC = re.compile("[А-яё]")


def speaks(sandbox: Sandbox, lang: str) -> Sandbox:
    for user in sandbox.account.users.values():
        user["lang"] = lang
    return sandbox


def in_zone(sandbox: Sandbox, name: str, offset: str) -> Sandbox:
    sandbox.account.profile["datetime_settings"] |= {"timezone": name, "timezone_offset": offset}
    return sandbox


def day(value: str) -> dict[str, Any]:
    return {"segment_id": 51, "custom_fields_values": [{"field_id": START, "values": [{"value": value}]}]}


def start_of(segment: dict[str, Any]) -> Any:
    [field] = [item for item in segment["custom_fields_values"] if item["field_id"] == START]
    return field["values"]


@pytest.mark.requirement("LANGUAGE-1")
@pytest.mark.parametrize(
    ("lang", "title", "box"),
    [
        ("ru", "Удалить сегмент «Gold»?", "Удалить сегмент «Gold»"),
        ("es", "¿Eliminar el segmento «Gold»?", "Eliminar el segmento «Gold»"),
        ("pt", "Excluir o segmento «Gold»?", "Excluir o segmento «Gold»"),
        ("de", "Delete segment «Gold»?", "Delete segment «Gold»"),
    ],
)
async def test_a_question_is_in_the_language_of_who_is_signed_in(
    era: str, lang: str, title: str, box: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("decline")
    sandbox.account.segments[51]["name"] = "Gold"
    async with serve(speaks(sandbox, lang)) as served, served.client(era, person) as client:
        declined = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        account = answer(await client.call_tool("get_account", {}))
    [asked] = person.asked
    assert asked.message.splitlines()[0] == title
    assert asked.requested_schema["properties"]["confirm"]["title"] == box
    assert declined["code"] == "declined"
    assert not CYRILLIC.search(declined["message"] + declined["hint"])
    assert account["language"] == ("en" if lang == "de" else lang)


@pytest.mark.requirement("LANGUAGE-1")
async def test_only_what_is_shown_to_the_person_is_in_their_language(era: str, sandbox: Sandbox, serve: Serve) -> None:
    """Of a preview, a plan's steps and progress; not of warnings, summaries and what cannot be restored."""
    told: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    for segment in sandbox.account.segments.values():
        segment["name"] = f"Gold {segment['id']}"
    changes = [{"action": "delete", "kind": "segment", "id": key} for key in (51, 54)]
    async with serve(speaks(sandbox, "ru")) as served, served.client(era) as client:
        planned = answer(await client.call_tool("plan_changes", {"changes": changes}))
        waiting = error(await client.call_tool("apply_plan", {"plan_id": planned["plan_id"]}))
        applied = answer(
            await client.call_tool(
                "confirm_change", {"approval_id": waiting["approval_id"]}, progress_callback=on_progress
            )
        )
        undoing = error(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
        undone = answer(await client.call_tool("confirm_change", {"approval_id": undoing["approval_id"]}))
        listed = answer(await client.call_tool("list_changes", {}))
    assert planned["steps"][0] == "1. Удалить сегмент «Gold 51» (id 51), 48 покупателей"
    assert waiting["preview"].startswith("Применить план: 2 изменения?\n")
    assert "Сегмент «Gold 51» (id 51) вернётся с новым id и без условий." in undoing["preview"]
    assert told == ["Удалить сегмент «Gold 51» (id 51)", "Удалить сегмент «Gold 54» (id 54)", "Готово"]
    for said in (planned["warnings"], applied["done"], undone["not_restored"], listed, waiting["message"]):
        assert not CYRILLIC.search(str(said)), said


@pytest.mark.requirement("LANGUAGE-1")
async def test_a_user_who_is_no_administrator_is_spoken_to_in_the_language_of_the_country(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("decline")
    sandbox.account.profile["country"] = "BR"
    async with serve(speaks(sandbox, "es"), token=USER_TOKEN) as served, served.client(era, person) as client:
        await client.call_tool("delete_segment", {"segment_id": 51})
    assert person.asked[0].message.splitlines()[0] == "Excluir o segmento «VIP»?"


@pytest.mark.requirement("LANGUAGE-2")
async def test_the_account_and_the_user_are_asked_for_once_however_many_questions_there_are(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era, Person("decline")) as client:
        for _ in range(3):
            await client.call_tool("delete_segment", {"segment_id": 51})
            await client.call_tool("update_segment", day("2021-10-19"))
            await client.call_tool("get_segment", {"segment_id": 87})
    made = [f"{item.method} {item.path}" for item in sandbox.requests]
    assert [item for item in made if item.startswith(PROFILE)] == [
        "GET /api/v4/account?with=datetime_settings",
        "GET /api/v4/users/504141",
    ]


@pytest.mark.requirement("DATE-1")
@pytest.mark.parametrize(
    ("zone", "offset", "seconds"),
    [
        ("Europe/Moscow", "+03:00", 1_634_590_800),
        ("America/Bogota", "-05:00", 1_634_619_600),
        ("of next year", "-05:00", 1_634_619_600),
    ],
)
async def test_a_day_that_is_written_is_the_day_that_is_read_however_often(
    era: str, zone: str, offset: str, seconds: int, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    # The sandbox keeps days by the zone's name: one that it does not know has to be known by the offset alone.
    in_zone(sandbox, zone if "/" in zone else "America/Bogota", offset)
    if "/" not in zone:
        told = {"datetime_settings": {"timezone": zone, "timezone_offset": offset}}
        account = {"id": sandbox.account.id, "name": "Лавка", "customers_mode": "segments", "_embedded": told}
        sandbox.faults.add(Fault(path="/api/v4/account", times=0, body=json.dumps(account)))
    async with serve(sandbox) as served, served.client(era, person) as client:
        shown = "2021-10-19"
        for _ in range(3):
            updated = answer(await client.call_tool("update_segment", day(shown)))
            [value] = start_of(updated["after"])
            shown = value["value"]
            assert shown == "2021-10-19"
            assert start_of(sandbox.account.segments[51]) == [{"value": seconds}]
        assert start_of(answer(await client.call_tool("get_segment", {"segment_id": 51}))) == [{"value": shown}]
        undone = answer(await client.call_tool("undo_change", {"change_id": updated["change_id"]}))
    assert undone["status"] == "done"
    lines = [line for asked in person.asked for line in asked.message.splitlines() if "Начало акции" in line]
    assert lines[0] == "Field «Начало акции»: was empty → will be «2021-10-19»"
    unchanged = "Nothing changes: it has these values already"
    assert [asked.message.splitlines()[-1] for asked in person.asked[1:3]] == [unchanged] * 2


@pytest.mark.requirement("DATE-1")
async def test_a_moment_without_an_offset_is_of_the_account_and_is_answered_in_utc(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    arguments = {
        "segment_id": 51,
        "custom_fields_values": [{"field_id": 272435, "values": [{"value": "2026-11-22T12:30"}]}],
    }
    async with serve(sandbox) as served, served.client(era, person) as client:
        updated = answer(await client.call_tool("update_segment", arguments))
    [field] = [item for item in updated["after"]["custom_fields_values"] if item["field_id"] == 272435]
    assert field["values"] == [{"value": "2026-11-22T09:30:00Z"}]
    assert "will be «2026-11-22 12:30 (UTC+03:00)»" in person.asked[0].message


@pytest.mark.requirement("DATE-1")
async def test_an_account_that_tells_no_zone_is_in_utc_and_that_is_said(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    del sandbox.account.profile["datetime_settings"]
    async with serve(sandbox) as served, served.client(era, person) as client:
        updated = answer(await client.call_tool("update_segment", day("2021-10-19")))
        account = answer(await client.call_tool("get_account", {}))
    assert start_of(updated["after"]) == [{"value": "2021-10-19"}]
    assert "The account's time zone is not known: days and times are in UTC." in person.asked[0].message
    assert (account["time_zone"], account["note"]) == (
        "UTC",
        "The account's time zone is not known: days are those of UTC.",
    )


async def test_a_day_is_answered_as_a_moment_while_the_zone_cannot_be_found_out(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.faults.add(Fault(path="/api/v4/account", times=0, status=500))
    async with serve(sandbox) as served, served.client(era) as client:
        segment = answer(await client.call_tool("get_segment", {"segment_id": 87}))
    assert start_of(segment) == [{"value": "2022-12-19T21:00:00Z"}]


async def test_a_resource_answers_days_as_its_tool_does(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(in_zone(sandbox, "Pacific/Auckland", "+13:00")) as served, served.client(era) as client:
        [contents] = (await client.read_resource("amo://segments/87")).contents
        segment = answer(await client.call_tool("get_segment", {"segment_id": 87}))
    assert start_of(segment) == [{"value": "2022-12-20"}]
    assert '"value":"2022-12-20"' in getattr(contents, "text", "")
