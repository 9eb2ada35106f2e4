from typing import Any

import pytest
from httpx2 import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.api import custom_fields
from amo_mcp.sandbox.api.validation import Validation
from tests.sandbox.bodies import Body, invalid

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
MISSING = "This field is missing."
NO_CHOICE = "The value you selected is not a valid choice."
ONE = "This collection should contain exactly 1 element."
NOT_VALID = "This value is not valid."


def _typed(kind: str) -> str:
    return f"This value should be of type {kind}."


def _stored(field_id: int, name: str, code: str | None, kind: str, *values: Body) -> Body:
    return {"values": list(values), "field_id": field_id, "field_name": name, "field_code": code, "field_type": kind}


@pytest.mark.parametrize(
    ("field_id", "values", "expected"),
    [
        (272427, [{"value": "12424"}], [{"value": "12424"}]),
        (272429, [{"value": "-7.50"}], [{"value": "-7.50"}]),
        (269471, [{"value": False}], [{"value": False}]),
        (269473, [{"enum_id": 381859}], [{"value": "Для турки", "enum_id": 381859}]),
        (269473, [{"value": "Для турки"}], [{"value": "Для турки", "enum_id": 381859}]),
        (
            269473,
            [{"value": "что угодно", "enum_id": 381859, "enum_code": None}],
            [{"value": "Для турки", "enum_id": 381859}],
        ),
        (272441, [{"enum_code": "EMAIL"}], [{"value": "Почта", "enum_id": 391013, "enum_code": "EMAIL"}]),
        (
            272431,
            [{"enum_id": 387477}, {"value": "Кения АА"}, {"enum_id": 387477}],
            [{"value": "Суматра", "enum_id": 387477}, {"value": "Кения АА", "enum_id": 387475}],
        ),
        (272433, [{"value": 1589615328}], [{"value": 1589576400}]),
        (272433, [{"value": "2020-05-16T00:00:00+00:00"}], [{"value": 1589576400}]),
        (272435, [{"value": "2020-05-16T07:48:48z"}], [{"value": 1589615328}]),
        (272435, [{"value": "2020-05-16T07:48:48.5Z"}], [{"value": 1589615328}]),
        (272437, [{"value": "https://example.com"}], [{"value": "https://example.com"}]),
        (272439, [{"value": "две\nстроки", "other": 1}], [{"value": "две\nстроки"}]),
        (272443, [{"value": "Кофейный переулок, 7"}], [{"value": "Кофейный переулок, 7"}]),
    ],
)
async def test_a_custom_field_value_is_stored_in_the_form_of_a_response(
    shop: Sandbox, admin: AsyncClient, field_id: int, values: Any, expected: list[Body]
) -> None:
    body = {"name": "Новый", "custom_fields_values": [{"field_id": field_id, "field_name": "не то", "values": values}]}
    answer = await admin.post(SEGMENTS, json=body)
    field = shop.account.fields[field_id]
    stored = [_stored(field_id, field["name"], field["code"], field["type"], *expected)]
    assert (answer.status_code, answer.json()["custom_fields_values"]) == (200, stored)
    assert shop.account.segments[96]["custom_fields_values"] == stored


async def test_a_custom_field_is_found_by_its_code_unless_an_id_is_given(shop: Sandbox, admin: AsyncClient) -> None:
    values = [
        {"field_code": "DISCOUNT", "values": [{"value": "5"}]},
        {"field_id": 272427, "field_code": "DISCOUNT", "values": [{"value": "текст"}]},
    ]
    await admin.post(SEGMENTS, json={"name": "Новый", "custom_fields_values": values})
    assert shop.account.segments[96]["custom_fields_values"] == [
        _stored(272427, "Комментарий", None, "text", {"value": "текст"}),
        _stored(272429, "Скидка, %", "DISCOUNT", "numeric", {"value": "5"}),
    ]


