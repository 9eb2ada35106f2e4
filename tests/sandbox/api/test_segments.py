import json

import pytest

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
BLANK = ("IsBlank", "name", "This value should not be blank.")
TOO_LONG = ("TooLong", "name", "This value is too long. It should have 255 characters or less.")
NOT_A_STRING = ("InvalidType", "name", "This value should be of type string.")
NO_NAME = ("FieldMissing", "name", "This field is missing.")
NO_CHOICE = "The value you selected is not a valid choice."


async def test_a_segment_is_created_from_a_name_alone_and_answered_whole(shop, admin):
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


async def test_a_segment_keeps_what_it_is_given_and_ignores_what_it_does_not_know(shop, admin):
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
async def test_a_wrong_segment_is_refused_with_every_reason(shop, admin, invalid, body, errors):
    before = json.dumps(shop.account.document())
    answer = await admin.post(SEGMENTS, json=body)
    assert (answer.status_code, answer.json()) == (400, invalid(*errors))
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.dumps(shop.account.document()) == before


@pytest.mark.parametrize("body", [[{"name": "Новый"}], "Новый", 5, True])
@pytest.mark.parametrize(("method", "path"), [("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")])
async def test_a_segment_is_written_as_one_object_only(admin, bad_request, method, path, body):
    answer = await admin.request(method, path, json=body)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data must be an object"))


@pytest.mark.parametrize("content", [b"", b"  ", b"{}", b"[]", b"null"])
@pytest.mark.parametrize(("method", "path"), [("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")])
async def test_a_body_that_asks_for_nothing_is_refused(admin, bad_request, method, path, content):
    answer = await admin.request(method, path, content=content)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data can not be empty"))


@pytest.mark.parametrize("body", [{"unknown": 1}, {"request_id": "мой"}, {"customers_count": 3}])
async def test_a_change_of_nothing_known_is_refused(shop, admin, bad_request, body):
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
async def test_a_body_that_is_not_json_is_refused(shop, admin, bad_request, content):
    answer = await admin.post(SEGMENTS, content=content)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data is not valid JSON"))
    assert shop.requests[-1].body is None


async def test_there_are_at_most_100_segments(shop, admin, bad_request):
    created = [await admin.post(SEGMENTS, json={"name": f"Сегмент {number}"}) for number in range(86)]
    assert [answer.status_code for answer in created] == [200] * 85 + [400]
    assert created[-1].json() == bad_request("Limit of 100 segments exceeded")
    assert len(shop.account.segments) == 100
    await admin.delete(f"{SEGMENTS}/51")
    assert (await admin.post(SEGMENTS, json={"name": "Ещё один"})).status_code == 200


async def test_a_segment_is_changed_at_the_time_of_the_change_and_answered_whole(shop, admin, clock):
    clock.now += 86400.9
    before = dict(shop.account.segments[51])
    answer = await admin.patch(f"{SEGMENTS}/51", json={"name": "VIP-клиенты", "request_id": "мой", "id": 5})
    changed = {**before, "name": "VIP-клиенты", "updated_at": 1700086400}
    link = {"_links": {"self": {"href": f"https://example.amocrm.ru{SEGMENTS}/51"}}}
    assert (answer.status_code, answer.json()) == (200, {**changed, **link})
    assert shop.account.segments[51] == changed


async def test_a_color_and_prices_are_changed_each_alone(shop, admin):
    await admin.patch(f"{SEGMENTS}/51", json={"color": "ae003f"})
    await admin.patch(f"{SEGMENTS}/51", json={"available_products_price_types": []})
    segment = shop.account.segments[51]
    assert (segment["name"], segment["color"], segment["available_products_price_types"]) == ("VIP", "ae003f", [])


async def test_a_wrong_change_is_refused_under_its_own_request_id(shop, admin, invalid):
    before = json.dumps(shop.account.document())
    answer = await admin.patch(f"{SEGMENTS}/51", json={"name": "", "color": "ae003f", "request_id": "мой"})
    assert (answer.status_code, answer.json()) == (400, invalid(BLANK, request_id="мой"))
    assert json.dumps(shop.account.document()) == before


async def test_changing_an_unknown_segment_is_not_found(admin):
    answer = await admin.patch(f"{SEGMENTS}/1", json={"name": "Новое имя"})
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "title": "Not Found",
            "type": "https://httpstatus.es/404",
            "status": 404,
            "detail": f"Cannot PATCH https://example.amocrm.ru{SEGMENTS}/1",
        },
    )


async def test_a_segment_is_deleted_once(shop, admin, invalid):
    first = await admin.delete(f"{SEGMENTS}/51")
    second = await admin.delete(f"{SEGMENTS}/51")
    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()) == (400, invalid(("NotSupportedChoice", "id", NO_CHOICE)))
    assert 51 not in shop.account.segments
    assert (await admin.get(f"{SEGMENTS}/51")).status_code == 204


async def test_an_id_is_never_given_twice(admin):
    first = (await admin.post(SEGMENTS, json={"name": "Первый"})).json()["id"]
    await admin.delete(f"{SEGMENTS}/{first}")
    second = (await admin.post(SEGMENTS, json={"name": "Второй"})).json()["id"]
    assert (first, second) == (96, 99)


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5_000_000])
async def test_a_body_over_a_mebibyte_is_refused(shop, admin, size):
    async def pieces():
        yield b" " * size

    declared = await admin.post(SEGMENTS, content=b" " * size)
    streamed = await admin.post(SEGMENTS, content=pieces())
    document = {
        "title": "Payload Too Large",
        "type": "https://httpstatus.es/413",
        "status": 413,
        "detail": "Payload Too Large",
    }
    assert (declared.status_code, declared.json()) == (streamed.status_code, streamed.json()) == (413, document)
    assert [(request.status, request.body) for request in shop.requests] == [(413, None)] * 2


async def test_a_body_of_exactly_a_mebibyte_is_read(admin):
    padded = json.dumps({"name": "Большой"}).encode().ljust(1024 * 1024)
    assert (await admin.post(SEGMENTS, content=padded)).status_code == 200
