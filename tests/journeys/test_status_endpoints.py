"""The five status endpoints through a real client, answer for answer."""

import json
from copy import deepcopy
from typing import Any

import pytest

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, Serve, answer, error

pytestmark = pytest.mark.anyio

STATUSES = "/api/v4/customers/statuses"
ACCOUNT = 28805383


def status(
    status_id: int, name: str, sort: int, color: str, kind: int = 0, conditions: list[Any] | None = None
) -> dict[str, Any]:
    return {
        "id": status_id,
        "name": name,
        "sort": sort,
        "color": color,
        "type": kind,
        "is_default": kind != 0,
        "conditions": conditions or [],
        "account_id": ACCOUNT,
    }


TAGGED = [
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
]
SHOP = [
    status(4740010, "Недавно купили", 0, "#ccff66", 4),
    status(4740013, "Напомнить о помоле", 1, "#ffdc7f"),
    status(4740016, "Ждут новый урожай", 2, "#ffdc7f"),
    status(4740019, "Подписка на зерно", 3, "#ccc8f9", conditions=TAGGED),
    status(
        4740025,
        "Ожидается покупка",
        4,
        "#99ccff",
        1,
        [[{"type": "before_purchase", "match": {"value": 0}, "conditions": [{"value": 0}]}]],
    ),
    status(4740028, "Не купили", 5, "#fd5598", 2),
    status(
        4740031,
        "Закрытые",
        6,
        "#d5d8db",
        3,
        [[{"type": "after_today", "match": {"value": 60}, "conditions": [{"value": 60}]}]],
    ),
]


def written(result: Any) -> dict[str, Any]:
    """What a write answers, without the journal's name of the change, which nobody can tell in advance."""
    answered = answer(result)
    del answered["change_id"]
    return answered


def listing(*statuses: dict[str, Any]) -> str:
    return json.dumps({"_total_items": len(statuses), "_embedded": {"statuses": statuses}})


@pytest.mark.requirement("TOOL-6")
async def test_all_statuses_are_listed_whole_in_one_request(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era) as client:
        assert answer(await client.call_tool("list_statuses", {})) == {"statuses": SHOP, "total": 7, "limit": 30}
    assert served.requests() == [f"GET {STATUSES}"]


@pytest.mark.requirement("TOOL-6")
async def test_statuses_are_listed_by_position_and_then_by_id(era: str, periodicity: Sandbox, serve: Serve) -> None:
    shuffled = [status(9, "в", 1, ""), status(7, "б", 1, ""), status(8, "а", 0, "")]
    periodicity.faults.add(Fault(body=listing(*shuffled)))
    async with serve(periodicity) as served, served.client(era) as client:
        answered = answer(await client.call_tool("list_statuses", {}))
    assert answered == {"statuses": [shuffled[2], shuffled[1], shuffled[0]], "total": 3, "limit": 30}


async def test_an_account_without_statuses_has_an_empty_list(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era) as client:
        for nothing in (Fault(status=204), Fault(body=listing())):
            periodicity.faults.add(nothing)
            assert answer(await client.call_tool("list_statuses", {})) == {"statuses": [], "total": 0, "limit": 30}


async def test_an_empty_200_is_unavailable_and_not_an_empty_list(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era) as client:
        periodicity.faults.add(Fault(body=""))
        failure = error(await client.call_tool("list_statuses", {}))
    assert (failure["code"], failure["message"]) == (
        "unavailable",
        "amoCRM answered with nothing. Nothing was changed.",
    )


@pytest.mark.requirement("TOOL-7", "ARG-4")
async def test_get_status_answers_a_status_with_its_conditions(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era) as client:
        assert answer(await client.call_tool("get_status", {"status_id": 4740019})) == SHOP[3]
        assert answer(await client.call_tool("get_status", {"status_id": "4740025"})) == SHOP[4]
    assert served.requests() == [f"GET {STATUSES}/4740019", f"GET {STATUSES}/4740025"]