@pytest.mark.parametrize(
    ("given_values", "errors"),
    [
        ({}, [("InvalidType", "custom_fields_values", _typed("array"))]),
        ([5], [("InvalidType", "custom_fields_values.0", _typed("object"))]),
        (
            [{}],
            [
                ("FieldMissing", "custom_fields_values.0.field_id", MISSING),
                ("FieldMissing", "custom_fields_values.0.values", MISSING),
            ],
        ),
        (
            [{"field_id": 1, "values": None}, {"field_id": "272427", "values": None}],
            [
                ("NotSupportedChoice", "custom_fields_values.0.field_id", NO_CHOICE),
                ("InvalidType", "custom_fields_values.1.field_id", _typed("int")),
            ],
        ),
        (
            [{"field_code": "discount", "values": None}, {"field_code": 5, "values": None}],
            [
                ("NotSupportedChoice", "custom_fields_values.0.field_code", NO_CHOICE),
                ("InvalidType", "custom_fields_values.1.field_code", _typed("string")),
            ],
        ),
        ([{"field_id": 272427}], [("FieldMissing", "custom_fields_values.0.values", MISSING)]),
    ],
)
async def test_an_invalid_list_of_custom_fields_is_refused(
    admin: AsyncClient, given_values: Any, errors: list[tuple[str, str, str]]
) -> None:
    answer = await admin.post(SEGMENTS, json={"name": "Новый", "custom_fields_values": given_values})
    assert (answer.status_code, answer.json()) == (400, invalid(*errors))


@pytest.mark.parametrize(
    "case",
    [
        (272427, "текст", ("InvalidType", "values", _typed("array"))),
        (272427, [], ("TooFew", "values", "This collection should contain 1 element or more.")),
        (272427, [{"value": "а"}, {"value": "б"}], ("TooMany", "values", ONE)),
        (269473, [{"enum_id": 381857}, {"enum_id": 381859}], ("TooMany", "values", ONE)),
        (272441, [{"enum_id": 391011}, {"enum_id": 391013}], ("TooMany", "values", ONE)),
        (272427, ["текст"], ("InvalidType", "values.0", _typed("object"))),
        (272427, [{}], ("FieldMissing", "values.0.value", MISSING)),
        (272427, [{"value": 12424}], ("InvalidType", "values.0.value", _typed("string"))),
        (272427, [{"value": None}], ("InvalidType", "values.0.value", _typed("string"))),
        (272427, [{"value": ""}], ("IsBlank", "values.0.value", "This value should not be blank.")),
        (272429, [{"value": 7}], ("InvalidType", "values.0.value", _typed("string"))),
        (272429, [{"value": "семь"}], ("InvalidFormat", "values.0.value", NOT_VALID)),
        (272429, [{"value": "7,5"}], ("InvalidFormat", "values.0.value", NOT_VALID)),
        (269471, [{"value": 1}], ("InvalidType", "values.0.value", _typed("bool"))),
        (269471, [{"value": "true"}], ("InvalidType", "values.0.value", _typed("bool"))),
        (272433, [{"value": "16.05.2020"}], ("InvalidFormat", "values.0.value", NOT_VALID)),
        (272433, [{"value": "2020-05-16"}], ("InvalidFormat", "values.0.value", NOT_VALID)),
        (272433, [{"value": "2020-13-16T10:48:48Z"}], ("InvalidFormat", "values.0.value", NOT_VALID)),
        (272435, [{"value": 1589615328.5}], ("InvalidType", "values.0.value", _typed("int"))),
        (272435, [{"value": True}], ("InvalidType", "values.0.value", _typed("int"))),
        (269473, [{}], ("FieldMissing", "values.0.value", MISSING)),
        (269473, [{"enum_id": 1}], ("NotSupportedChoice", "values.0.enum_id", NO_CHOICE)),
        (269473, [{"enum_id": "381857"}], ("InvalidType", "values.0.enum_id", _typed("int"))),
        (269473, [{"enum_code": "PHONE"}], ("NotSupportedChoice", "values.0.enum_code", NO_CHOICE)),
        (272441, [{"enum_code": 5}], ("InvalidType", "values.0.enum_code", _typed("string"))),
        (272431, [{"enum_id": 387477}, {"value": "Робуста"}], ("NotSupportedChoice", "values.1.value", NO_CHOICE)),
    ],
)
async def test_an_invalid_custom_field_value_is_refused_with_its_path(
    shop: Sandbox, admin: AsyncClient, case: tuple[int, Any, tuple[str, str, str]]
) -> None:
    field_id, values, (code, path, detail) = case
    body = {"name": "Новый", "custom_fields_values": [{"field_id": field_id, "values": values}]}
    answer = await admin.post(SEGMENTS, json=body)
    assert (answer.status_code, answer.json()) == (400, invalid((code, f"custom_fields_values.0.{path}", detail)))
    assert 96 not in shop.account.segments


