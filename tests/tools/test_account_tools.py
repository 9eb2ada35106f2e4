"""The account and the custom fields of its segments through a real client, answer for answer."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from amo_mcp.sandbox import USER_TOKEN, Fault, Sandbox
from tests.conftest import Serve, Served, answer, both, error

pytestmark = pytest.mark.anyio

NOTHING = "Nothing was changed."
ACCOUNT = "GET /api/v4/account"
SEGMENTS = "GET /api/v4/customers/segments?page=1&limit=250"
FIELDS = "GET /api/v4/customers/segments/custom_fields?page=1&limit=250"
STATUSES = "GET /api/v4/customers/statuses"

USED = {
    "segments": [
        {"kind": "segments", "used": 15, "limit": 100},
        {"kind": "segment_fields", "used": 11, "limit": 30},
    ],
    "periodicity": [{"kind": "statuses", "used": 7, "limit": 30}],
}
EMPTY = {
    "segments": [
        {"kind": "segments", "used": 0, "limit": 100},
        {"kind": "segment_fields", "used": 0, "limit": 30},
    ],
    "periodicity": [{"kind": "statuses", "used": 4, "limit": 30}],
}
COSTS = {"segments": [ACCOUNT, SEGMENTS, FIELDS], "periodicity": [ACCOUNT, STATUSES]}


def overview(served: Served, mode: str, limits: list[dict[str, Any]], language: str = "en") -> dict[str, Any]:
    return {
        "id": 28805383,
        "name": "Лавка «Зерно и турка»",
        "host": urlsplit(served.url).netloc,
        "customers_mode": mode,
        "time_zone": "Europe/Moscow",
        "language": language,
        "limits": limits,
    }


FIELD_LIST = [
    {"id": 269471, "name": "Участвует в рассылке", "type": "checkbox", "code": "MAILING", "enums": []},
    {
        "id": 269473,
        "name": "Любимый помол",
        "type": "select",
        "enums": [
            {"id": 381857, "value": "В зёрнах", "sort": 500},
            {"id": 381859, "value": "Для турки", "sort": 501},
            {"id": 381861, "value": "Для фильтра", "sort": 502},
        ],
    },
    {"id": 272427, "name": "Комментарий", "type": "text", "enums": []},
    {"id": 272429, "name": "Скидка, %", "type": "numeric", "code": "DISCOUNT", "enums": []},
    {
        "id": 272431,
        "name": "Любимые сорта",
        "type": "multiselect",
        "code": "BEANS",
        "enums": [
            {"id": 387471, "value": "Бразилия Сантос", "sort": 500},
            {"id": 387473, "value": "Эфиопия Иргачеффе", "sort": 501},
            {"id": 387475, "value": "Кения АА", "sort": 502},
            {"id": 387477, "value": "Суматра", "sort": 503},
        ],
    },
    {"id": 272433, "name": "Начало акции", "type": "date", "code": "PROMO_START", "enums": []},
    {"id": 272435, "name": "Последний пересчёт", "type": "date_time", "enums": []},
    {"id": 272437, "name": "Страница предложения", "type": "url", "code": "LANDING", "enums": []},
    {"id": 272439, "name": "Описание сегмента", "type": "textarea", "code": "DESCRIPTION", "enums": []},
    {
        "id": 272441,
        "name": "Канал связи",
        "type": "radiobutton",
        "code": "CHANNEL",
        "enums": [
            {"id": 391011, "value": "Телефон", "sort": 500, "code": "PHONE"},
            {"id": 391013, "value": "Почта", "sort": 501, "code": "EMAIL"},
            {"id": 391015, "value": "Мессенджер", "sort": 502, "code": "MESSENGER"},
        ],
    },
    {"id": 272443, "name": "Адрес кофейни", "type": "streetaddress", "enums": []},
]


@pytest.mark.requirement("TOOL-18")
async def test_the_account_says_its_mode_and_what_is_used_of_each_limit_of_that_mode(serve: Serve) -> None:
    sandbox = Sandbox()
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for sandbox.account.mode, costs in COSTS.items():
                sandbox.requests.clear()
                answered = answer(await client.call_tool("get_account", {}))
                assert answered == overview(served, sandbox.account.mode, USED[sandbox.account.mode])
                assert served.requests() == costs


async def test_an_account_before_anything_was_set_up_uses_nothing_but_its_system_statuses(serve: Serve) -> None:
    sandbox = Sandbox(empty=True)
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for sandbox.account.mode, limits in EMPTY.items():
                answered = answer(await client.call_tool("get_account", {}))
                assert answered == overview(served, sandbox.account.mode, limits)
            sandbox.account.mode = "segments"
            assert answer(await client.call_tool("list_segment_fields", {})) == {"fields": [], "total": 0, "limit": 30}


async def test_an_account_in_any_other_mode_has_no_limits(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for sandbox.account.mode in ("disabled", "unavailable", "dynamic", "of next year"):
                sandbox.requests.clear()
                answered = answer(await client.call_tool("get_account", {}))
                assert answered == overview(served, sandbox.account.mode, [])
                assert served.requests() == [ACCOUNT]


@pytest.mark.requirement("TOOL-19")
async def test_the_fields_of_segments_are_listed_with_their_types_and_choices(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            sandbox.requests.clear()
            answered = answer(await client.call_tool("list_segment_fields", {}))
            assert answered == {"fields": FIELD_LIST, "total": 11, "limit": 30}
            assert served.requests() == [FIELDS]


async def test_fields_of_segments_are_mode_disabled_in_any_other_mode(sandbox: Sandbox, serve: Serve) -> None:
    hints = {
        "periodicity": "Work with the statuses instead.",
        "disabled": "Customers have to be switched on in amoCRM's settings.",
    }
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for sandbox.account.mode, hint in hints.items():
                sandbox.requests.clear()
                assert error(await client.call_tool("list_segment_fields", {})) == {
                    "code": "mode_disabled",
                    "message": "This needs the customers mode `segments`, and the account is in "
                    f"`{sandbox.account.mode}`. {NOTHING}",
                    "retryable": False,
                    "hint": hint,
                }
                assert served.requests() == [FIELDS, ACCOUNT]


async def test_a_user_who_is_no_administrator_reads_the_same_account_and_fields(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox, token=USER_TOKEN) as served, both(served.server) as clients:
        for client in clients:
            for sandbox.account.mode in ("periodicity", "segments"):
                answered = answer(await client.call_tool("get_account", {}))
                # Only an administrator's token reads users, so that the country decides.
                assert answered == overview(served, sandbox.account.mode, USED[sandbox.account.mode], "ru")
            answered = answer(await client.call_tool("list_segment_fields", {}))
            assert answered == {"fields": FIELD_LIST, "total": 11, "limit": 30}


async def test_the_account_and_its_fields_are_read_afresh_every_time(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            await client.call_tool("get_account", {})
            await client.call_tool("list_segment_fields", {})
        del sandbox.account.segments[51]
        del sandbox.account.fields[269471]
        used = [{"kind": "segments", "used": 14, "limit": 100}, {"kind": "segment_fields", "used": 10, "limit": 30}]
        for client in clients:
            assert answer(await client.call_tool("get_account", {})) == overview(served, "segments", used)
            answered = answer(await client.call_tool("list_segment_fields", {}))
            assert answered == {"fields": FIELD_LIST[1:], "total": 10, "limit": 30}


async def test_an_account_that_can_be_read_only_in_part_is_unavailable(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for done, path in enumerate(("/api/v4/account", "*/segments", "*/custom_fields")):
                sandbox.requests.clear()
                sandbox.faults.add(Fault(path=path, status=500, times=4))
                assert error(await client.call_tool("get_account", {})) == {
                    "code": "unavailable",
                    "message": f"amoCRM answered with the status 500. {NOTHING}",
                    "retryable": True,
                    "hint": "Try again in a minute.",
                }
                read, failed = COSTS["segments"][:done], COSTS["segments"][done]
                assert served.requests() == [*read, *[failed] * 4]
