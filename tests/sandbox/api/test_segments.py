import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.bodies import bad_request, invalid, problem

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
BLANK = ("IsBlank", "name", "This value should not be blank.")
TOO_LONG = ("TooLong", "name", "This value is too long. It should have 255 characters or less.")
NOT_A_STRING = ("InvalidType", "name", "This value should be of type string.")
NO_NAME = ("FieldMissing", "name", "This field is missing.")
NO_CHOICE = "The value you selected is not a valid choice."


async def test_a_segment_is_created_from_a_name_alone_and_returned_whole(shop: Sandbox, admin: AsyncClient) -> None:
    answer = await admin.post(SEGMENTS, json={"name": "Сегмент для примера"})
    created = {
        "id": 96,
        "created_at": 1700000000,
        "updated_at": 1700000000,
        "account_id": 28805383,
        "name": "Сегмент для примера",
        "color": "10599d",
        "available_products_price_types": [],
        "customers_count": 0,
        "custom_fields_values": [],
    }
    link = {"_links": {"self": {"href": f"https://example.amocrm.ru{SEGMENTS}/96"}}}
    assert (answer.status_code, answer.json()) == (200, {**created, **link})
    assert answer.headers["content-type"] == "application/hal+json"
    assert shop.account.segments[96] == created


async def test_a_new_segment_keeps_known_parameters_and_ignores_the_others(shop: Sandbox, admin: AsyncClient) -> None:
    body = {
        "name": " я" * 127 + "я",
        "color": "4f517d",
        "available_products_price_types": [288893, 271211],
        "id": 5,
        "customers_count": 900,
        "request_id": "мой",
        "unknown": {"deep": [1]},
    }
    answer = await admin.post(SEGMENTS, json=body)
    document = answer.json()
    assert {key: document[key] for key in ("id", "name", "color", "available_products_price_types")} == {
        "id": 96,
        "name": body["name"],
        "color": "4f517d",
        "available_products_price_types": [288893, 271211],
    }
    assert document["customers_count"] == 0
    assert "request_id" not in document
    assert "unknown" not in shop.account.segments[96]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"color": "10599d"}, [NO_NAME]),
        ({"name": ""}, [BLANK]),
        ({"name": " \n"}, [BLANK]),
        ({"name": "я" * 256}, [TOO_LONG]),
        ({"name": None}, [NOT_A_STRING]),
        ({"name": 5}, [NOT_A_STRING]),
        ({"name": "н", "color": "#10599d"}, [("NotSupportedChoice", "color", NO_CHOICE)]),
        ({"name": "н", "color": "10599D"}, [("NotSupportedChoice", "color", NO_CHOICE)]),
        ({"name": "н", "color": None}, [("InvalidType", "color", "This value should be of type string.")]),
        (
            {"name": "н", "available_products_price_types": None},
            [("InvalidType", "available_products_price_types", "This value should be of type array.")],
        ),
        (
            {"name": "н", "available_products_price_types": [288891, "288891", True, 7]},
            [
                ("InvalidType", "available_products_price_types.1", "This value should be of type int."),
                ("InvalidType", "available_products_price_types.2", "This value should be of type int."),
                ("NotSupportedChoice", "available_products_price_types.3", NO_CHOICE),
            ],
        ),
        (
            {"name": "", "color": "red"},
            [BLANK, ("NotSupportedChoice", "color", NO_CHOICE)],
        ),
        ({"name": "н", "request_id": 1}, [("InvalidType", "request_id", "This value should be of type string.")]),
    ],
)
async def test_an_invalid_segment_is_refused_with_every_error(
    shop: Sandbox, admin: AsyncClient, body: Any, errors: list[tuple[str, str, str]]
) -> None:
    before = json.dumps(shop.account.document())
    answer = await admin.post(SEGMENTS, json=body)
    assert (answer.status_code, answer.json()) == (400, invalid(*errors))
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.dumps(shop.account.document()) == before


@pytest.mark.parametrize("body", [[{"name": "Новый"}], "Новый", 5, True])
@pytest.mark.parametrize(("method", "path"), [("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")])
async def test_a_segment_must_be_sent_as_one_object(admin: AsyncClient, method: str, path: str, body: Any) -> None:
    answer = await admin.request(method, path, json=body)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data must be an object"))


@pytest.mark.parametrize("content", [b"", b"  ", b"{}", b"[]", b"null"])
@pytest.mark.parametrize(("method", "path"), [("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")])
async def test_an_empty_segment_body_is_refused(admin: AsyncClient, method: str, path: str, content: bytes) -> None:
    answer = await admin.request(method, path, content=content)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data can not be empty"))