async def test_updating_one_custom_field_keeps_the_others_in_the_order_of_the_fields(
    shop: Sandbox, admin: AsyncClient
) -> None:
    await admin.patch(
        f"{SEGMENTS}/54",
        json={
            "custom_fields_values": [
                {"field_id": 272443, "values": [{"value": "Тверь"}]},
                {"field_id": 269471, "values": [{"value": True}]},
            ]
        },
    )
    assert shop.account.segments[54]["custom_fields_values"] == [
        _stored(269471, "Участвует в рассылке", "MAILING", "checkbox", {"value": True}),
        _stored(272429, "Скидка, %", "DISCOUNT", "numeric", {"value": "10"}),
        _stored(272443, "Адрес кофейни", None, "streetaddress", {"value": "Тверь"}),
    ]


@pytest.mark.parametrize(
    "values", [None, [{"field_id": 272429, "values": None}], [{"field_code": "DISCOUNT", "values": None}]]
)
async def test_null_values_clear_a_custom_field_and_a_null_list_clears_all(
    shop: Sandbox, admin: AsyncClient, values: Any
) -> None:
    answer = await admin.patch(f"{SEGMENTS}/54", json={"custom_fields_values": values})
    assert answer.json()["custom_fields_values"] == shop.account.segments[54]["custom_fields_values"] == []


async def test_an_empty_list_of_custom_fields_changes_none(shop: Sandbox, admin: AsyncClient) -> None:
    before = shop.account.segments[54]["custom_fields_values"]
    answer = await admin.patch(f"{SEGMENTS}/54", json={"custom_fields_values": []})
    assert (answer.status_code, answer.json()["custom_fields_values"]) == (200, before)
    assert shop.account.segments[54]["updated_at"] == 1700000000


async def test_a_segment_with_null_custom_fields_can_be_given_a_value(shop: Sandbox, admin: AsyncClient) -> None:
    body = {"custom_fields_values": [{"field_id": 272427, "values": [{"value": "теперь есть"}]}]}
    answer = await admin.patch(f"{SEGMENTS}/60", json=body)
    stored = [_stored(272427, "Комментарий", None, "text", {"value": "теперь есть"})]
    assert answer.json()["custom_fields_values"] == stored


@pytest.mark.parametrize("zone", ["Bogus/Zone", "", None, 3, "America", "../x"])
async def test_a_day_is_taken_as_it_comes_in_an_account_whose_zone_is_none(
    zone: object, shop: Sandbox, admin: AsyncClient
) -> None:
    shop.account.profile["datetime_settings"]["timezone"] = zone
    body = {"custom_fields_values": [{"field_id": 272433, "values": [{"value": 1_800_000_000}]}]}
    answer = await admin.patch(f"{SEGMENTS}/51", json=body)
    sent = [value["values"] for value in answer.json()["custom_fields_values"] if value["field_id"] == 272433]
    assert (answer.status_code, sent) == (200, [[{"value": 1_800_000_000}]])


SHOP = Sandbox().account
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
VALUES = st.lists(
    st.dictionaries(st.sampled_from(["value", "enum_id", "enum_code"]), JSON, max_size=2) | JSON, max_size=2
)


@settings(max_examples=100, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(field_id=st.sampled_from(sorted(SHOP.fields)), values=VALUES | JSON)
def test_any_json_value_of_a_custom_field_is_accepted_or_refused_with_a_reason(field_id: int, values: Any) -> None:
    validation = Validation({"custom_fields_values": [{"field_id": field_id, "values": values}]})
    custom_fields.validate(SHOP, validation)
    accepted = validation.values["custom_fields_values"].get(field_id)
    assert validation.errors or (accepted is None) == (values is None)
    assert all(error["path"].startswith("custom_fields_values.0") for error in validation.errors)
