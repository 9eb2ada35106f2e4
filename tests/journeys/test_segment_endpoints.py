"""The five segment endpoints through a real client, answer for answer."""

import json
from typing import Any

import pytest

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, Serve, answer, error

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
FIELDS = f"GET {SEGMENTS}/custom_fields?page=1&limit=250"
ACCOUNT = 28805383
NOW = "2023-11-14T22:13:20Z"


def field(number: int, name: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """What is shown of a custom field beside its values."""
    shown = {"field_id": number, "field_name": name, "field_code": code, "field_type": kind}
    return {key: value for key, value in shown.items() if value is not None}


MAILING = field(269471, "Участвует в рассылке", "checkbox", "MAILING")
GRIND = field(269473, "Любимый помол", "select")
NOTE = field(272427, "Комментарий", "text")
DISCOUNT = field(272429, "Скидка, %", "numeric", "DISCOUNT")
BEANS = field(272431, "Любимые сорта", "multiselect", "BEANS")
START = field(272433, "Начало акции", "date", "PROMO_START")
RECOUNTED = field(272435, "Последний пересчёт", "date_time")
LANDING = field(272437, "Страница предложения", "url", "LANDING")
DESCRIPTION = field(272439, "Описание сегмента", "textarea", "DESCRIPTION")
CHANNEL = field(272441, "Канал связи", "radiobutton", "CHANNEL")
ADDRESS = field(272443, "Адрес кофейни", "streetaddress")

VIP: dict[str, Any] = {
    "id": 51,
    "name": "VIP",
    "color": "6610f2",
    "customers_count": 48,
    "created_at": "2020-05-16T07:48:48Z",
    "updated_at": "2020-06-02T09:10:10Z",
    "account_id": ACCOUNT,
    "custom_fields_values": [
        {**MAILING, "values": [{"value": True}]},
        {**GRIND, "values": [{"value": "В зёрнах", "enum_id": 381857}]},
        {**NOTE, "values": [{"value": "от 5 покупок в год"}]},
        {**DISCOUNT, "values": [{"value": "15"}]},
        {
            **BEANS,
            "values": [{"value": "Эфиопия Иргачеффе", "enum_id": 387473}, {"value": "Кения АА", "enum_id": 387475}],
        },
        {**DESCRIPTION, "values": [{"value": "Покупают каждый месяц.\nЗвонить только по делу."}]},
        {**CHANNEL, "values": [{"value": "Телефон", "enum_id": 391011, "enum_code": "PHONE"}]},
    ],
    "available_products_price_types": [288891],
}
LITTLE_VIP: dict[str, Any] = {
    "id": 54,
    "name": "vip клиенты ",
    "color": "b118c8",
    "customers_count": 5,
    "created_at": "2020-06-22T08:10:12Z",
    "updated_at": "2020-06-22T08:10:12Z",
    "account_id": ACCOUNT,
    "custom_fields_values": [{**DISCOUNT, "values": [{"value": "10"}]}],
    "available_products_price_types": [],
}
REGULARS: dict[str, Any] = {
    "id": 60,
    "name": "Постояные  покупатели",
    "color": "00a44b",
    "customers_count": 9,
    "created_at": "2020-08-02T08:12:00Z",
    "updated_at": "2020-08-02T08:12:00Z",
    "account_id": ACCOUNT,
    "custom_fields_values": [],
    "available_products_price_types": [],
}
NEW_YEAR: dict[str, Any] = {
    "id": 87,
    "name": "🎄 Новогодняя акция 2023",
    "color": "dd1c1a",
    "customers_count": 1,
    "created_at": "2022-12-01T11:12:00Z",
    "updated_at": "2023-01-10T10:00:00Z",
    "account_id": ACCOUNT,
    "custom_fields_values": [
        {**START, "values": [{"value": "2022-12-20"}]},
        {**LANDING, "values": [{"value": "https://example.com/ny2023"}]},
    ],
    "available_products_price_types": [],
}


def made(**differing: Any) -> dict[str, Any]:
    """The segment that the sandbox makes when only a name is given, but for what differs."""
    return {
        "id": 96,
        "name": "Гости",
        "color": "10599d",
        "customers_count": 0,
        "created_at": NOW,
        "updated_at": NOW,
        "account_id": ACCOUNT,
        "custom_fields_values": [],
        "available_products_price_types": [],
        **differing,
    }


def written(result: Any) -> dict[str, Any]:
    """What a write answers, without the journal's name of the change, which nobody can tell in advance."""
    answered = answer(result)
    del answered["change_id"]
    return answered


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(mode="segments", clock=lambda: 1_700_000_000.0)


@pytest.mark.requirement("TOOL-11")
async def test_segments_are_listed_concise_and_by_id(era: str, sandbox: Sandbox, serve: Serve) -> None:
    rows = [
        (21, "ВИП-клиенты", "4a001f", 37, "2020-04-20T09:55:44Z"),
        (51, "VIP", "6610f2", 48, "2020-06-02T09:10:10Z"),
        (54, "vip клиенты ", "b118c8", 5, "2020-06-22T08:10:12Z"),
        (57, "Постоянные покупатели", "00a44b", 312, "2024-01-01T09:00:00Z"),
        (60, "Постояные  покупатели", "00a44b", 9, "2020-08-02T08:12:00Z"),
        (63, "Новички ☕", "2176ff", 126, "2023-08-01T09:32:00Z"),
        (66, "новички", "2176ff", 0, "2020-12-02T08:12:00Z"),
        (69, "Oптовики", "bf2600", 23, "2021-02-02T08:12:00Z"),
        (72, "Оптовики", "bf2600", 18, "2023-01-01T11:12:00Z"),
        (75, "Спящие (90 дней без покупок)", "6f7c12", 204, "2023-12-25T09:00:00Z"),
        (78, "ТЕСТ", "10599d", 0, "2021-05-02T08:12:00Z"),
        (81, " Подписка на зерно", "0c7c59", 87, "2023-11-01T17:00:00Z"),
        (84, "Подписка_на_зерно_СТАРАЯ", "0c7c59", 0, "2021-07-02T08:12:00Z"),
        (87, "🎄 Новогодняя акция 2023", "dd1c1a", 1, "2023-01-10T10:00:00Z"),
        (93, "Dни рождения / Birthday", "ff5376", 41, "2023-02-01T11:12:00Z"),
    ]
    keys = ("id", "name", "color", "customers_count", "updated_at")
    async with serve(sandbox) as served, served.client(era) as client:
        short = answer(await client.call_tool("list_segments", {}))
        assert answer(await client.call_tool("list_segments", {"detail": "concise", "search": None})) == short
    assert short == {"segments": [dict(zip(keys, row, strict=True)) for row in rows], "total": 15, "limit": 100}
    assert served.requests() == [f"GET {SEGMENTS}?page=1&limit=250"] * 2


@pytest.mark.requirement("TOOL-11", "TOOL-14")
async def test_a_full_list_has_each_segment_as_get_segment_answers_it(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        answered = answer(await client.call_tool("list_segments", {"detail": "full"}))
        for whole in (VIP, REGULARS, NEW_YEAR):
            assert answer(await client.call_tool("get_segment", {"segment_id": str(whole["id"])})) == whole
            assert [segment for segment in answered["segments"] if segment["id"] == whole["id"]] == [whole]
    assert [segment["id"] for segment in answered["segments"]] == [*range(21, 22), *range(51, 88, 3), 93]
    assert served.requests()[1:] == [f"GET {SEGMENTS}/51", f"GET {SEGMENTS}/60", f"GET {SEGMENTS}/87"]


async def test_an_account_without_segments_has_an_empty_list(era: str, sandbox: Sandbox, serve: Serve) -> None:
    sandbox.account.segments.clear()
    sandbox.faults.add(Fault(skip=1, body=json.dumps({"_embedded": {"segments": []}})))
    async with serve(sandbox) as served, served.client(era) as client:
        for _ in range(2):
            assert answer(await client.call_tool("list_segments", {})) == {"segments": [], "total": 0, "limit": 100}


async def test_segment_keys_that_the_reference_does_not_name_are_kept_and_null_lists_are_empty(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    links = {"self": {"href": "https://shard151.amocrm.ru/api/v4/customers/segments/5"}}
    unknown = {"bonus_points_conversion_rate": 0.5, "rules": [[], [{"any": "thing"}]]}
    field = {"field_id": 1, "values": [{"value": {"city": "Тула"}, "kind": "home"}], "is_computed": True}
    segment = {
        "id": 5,
        "name": "Х",
        "color": "123456",
        "available_products_price_types": None,
        "_links": links,
        **unknown,
    }
    sandbox.faults.add(
        Fault(body=json.dumps({**segment, "custom_fields_values": [field, {"field_id": 2, "values": None}]}))
    )
    async with serve(sandbox) as served, served.client(era) as client:
        answered = answer(await client.call_tool("get_segment", {"segment_id": 5}))
    assert answered == {
        "id": 5,
        "name": "Х",
        "color": "123456",
        "custom_fields_values": [field, {"field_id": 2, "values": []}],
        "available_products_price_types": [],
        **unknown,
    }
    assert served.requests() == [f"GET {SEGMENTS}/5"]


@pytest.mark.requirement("TOOL-15")
async def test_a_segment_is_created_by_its_name_alone(era: str, sandbox: Sandbox, serve: Serve) -> None:
    unset = {"color": None, "custom_fields_values": None, "available_products_price_types": None}
    async with serve(sandbox) as served, served.client(era) as client:
        assert written(await client.call_tool("create_segment", {"name": "Гости"})) == {"segment": made()}
        assert written(await client.call_tool("create_segment", {"name": "Гости", **unset})) == {"segment": made(id=99)}
    assert served.writes() == [f"POST {SEGMENTS}"] * 2
    assert [request.body for request in sandbox.requests if request.method == "POST"] == [{"name": "Гости"}] * 2


@pytest.mark.requirement("TOOL-15", "ARG-7")
async def test_a_value_of_every_type_is_sent_as_its_field_needs_it(era: str, sandbox: Sandbox, serve: Serve) -> None:
    link, lines, street = ([{"value": text}] for text in ("https://example.com/a", "Первая\nвторая", "Тула, Мира, 1"))
    grind, beans, brazil = {"enum_id": 381859}, {"enum_id": 387475}, {"enum_id": 387471}
    rows: list[tuple[dict[str, Any], Any, Any, Any]] = [
        (MAILING, [{"value": "Да"}], [{"value": True}], [{"value": True}]),
        (GRIND, [{"value": " для ТУРКИ"}], [grind], [{"value": "Для турки", **grind}]),
        (NOTE, [{"value": "текст "}], [{"value": "текст "}], [{"value": "текст "}]),
        (DISCOUNT, [{"value": " 12.5 "}], [{"value": "12.5"}], [{"value": "12.5"}]),
        (
            BEANS,
            [{"enum_id": "387475"}, {"value": "бразилия сантос"}],
            [beans, brazil],
            [{"value": "Кения АА", **beans}, {"value": "Бразилия Сантос", **brazil}],
        ),
        (START, [{"value": "2026-11-22"}], [{"value": 1795294800}], [{"value": "2026-11-22"}]),
        (
            RECOUNTED,
            [{"value": "2026-11-22T12:30:00+03:00"}],
            [{"value": 1795339800}],
            [{"value": "2026-11-22T09:30:00Z"}],
        ),
        (LANDING, link, link, link),
        (DESCRIPTION, lines, lines, lines),
        (
            CHANNEL,
            [{"enum_code": "EMAIL"}],
            [{"enum_id": 391013}],
            [{"value": "Почта", "enum_id": 391013, "enum_code": "EMAIL"}],
        ),
        (ADDRESS, street, street, street),
    ]
    named = [
        {"field_code": field["field_code"]} if "field_code" in field else {"field_id": field["field_id"]}
        for field, *_ in rows
    ]
    given = {
        "name": "Гости",
        "color": "#AE003F",
        "available_products_price_types": [288893, "271211"],
        "custom_fields_values": [{**name, "values": row[1]} for name, row in zip(named, rows, strict=True)],
    }
    async with serve(sandbox) as served, served.client(era) as client:
        answered = written(await client.call_tool("create_segment", given))
    assert answered["segment"] == made(
        color="ae003f",
        available_products_price_types=[288893, 271211],
        custom_fields_values=[{**field, "values": shown} for field, _, _, shown in rows],
    )
    assert sandbox.requests[-1].body == {
        "name": "Гости",
        "color": "ae003f",
        "available_products_price_types": [288893, 271211],
        "custom_fields_values": [{"field_id": field["field_id"], "values": sent} for field, _, sent, _ in rows],
    }
    assert served.requests()[0] == FIELDS


@pytest.mark.requirement("TOOL-16")
async def test_only_what_was_asked_for_changes_in_a_segment(era: str, sandbox: Sandbox, serve: Serve) -> None:
    discount = {"field_id": 272429, "values": [{"value": "11"}]}
    changes: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        ({"name": "ВИП"}, {"name": "ВИП"}, {"name": "ВИП"}),
        ({"color": "#DD1C1A", "name": None}, {"color": "dd1c1a"}, {"color": "dd1c1a"}),
        (
            {"available_products_price_types": [271211], "custom_fields_values": []},
            {"available_products_price_types": [271211]},
            {"available_products_price_types": [271211]},
        ),
        (
            {"available_products_price_types": []},
            {"available_products_price_types": []},
            {"available_products_price_types": []},
        ),
        (
            {"custom_fields_values": [discount]},
            {"custom_fields_values": [discount]},
            {"custom_fields_values": [{**DISCOUNT, "values": [{"value": "11"}]}]},
        ),
        (
            {"custom_fields_values": [{"field_code": "DISCOUNT", "values": []}]},
            {"custom_fields_values": [{"field_id": 272429, "values": None}]},
            {"custom_fields_values": []},
        ),
    ]
    before: dict[str, Any] = LITTLE_VIP
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        for change, sent, differing in changes:
            answered = written(await client.call_tool("update_segment", {"segment_id": 54, **change}))
            after = {**before, **differing, "updated_at": NOW}
            assert answered == {"before": before, "after": after}
            assert sandbox.requests[-1].body == sent
            before = after
    assert served.writes() == [f"PATCH {SEGMENTS}/54"] * len(changes)


@pytest.mark.requirement("TOOL-16")
async def test_clearing_one_field_leaves_the_others(era: str, sandbox: Sandbox, serve: Serve) -> None:
    cleared = [{"field_id": 269471, "values": []}, {"field_code": "BEANS", "values": []}]
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        answered = written(
            await client.call_tool("update_segment", {"segment_id": 51, "custom_fields_values": cleared})
        )
    kept = [VIP["custom_fields_values"][index] for index in (1, 2, 3, 5, 6)]
    assert answered == {"before": VIP, "after": {**VIP, "custom_fields_values": kept, "updated_at": NOW}}
    assert sandbox.requests[-1].body == {
        "custom_fields_values": [{"field_id": 269471, "values": None}, {"field_id": 272431, "values": None}]
    }


@pytest.mark.requirement("TOOL-16")
async def test_an_update_of_a_segment_without_any_change_is_refused(era: str, sandbox: Sandbox, serve: Serve) -> None:
    person = Person("yes")
    wanted = "name, color, custom_fields_values, available_products_price_types"
    async with serve(sandbox) as served, served.client(era, person) as client:
        nothing: list[dict[str, Any]] = [{}, {"name": None, "color": None}, {"custom_fields_values": []}]
        for change in nothing:
            assert error(await client.call_tool("update_segment", {"segment_id": 51, **change})) == {
                "code": "invalid_arguments",
                "message": f"{wanted} at least one of them is required. Nothing was changed.",
                "retryable": False,
                "hint": "Correct the arguments as fields says and call the tool again.",
                "fields": [{"path": wanted, "detail": "at least one of them is required"}],
            }
    assert (person.asked, served.requests()) == ([], [])


@pytest.mark.requirement("TOOL-17")
async def test_a_deleted_segment_is_answered_as_it_was(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        assert written(await client.call_tool("delete_segment", {"segment_id": 51})) == {"deleted": VIP}
    assert served.writes() == [f"DELETE {SEGMENTS}/51"]
    assert sorted(sandbox.account.segments) == [21, *range(54, 88, 3), 93]
