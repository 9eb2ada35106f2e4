import json
from typing import Any

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox
from tests.sandbox.bodies import bad_request, invalid, problem
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

STATUSES = "/api/v4/customers/statuses"
URL = f"https://example.amocrm.ru{STATUSES}"
START = [4740010, 4740013, 4740016, 4740019, 4740025, 4740028, 4740031]
NO_CHOICE = "The value you selected is not a valid choice."


def _order(sandbox: Sandbox) -> list[int]:
    """Ids in the order of `sort`, which must be 0, 1, 2 and so on."""
    by_sort = {status["sort"]: status["id"] for status in sandbox.account.statuses.values()}
    return [by_sort[sort] for sort in range(len(sandbox.account.statuses))]


async def test_all_statuses_are_listed_in_order_and_pages_are_ignored(periodic_admin: AsyncClient) -> None:
    answer = await periodic_admin.get(STATUSES, params={"page": 2, "limit": 1})
    document = answer.json()
    statuses = document.pop("_embedded")["statuses"]
    assert document == {"_total_items": 7, "_links": {"self": {"href": URL}}}
    assert [status["id"] for status in statuses] == START
    assert statuses[4] == {
        "id": 4740025,
        "name": "Ожидается покупка",
        "sort": 4,
        "is_default": True,
        "conditions": [[{"type": "before_purchase", "match": {"value": 0}, "conditions": [{"value": 0}]}]],
        "color": "#99ccff",
        "type": 1,
        "account_id": 28805383,
        "_links": {"self": {"href": f"{URL}/4740025"}},
    }
    assert answer.headers["content-type"] == "application/hal+json"


async def test_a_status_is_returned_with_its_conditions(periodic_admin: AsyncClient) -> None:
    answer = await periodic_admin.get(f"{STATUSES}/4740019")
    assert answer.json() == {
        "id": 4740019,
        "name": "Подписка на зерно",
        "sort": 3,
        "is_default": False,
        "conditions": [
            [
                {
                    "type": "tag",
                    "options": {"name": "Теги"},
                    "logic_operator": "or",
                    "conditions": [{"id": 174727, "name": "Подписка на зерно"}],
                    "match": {"value": [174727], "logic": "or"},
                    "tmpl": "tag_customers",
                }
            ],
            [],
        ],
        "color": "#ccc8f9",
        "type": 0,
        "account_id": 28805383,
        "_links": {"self": {"href": f"{URL}/4740019"}},
    }


async def test_an_unknown_status_is_204(periodic_admin: AsyncClient) -> None:
    answer = await periodic_admin.get(f"{STATUSES}/1")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_created_batch_of_statuses_is_returned_by_id_and_request_id(
    periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    body = [
        {"name": "Новый статус", "sort": 200, "color": "#e6e8ea", "type": 4, "is_default": True, "unknown": 1},
        {"name": "Новый статус 2", "sort": 100, "request_id": "мой"},
        {"name": "Новый статус 3", "sort": 1},
    ]
    answer = await periodic_admin.post(STATUSES, json=body)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "_total_items": 3,
            "_links": {"self": {"href": URL}},
            "_embedded": {
                "statuses": [
                    {"id": 5649280, "request_id": "0", "_links": {"self": {"href": f"{URL}/5649280"}}},
                    {"id": 5649283, "request_id": "мой", "_links": {"self": {"href": f"{URL}/5649283"}}},
                    {"id": 5649286, "request_id": "2", "_links": {"self": {"href": f"{URL}/5649286"}}},
                ]
            },
        },
    )
    assert periodic.account.statuses[5649280] == {
        "id": 5649280,
        "name": "Новый статус",
        "sort": 9,
        "is_default": False,
        "conditions": [],
        "color": "#e6e8ea",
        "type": 0,
        "account_id": 28805383,
    }
    assert periodic.account.statuses[5649283]["color"] == "#fffeb2"
    assert _order(periodic) == [4740010, 4740013, 5649286, *START[2:], 5649283, 5649280]


@pytest.mark.parametrize("body", [{"name": "Новый", "sort": 1}, "Новый", 5])
async def test_new_statuses_must_be_sent_as_an_array(periodic_admin: AsyncClient, body: Any) -> None:
    answer = await periodic_admin.post(STATUSES, json=body)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data must be an array"))


