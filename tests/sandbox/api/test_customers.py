"""Customers of the sandbox: found, moved, and moved again by rules of the account, in each reading of the unknown."""

from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from amo_mcp.sandbox import Rule, Sandbox
from tests.clock import Clock
from tests.sandbox.bodies import invalid, problem
from tests.sandbox.conftest import BASE_URL, client_of

pytestmark = pytest.mark.anyio

CUSTOMERS = "/api/v4/customers"
STATUSES = f"{CUSTOMERS}/statuses"
SEGMENTS = f"{CUSTOMERS}/segments"
UNKNOWN = ("NotSupportedChoice", "The value you selected is not a valid choice.")


def _listed(answer: Response) -> list[Any]:
    return list(answer.json()["_embedded"]["customers"])


def _segments(ids: list[int], **further: object) -> dict[str, Any]:
    return {"_embedded": {"segments": [{"id": segment_id} for segment_id in ids]}, **further}


async def _segments_of(client: AsyncClient, customer_id: int) -> list[int]:
    customer = (await client.get(f"{CUSTOMERS}/{customer_id}")).json()
    return [segment["id"] for segment in customer["_embedded"]["segments"]]


async def test_a_customer_is_answered_with_its_segments_without_being_asked_for_them(admin: AsyncClient) -> None:
    answer = await admin.get(f"{CUSTOMERS}/1299433")
    assert answer.json() == {
        "id": 1299433,
        "name": "Лев Абрамов",
        "next_price": 0,
        "next_date": None,
        "responsible_user_id": 504141,
        "status_id": 4740010,
        "periodicity": 0,
        "created_by": 0,
        "updated_by": 0,
        "created_at": 1600044142,
        "updated_at": 1600044142,
        "closest_task_at": None,
        "is_deleted": False,
        "custom_fields_values": None,
        "ltv": 0,
        "purchases_count": 0,
        "average_check": 0,
        "account_id": 28805383,
        "_links": {"self": {"href": f"{BASE_URL}{CUSTOMERS}/1299433"}},
        "_embedded": {
            "segments": [
                {"id": segment_id, "_links": {"self": {"href": f"{BASE_URL}{SEGMENTS}/{segment_id}"}}}
                for segment_id in (57, 81)
            ],
            "tags": [],
        },
    }
    assert (await admin.get(f"{CUSTOMERS}/1")).status_code == 204


async def test_customers_are_listed_fifty_to_a_page_without_a_total(admin: AsyncClient) -> None:
    document = (await admin.get(CUSTOMERS)).json()
    customers = document.pop("_embedded")["customers"]
    assert (len(customers), customers[0]) == (50, (await admin.get(f"{CUSTOMERS}/1299433")).json())
    assert document == {
        "_page": 1,
        "_links": {
            "self": {"href": f"{BASE_URL}{CUSTOMERS}?page=1&limit=50"},
            "next": {"href": f"{BASE_URL}{CUSTOMERS}?page=2&limit=50"},
        },
    }


async def test_pages_of_at_most_250_hold_every_customer_once_and_then_there_is_none(
    shop: Sandbox, admin: AsyncClient
) -> None:
    pages = [await admin.get(CUSTOMERS, params={"limit": 300, "page": page}) for page in (1, 2, 3)]
    assert [len(_listed(page)) for page in pages[:2]] == [250, 150]
    assert [customer["id"] for page in pages[:2] for customer in _listed(page)] == sorted(shop.account.customers)
    assert ("next" in pages[1].json()["_links"], pages[2].status_code) == (False, 204)


async def test_a_query_finds_a_part_of_a_name_in_any_case(admin: AsyncClient) -> None:
    names = [customer["name"] for customer in _listed(await admin.get(CUSTOMERS, params={"query": "КОФЕЙНЯ"}))]
    assert sorted(names) == ["Кофейня «Точка»", "Кофейня «У дома»"]
    assert (await admin.get(CUSTOMERS, params={"query": "никто"})).status_code == 204