async def test_status_keys_that_the_reference_does_not_name_are_kept_and_null_conditions_are_empty(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    links = {"self": {"href": "https://shard151.amocrm.ru/api/v4/customers/statuses/5"}}
    unknown = {"bonus_points_max_discount": 30, "group": {"id": 1}}
    found = {"id": 5, "name": "Х", "sort": 1, "color": "#123456", "conditions": None, "_links": links, **unknown}
    periodicity.faults.add(Fault(body=json.dumps(found)))
    async with serve(periodicity) as served, served.client(era) as client:
        answered = answer(await client.call_tool("get_status", {"status_id": 5}))
    assert answered == {"id": 5, "name": "Х", "sort": 1, "color": "#123456", "conditions": [], **unknown}
    assert served.requests() == [f"GET {STATUSES}/5"]


@pytest.mark.requirement("TOOL-8")
async def test_created_statuses_are_answered_whole_in_the_order_given(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    drafts = [
        {"name": "Второй визит", "sort": 200, "color": "FFFEB2", "request_id": "b"},
        {"name": "Первый визит", "sort": 100, "color": None},
    ]
    async with serve(periodicity) as served, served.client(era) as client:
        answered = written(await client.call_tool("create_statuses", {"statuses": drafts}))
    assert answered == {
        "statuses": [
            status(5649280, "Второй визит", 8, "#fffeb2"),
            status(5649283, "Первый визит", 7, "#fffeb2"),
        ]
    }
    assert served.writes() == [f"POST {STATUSES}"]
    assert [request.body for request in periodicity.requests if request.method == "POST"] == [
        [
            {"name": "Второй визит", "sort": 200, "color": "#fffeb2", "request_id": "b"},
            {"name": "Первый визит", "sort": 100},
        ]
    ]


async def test_statuses_that_cannot_be_read_back_are_shown_as_sent_with_a_note(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    draft = {"name": "Второй визит", "sort": 200, "color": "#fffeb2"}
    refused: dict[str, Any] = {"status": 503, "times": 0}
    absent: dict[str, Any] = {"body": listing(*SHOP)}
    dropped: dict[str, Any] = {"drop": "before", "times": 0}
    async with serve(periodicity) as served, served.client(era) as client:
        for created, lost in enumerate((refused, absent, dropped)):
            periodicity.faults.clear()
            periodicity.faults.add(Fault(method="GET", path=STATUSES, skip=1, **lost))
            assert written(await client.call_tool("create_statuses", {"statuses": [draft]})) == {
                "statuses": [{"id": 5649280 + 3 * created, **draft}],
                "note": "Created, but they could not be read back: what was sent is shown. Do not create them again.",
            }
    assert served.writes() == [f"POST {STATUSES}"] * 3


@pytest.mark.requirement("TOOL-9")
async def test_only_what_was_asked_for_changes_in_a_status(era: str, periodicity: Sandbox, serve: Serve) -> None:
    whole = {"name": "Перезвонить", "sort": 5, "color": "#87f2c0"}
    changes: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        (SHOP[1], {"name": "Позвонить"}, {"name": "Позвонить"}),
        (SHOP[3], {"color": "C1E0FF", "name": None}, {"color": "#c1e0ff"}),
        (SHOP[5], {"name": "Ушли"}, {"name": "Ушли"}),
        (SHOP[6], {"sort": "6"}, {"sort": 6}),
        (SHOP[2], whole, whole),
    ]
    async with serve(periodicity) as served, served.client(era, Person("yes")) as client:
        for before, change, sent in changes:
            answered = written(await client.call_tool("update_status", {"status_id": before["id"], **change}))
            assert answered == {"before": before, "after": {**before, **sent, "request_id": "0"}}
            assert [request.body for request in periodicity.requests if request.method == "PATCH"][-1] == sent
    assert served.writes() == [f"PATCH {STATUSES}/{before['id']}" for before, _, _ in changes]
    assert periodicity.account.statuses[4740019] == {**SHOP[3], "color": "#c1e0ff", "sort": 2}
    assert periodicity.account.statuses[4740016] == {**SHOP[2], **whole}


@pytest.mark.requirement("TOOL-9")
async def test_an_update_of_a_status_without_any_change_is_refused(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(periodicity) as served, served.client(era, person) as client:
        nothing: list[dict[str, Any]] = [{}, {"name": None, "sort": None, "color": None}]
        for change in nothing:
            assert error(await client.call_tool("update_status", {"status_id": 4740013, **change})) == {
                "code": "invalid_arguments",
                "message": "name, sort, color at least one of them is required. Nothing was changed.",
                "retryable": False,
                "hint": "Correct the arguments as fields says and call the tool again.",
                "fields": [{"path": "name, sort, color", "detail": "at least one of them is required"}],
            }
    assert (person.asked, served.requests()) == ([], [])


@pytest.mark.requirement("TOOL-10")
async def test_a_deleted_status_is_answered_as_it_was(era: str, periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, served.client(era, Person("yes")) as client:
        assert written(await client.call_tool("delete_status", {"status_id": 4740019})) == {"deleted": SHOP[3]}
    assert served.writes() == [f"DELETE {STATUSES}/4740019"]
    assert list(periodicity.account.statuses) == [4740010, 4740013, 4740016, 4740025, 4740028, 4740031]


@pytest.mark.requirement("TOOL-10")
async def test_a_system_status_cannot_be_deleted_and_nobody_is_asked(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    before = deepcopy(periodicity.account.document())
    system = [item for item in SHOP if item["is_default"]]
    async with serve(periodicity) as served, served.client(era, person) as client:
        for item in system:
            assert error(await client.call_tool("delete_status", {"status_id": item["id"]})) == {
                "code": "rejected",
                "message": f"«{item['name']}» is a system status, and those cannot be deleted. Nothing was changed.",
                "retryable": False,
                "hint": "It can be renamed, moved and recoloured.",
            }
    assert (person.asked, served.requests()) == ([], [f"GET {STATUSES}" for _ in system])
    assert periodicity.account.document() == before


@pytest.mark.requirement("ARG-5")
async def test_a_status_colour_outside_the_palette_is_refused_before_anything_is_sent(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(periodicity) as served, served.client(era, person) as client:
        for color in ("#ccff66", "ae003f", "#fffeb", "жёлтый", "#"):
            draft = {"name": "Х", "sort": 1, "color": color}
            created = error(await client.call_tool("create_statuses", {"statuses": [draft]}))
            changed = error(await client.call_tool("update_status", {"status_id": 4740013, "color": color}))
            for answered, path in ((created, "statuses.0.color"), (changed, "color")):
                [problem] = answered.pop("fields")
                assert problem == {
                    "path": path,
                    "detail": f"«{color}» is not one of the 21 status colours; they are: "
                    "#fffeb2 #fffd7f #fff000 #ffeab2 #ffdc7f #ffce5a #ffdbdb #ffc8c8 #ff8f92 #d6eaff #c1e0ff "
                    "#98cbff #ebffb1 #deff81 #87f2c0 #f9deff #f3beff #ccc8f9 #eb93ff #f2f3f4 #e6e8ea",
                }
                assert answered == {
                    "code": "invalid_arguments",
                    "message": f"{path} «{color}» is not one of the 21 status colours. Nothing was changed.",
                    "retryable": False,
                    "hint": "Correct the arguments as fields says and call the tool again.",
                }
    assert (person.asked, served.requests()) == ([], [])


@pytest.mark.requirement("ARG-6")
async def test_a_status_colour_is_taken_however_it_is_written(era: str, periodicity: Sandbox, serve: Serve) -> None:
    forms = ["#98cbff", "98cbff", "#98CBFF", " 98CbFf ", "##98cbff"]
    drafts = [{"name": form, "sort": 7, "color": form} for form in forms]
    async with serve(periodicity) as served, served.client(era) as client:
        answered = written(await client.call_tool("create_statuses", {"statuses": drafts}))
    assert [(made["name"], made["color"]) for made in answered["statuses"]] == [(form, "#98cbff") for form in forms]