@pytest.mark.parametrize("body", [{"unknown": 1}, {"request_id": "мой"}, {"customers_count": 3}])
async def test_a_segment_update_without_known_parameters_is_refused(
    shop: Sandbox, admin: AsyncClient, body: Any
) -> None:
    answer = await admin.patch(f"{SEGMENTS}/51", json=body)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data can not be empty"))
    assert shop.account.segments[51]["updated_at"] == 1591089010


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b'{"name": "\\ud800"}',
        b"[" * 200_000,
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
)
async def test_a_segment_body_that_is_not_json_is_refused(shop: Sandbox, admin: AsyncClient, content: bytes) -> None:
    answer = await admin.post(SEGMENTS, content=content)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data is not valid JSON"))
    assert shop.requests[-1].body is None


async def test_there_are_at_most_100_segments(shop: Sandbox, admin: AsyncClient) -> None:
    created = [await admin.post(SEGMENTS, json={"name": f"Сегмент {number}"}) for number in range(86)]
    assert [answer.status_code for answer in created] == [200] * 85 + [400]
    assert created[-1].json() == bad_request("Limit of 100 segments exceeded")
    assert len(shop.account.segments) == 100
    await admin.delete(f"{SEGMENTS}/51")
    assert (await admin.post(SEGMENTS, json={"name": "Ещё один"})).status_code == 200


async def test_an_updated_segment_is_returned_whole_with_the_time_of_the_change(
    shop: Sandbox, admin: AsyncClient, clock: Clock
) -> None:
    clock.now += 86400.9
    before = dict(shop.account.segments[51])
    answer = await admin.patch(f"{SEGMENTS}/51", json={"name": "VIP-клиенты", "request_id": "мой", "id": 5})
    changed = {**before, "name": "VIP-клиенты", "updated_at": 1700086400}
    link = {"_links": {"self": {"href": f"https://example.amocrm.ru{SEGMENTS}/51"}}}
    assert (answer.status_code, answer.json()) == (200, {**changed, **link})
    assert shop.account.segments[51] == changed


async def test_color_and_price_types_are_updated_independently(shop: Sandbox, admin: AsyncClient) -> None:
    await admin.patch(f"{SEGMENTS}/51", json={"color": "ae003f"})
    await admin.patch(f"{SEGMENTS}/51", json={"available_products_price_types": []})
    segment = shop.account.segments[51]
    assert (segment["name"], segment["color"], segment["available_products_price_types"]) == ("VIP", "ae003f", [])


async def test_an_invalid_segment_update_is_refused_with_its_request_id(shop: Sandbox, admin: AsyncClient) -> None:
    before = json.dumps(shop.account.document())
    answer = await admin.patch(f"{SEGMENTS}/51", json={"name": "", "color": "ae003f", "request_id": "мой"})
    assert (answer.status_code, answer.json()) == (400, invalid(BLANK, request_id="мой"))
    assert json.dumps(shop.account.document()) == before


async def test_updating_an_unknown_segment_is_not_found(admin: AsyncClient) -> None:
    answer = await admin.patch(f"{SEGMENTS}/1", json={"name": "Новое имя"})
    expected = problem(404, "Not Found", f"Cannot PATCH https://example.amocrm.ru{SEGMENTS}/1")
    assert (answer.status_code, answer.json()) == (404, expected)


async def test_deleting_a_segment_twice_is_refused(shop: Sandbox, admin: AsyncClient) -> None:
    first = await admin.delete(f"{SEGMENTS}/51")
    second = await admin.delete(f"{SEGMENTS}/51")
    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()) == (400, invalid(("NotSupportedChoice", "id", NO_CHOICE)))
    assert 51 not in shop.account.segments
    assert (await admin.get(f"{SEGMENTS}/51")).status_code == 204


async def test_a_segment_id_is_never_reused(admin: AsyncClient) -> None:
    first = (await admin.post(SEGMENTS, json={"name": "Первый"})).json()["id"]
    await admin.delete(f"{SEGMENTS}/{first}")
    second = (await admin.post(SEGMENTS, json={"name": "Второй"})).json()["id"]
    assert (first, second) == (96, 99)


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5_000_000])
async def test_a_body_over_a_mebibyte_is_refused(shop: Sandbox, admin: AsyncClient, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b" " * size

    declared = await admin.post(SEGMENTS, content=b" " * size)
    streamed = await admin.post(SEGMENTS, content=pieces())
    document = problem(413, "Payload Too Large", "Payload Too Large")
    assert (declared.status_code, declared.json()) == (streamed.status_code, streamed.json()) == (413, document)
    assert [(request.status, request.body) for request in shop.requests] == [(413, None)] * 2


async def test_a_body_of_exactly_a_mebibyte_is_read(admin: AsyncClient) -> None:
    padded = json.dumps({"name": "Большой"}).encode().ljust(1024 * 1024)
    assert (await admin.post(SEGMENTS, content=padded)).status_code == 200