@pytest.mark.parametrize(
    "query", ["filter[status_id]=4740013", "filter[status_id][0]=4740013", "filter[status_id][]=4740013"]
)
async def test_the_filter_by_status_is_heeded_only_where_the_account_has_it(
    shop: Sandbox, admin: AsyncClient, query: str
) -> None:
    without = (await admin.get("/api/v4/account?with=is_api_filter_enabled")).json()["is_api_filter_enabled"]
    ignored = _listed(await admin.get(f"{CUSTOMERS}?limit=250&{query}"))
    shop.unknowns.api_filter = True
    having = (await admin.get("/api/v4/account?with=a,is_api_filter_enabled")).json()["is_api_filter_enabled"]
    heeded = _listed(await admin.get(f"{CUSTOMERS}?limit=250&{query}"))
    assert (without, len(ignored)) == (False, 250)
    assert (having, len(heeded), {customer["status_id"] for customer in heeded}) == (True, 12, {4740013})
    assert "is_api_filter_enabled" not in (await admin.get("/api/v4/account")).json()


async def test_one_filter_takes_several_statuses(shop: Sandbox, admin: AsyncClient) -> None:
    shop.unknowns.api_filter = True
    listed = _listed(await admin.get(f"{CUSTOMERS}?filter[status_id][0]=4740013&filter[status_id][1]=4740016"))
    assert {customer["status_id"] for customer in listed} == {4740013, 4740016}


@pytest.mark.parametrize("mode", ["disabled", "unavailable"])
async def test_an_account_without_customers_refuses_every_method(mode: str) -> None:
    async with client_of(Sandbox(mode=mode)) as client:
        answers = [await client.get(CUSTOMERS), await client.patch(f"{CUSTOMERS}/1299433", json={"name": "я"})]
    refused = problem(422, "Unprocessable Entity", "Не включен функционал покупателей")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(422, refused)] * 2


async def test_a_plain_user_reads_customers_and_moves_none(shop: Sandbox, reader: AsyncClient) -> None:
    before = repr(shop.account.customers)
    assert (await reader.get(f"{CUSTOMERS}/1299433")).status_code == 200
    answers = [await reader.patch(path, json=_segments([51])) for path in (CUSTOMERS, f"{CUSTOMERS}/1299433")]
    assert ([answer.status_code for answer in answers], repr(shop.account.customers)) == ([403, 403], before)


async def test_many_customers_are_moved_at_once_and_the_response_has_no_more_than_their_ids(
    shop: Sandbox, admin: AsyncClient, clock: Clock
) -> None:
    answer = await admin.patch(
        CUSTOMERS,
        json=[
            {"id": 1299433, "status_id": 4740013, "request_id": "мой"},
            {"id": 1299435, "name": "Другой", **_segments([51, 57])},
        ],
    )
    assert answer.json() == {
        "_links": {"self": {"href": f"{BASE_URL}{CUSTOMERS}"}},
        "_embedded": {
            "customers": [
                {
                    "id": customer_id,
                    "updated_at": int(clock.now),
                    "request_id": request_id,
                    "_links": {"self": {"href": f"{BASE_URL}{CUSTOMERS}/{customer_id}"}},
                }
                for customer_id, request_id in ((1299433, "мой"), (1299435, "1"))
            ]
        },
    }
    assert [shop.account.customers[customer_id] for customer_id in (1299433, 1299435)] == [
        {
            "id": 1299433,
            "name": "Лев Абрамов",
            "status_id": 4740013,
            "segments": [57, 81],
            "updated_at": int(clock.now),
        },
        {"id": 1299435, "name": "Другой", "status_id": 4740013, "segments": [51, 57], "updated_at": int(clock.now)},
    ]
    assert [shop.account.segments[segment_id]["customers_count"] for segment_id in (51, 57, 81)] == [49, 312, 87]