@pytest.mark.parametrize("content", [b"[]", b"{}", b""])
async def test_an_empty_batch_of_statuses_is_refused(periodic_admin: AsyncClient, content: bytes) -> None:
    answer = await periodic_admin.post(STATUSES, content=content)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data can not be empty"))


async def test_a_batch_of_more_than_250_statuses_is_refused_before_it_is_validated(periodic_admin: AsyncClient) -> None:
    over = await periodic_admin.post(STATUSES, json=[{}] * 251)
    at_most = await periodic_admin.post(STATUSES, json=[{}] * 250)
    assert (over.status_code, over.json()) == (422, problem(422, "Unprocessable Entity", "Limit 250 per page"))
    assert (at_most.status_code, len(at_most.json()["validation-errors"])) == (400, 250)


async def test_one_invalid_status_rejects_the_batch_and_every_invalid_one_is_named(
    periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    before = json.dumps(periodic.account.document())
    body = [
        {"name": "Хороший", "sort": 1},
        {"sort": "1", "color": "fffeb2", "request_id": "мой"},
        {"name": "", "sort": True, "color": 5, "request_id": 7},
        {"name": "Без места"},
        "Новый",
    ]
    answer = await periodic_admin.post(STATUSES, json=body)
    document = answer.json()
    refused = {
        entry["request_id"]: [tuple(error.values()) for error in entry["errors"]]
        for entry in document["validation-errors"]
    }
    assert answer.status_code == 400
    assert refused == {
        "мой": [
            ("FieldMissing", "name", "This field is missing."),
            ("InvalidType", "sort", "This value should be of type int."),
            ("NotSupportedChoice", "color", NO_CHOICE),
        ],
        "2": [
            ("IsBlank", "name", "This value should not be blank."),
            ("InvalidType", "sort", "This value should be of type int."),
            ("InvalidType", "color", "This value should be of type string."),
            ("InvalidType", "request_id", "This value should be of type string."),
        ],
        "3": [("FieldMissing", "sort", "This field is missing.")],
        "4": [("InvalidType", "", "This value should be of type object.")],
    }
    assert json.dumps(periodic.account.document()) == before


async def test_there_are_at_most_30_statuses_including_system_ones(
    periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    over = await periodic_admin.post(STATUSES, json=[{"name": f"Статус {sort}", "sort": sort} for sort in range(24)])
    assert (over.status_code, over.json()["detail"]) == (422, "Limit of 30 statuses exceeded")
    assert len(periodic.account.statuses) == 7
    fits = await periodic_admin.post(STATUSES, json=[{"name": f"Статус {sort}", "sort": sort} for sort in range(23)])
    assert (fits.status_code, len(periodic.account.statuses)) == (200, 30)


async def test_an_empty_account_has_only_the_system_statuses() -> None:
    async with client_of(Sandbox(mode="periodicity", empty=True)) as client:
        statuses = (await client.get(STATUSES)).json()["_embedded"]["statuses"]
    assert [(status["type"], status["is_default"]) for status in statuses] == [
        (4, True),
        (1, True),
        (2, True),
        (3, True),
    ]


@pytest.mark.parametrize(("sent", "echoed"), [({}, "0"), ({"request_id": "мой"}, "мой")])
async def test_an_updated_status_is_returned_whole_with_its_request_id(
    periodic: Sandbox, periodic_admin: AsyncClient, sent: dict[str, str], echoed: str
) -> None:
    answer = await periodic_admin.patch(
        f"{STATUSES}/4740013", json={"name": "Новое название", "color": "#c1e0ff", "type": 3, **sent}
    )
    changed = {
        "id": 4740013,
        "name": "Новое название",
        "sort": 1,
        "is_default": False,
        "conditions": [],
        "color": "#c1e0ff",
        "type": 0,
        "account_id": 28805383,
    }
    whole = {**changed, "request_id": echoed, "_links": {"self": {"href": f"{URL}/4740013"}}}
    assert (answer.status_code, answer.json()) == (200, whole)
    assert periodic.account.statuses[4740013] == changed


@pytest.mark.parametrize(("sort", "place"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (6, 6), (100, 6), (-5, 0)])
async def test_a_moved_status_takes_the_requested_sort_and_the_others_are_renumbered(
    periodic: Sandbox, periodic_admin: AsyncClient, sort: int, place: int
) -> None:
    answer = await periodic_admin.patch(f"{STATUSES}/4740016", json={"sort": sort})
    others = [status_id for status_id in START if status_id != 4740016]
    assert answer.json()["sort"] == place
    assert _order(periodic) == [*others[:place], 4740016, *others[place:]]


@pytest.mark.parametrize("side", ["after", "before"])
async def test_on_which_side_of_a_taken_position_new_statuses_stand_can_be_chosen(
    side: Any, periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    periodic.unknowns.taken_position = side
    made = await periodic_admin.post(STATUSES, json=[{"name": name, "sort": 2} for name in "АБ"])
    new = [status["id"] for status in made.json()["_embedded"]["statuses"]]
    first = 3 if side == "after" else 2
    assert _order(periodic) == [*START[:first], *new, *START[first:]]


async def test_a_move_can_be_answered_and_not_made(periodic: Sandbox, periodic_admin: AsyncClient) -> None:
    periodic.unknowns.status_moves = False
    answer = await periodic_admin.patch(f"{STATUSES}/4740016", json={"name": "Новое", "sort": 0})
    assert (answer.status_code, answer.json()["sort"], answer.json()["name"]) == (200, 0, "Новое")
    assert _order(periodic) == [*START]
    assert periodic.account.statuses[4740016]["name"] == "Новое"


async def test_a_system_status_can_be_updated(periodic: Sandbox, periodic_admin: AsyncClient) -> None:
    body = {"name": "Отказались", "color": "#ffdbdb", "sort": 0}
    answer = await periodic_admin.patch(f"{STATUSES}/4740028", json=body)
    assert answer.status_code == 200
    assert {**periodic.account.statuses[4740028], **body} == periodic.account.statuses[4740028]


@pytest.mark.parametrize("body", [{}, {"unknown": 1}, {"request_id": "мой"}, {"conditions": []}])
async def test_a_status_update_without_known_parameters_is_refused(periodic_admin: AsyncClient, body: Any) -> None:
    answer = await periodic_admin.patch(f"{STATUSES}/4740013", json=body)
    assert (answer.status_code, answer.json()) == (400, bad_request("Request data can not be empty"))


async def test_an_invalid_status_update_is_refused_and_changes_nothing(
    periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    before = json.dumps(periodic.account.document())
    wrong = await periodic_admin.patch(f"{STATUSES}/4740013", json={"name": "Новое", "color": "#ccff66"})
    array = await periodic_admin.patch(f"{STATUSES}/4740013", json=[{"name": "Новое"}])
    assert (wrong.status_code, wrong.json()) == (400, invalid(("NotSupportedChoice", "color", NO_CHOICE)))
    assert (array.status_code, array.json()) == (400, bad_request("Request data must be an object"))
    assert json.dumps(periodic.account.document()) == before


async def test_updating_an_unknown_status_is_not_found(periodic_admin: AsyncClient) -> None:
    answer = await periodic_admin.patch(f"{STATUSES}/1", json={"name": "Новое"})
    assert (answer.status_code, answer.json()["detail"]) == (404, f"Cannot PATCH {URL}/1")


async def test_deleting_a_status_renumbers_the_others_and_a_second_time_is_refused(
    periodic: Sandbox, periodic_admin: AsyncClient
) -> None:
    first = await periodic_admin.delete(f"{STATUSES}/4740016")
    second = await periodic_admin.delete(f"{STATUSES}/4740016")
    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()) == (400, invalid(("NotSupportedChoice", "id", NO_CHOICE)))
    assert _order(periodic) == [status_id for status_id in START if status_id != 4740016]


@pytest.mark.parametrize("status_id", [4740010, 4740025, 4740028, 4740031])
async def test_a_system_status_can_not_be_deleted(
    periodic: Sandbox, periodic_admin: AsyncClient, status_id: int
) -> None:
    answer = await periodic_admin.delete(f"{STATUSES}/{status_id}")
    assert (answer.status_code, answer.json()) == (400, bad_request("System status can not be deleted"))
    assert status_id in periodic.account.statuses