async def test_one_customer_is_moved_by_its_own_address(admin: AsyncClient, clock: Clock) -> None:
    answer = await admin.patch(f"{CUSTOMERS}/1299433", json=_segments([51], id=5))
    assert answer.json() == {
        "id": 1299433,
        "updated_at": int(clock.now),
        "request_id": "0",
        "_links": {"self": {"href": f"{BASE_URL}{CUSTOMERS}/1299433"}},
    }
    assert await _segments_of(admin, 1299433) == [51]
    assert (await admin.patch(f"{CUSTOMERS}/1", json=_segments([51]))).status_code == 404


async def test_250_customers_are_taken_in_one_request_and_no_more(shop: Sandbox, admin: AsyncClient) -> None:
    entries = [{"id": customer_id, "status_id": 4740013} for customer_id in list(shop.account.customers)[:251]]
    above = await admin.patch(CUSTOMERS, json=entries)
    assert (above.status_code, above.json()["detail"]) == (422, "Limit 250 per page")
    assert len([one for one in shop.account.customers.values() if one["status_id"] == 4740013]) == 12
    within = await admin.patch(CUSTOMERS, json=entries[:250])
    assert (within.status_code, len(_listed(within))) == (200, 250)


@pytest.mark.parametrize(
    ("entry", "errors"),
    [
        ("я", [("InvalidType", "", "This value should be of type object.")]),
        ({"status_id": 4740013}, [("FieldMissing", "id", "This field is missing.")]),
        ({"id": 1}, [(UNKNOWN[0], "id", UNKNOWN[1])]),
        ({"id": 1299435, "status_id": 1}, [(UNKNOWN[0], "status_id", UNKNOWN[1])]),
        ({"id": 1299435, "status_id": "1"}, [("InvalidType", "status_id", "This value should be of type int.")]),
        (_segments([51, 1], id=1299435), [(UNKNOWN[0], "_embedded.segments.1.id", UNKNOWN[1])]),
        (
            {"id": 1299435, "_embedded": {"segments": [51]}},
            [("InvalidType", "_embedded.segments.0", "This value should be of type object.")],
        ),
        (
            {"id": 1299435, "_embedded": {"segments": 51}},
            [("InvalidType", "_embedded.segments", "This value should be of type array.")],
        ),
        ({"id": 1299435, "_embedded": []}, [("InvalidType", "_embedded", "This value should be of type object.")]),
    ],
)
async def test_one_wrong_customer_has_the_whole_request_refused(
    shop: Sandbox, admin: AsyncClient, entry: object, errors: list[tuple[str, str, str]]
) -> None:
    before = repr(shop.account.customers)
    answer = await admin.patch(CUSTOMERS, json=[_segments([51], id=1299433), entry])
    assert (answer.status_code, answer.json()) == (400, invalid(*errors, request_id="1"))
    assert repr(shop.account.customers) == before


@pytest.mark.parametrize(
    ("reading", "given", "left"),
    [
        ({}, [51], [51]),
        ({}, [], []),
        ({}, None, []),
        ({"empty_list": False}, [], [57, 81]),
        ({"empty_list": False}, None, []),
        ({"null": False}, None, [57, 81]),
        ({"segments_patch": "adds"}, [51], [51, 57, 81]),
        ({"segments_patch": "adds", "empty_list": False}, [], [57, 81]),
        ({"segments_patch": "ignored"}, [51], [57, 81]),
        ({"segments_patch": "ignored"}, [], [57, 81]),
    ],
)
async def test_every_reading_of_the_segments_in_a_patch_can_be_chosen(
    admin: AsyncClient, reading: dict[str, Any], given: list[int] | None, left: list[int]
) -> None:
    assert (await admin.put("/_sandbox/unknowns", json=reading)).status_code == 200
    body = {"_embedded": {"segments": None}} if given is None else _segments(given)
    answer = await admin.patch(f"{CUSTOMERS}/1299433", json=body)
    assert (answer.status_code, await _segments_of(admin, 1299433)) == (200, left)


async def test_the_switches_are_answered_whole_and_go_back_where_they_are_not_given(
    shop: Sandbox, admin: AsyncClient, reader: AsyncClient
) -> None:
    rule = {"kind": "segment", "id": 51, "to": 57, "after": 5.0}
    answer = await admin.put("/_sandbox/unknowns", json={"api_filter": True, "rules": [rule]})
    assert answer.json() == {
        "api_filter": True,
        "segments_patch": "replaces",
        "empty_list": True,
        "null": True,
        "rules": [rule],
        "status_deleted_after": 30.0,
        "taken_position": "after",
        "status_moves": True,
    }
    assert shop.unknowns.rules == [Rule("segment", 51, 57, 5.0)]
    assert (await admin.put("/_sandbox/unknowns", json={"segments_patch": "adds"})).json()["rules"] == []
    refused = await admin.put("/_sandbox/unknowns", json={"segments_patch": "merges"})
    assert (refused.status_code, shop.unknowns.segments_patch) == (400, "adds")
    assert (await reader.put("/_sandbox/unknowns", json={})).status_code == 403


async def test_a_rule_of_the_account_moves_a_customer_again(shop: Sandbox, admin: AsyncClient, clock: Clock) -> None:
    shop.unknowns.rules = [Rule("segment", 51, 54), Rule("segment", 69, None, 60), Rule("status", 4740013, 4740016, 60)]
    await admin.patch(f"{CUSTOMERS}/1299433", json=_segments([51, 57, 69], status_id=4740013))
    at_once = await _segments_of(admin, 1299433)
    clock.now += 60
    later = (await admin.get(f"{CUSTOMERS}/1299433")).json()
    assert (at_once, await _segments_of(admin, 1299433), later["status_id"]) == ([54, 57, 69], [54, 57], 4740016)
    assert [shop.account.segments[segment_id]["customers_count"] for segment_id in (51, 54, 69)] == [48, 6, 23]


async def test_a_rule_leaves_a_customer_alone_that_has_gone_on_or_away(
    shop: Sandbox, admin: AsyncClient, clock: Clock
) -> None:
    shop.unknowns.rules = [Rule("status", 4740013, 4740016, 60), Rule("segment", 51, None, 60)]
    for customer_id in (1299433, 1299437):
        await admin.patch(f"{CUSTOMERS}/{customer_id}", json=_segments([51], status_id=4740013))
    await admin.patch(f"{CUSTOMERS}/1299433", json=_segments([57], status_id=4740019))
    del shop.account.customers[1299437]
    clock.now += 60
    customer = (await admin.get(f"{CUSTOMERS}/1299433")).json()
    assert (customer["status_id"], await _segments_of(admin, 1299433)) == (4740019, [57])
    assert shop.account.moves == []


async def test_the_customers_of_a_deleted_status_are_in_another_within_some_time(
    periodic: Sandbox, periodic_admin: AsyncClient, clock: Clock
) -> None:
    members = [one["id"] for one in periodic.account.customers.values() if one["status_id"] == 4740013]
    await periodic_admin.delete(f"{STATUSES}/4740013")
    clock.now += 29
    await periodic_admin.get(CUSTOMERS)
    waiting = {periodic.account.customers[customer_id]["status_id"] for customer_id in members}
    clock.now += 1
    await periodic_admin.get(CUSTOMERS)
    moved = {periodic.account.customers[customer_id]["status_id"] for customer_id in members}
    assert (len(members), waiting, moved) == (12, {4740013}, {4740010})


async def test_the_customers_of_a_deleted_segment_are_no_longer_in_it(shop: Sandbox, admin: AsyncClient) -> None:
    await admin.delete(f"{SEGMENTS}/81")
    assert await _segments_of(admin, 1299433) == [57]
    assert all(81 not in customer["segments"] for customer in shop.account.customers.values())
