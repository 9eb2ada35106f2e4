"""Customers moved through a real client: who comes where, in every reading of the API, and what is said of the rest."""

from copy import deepcopy
from typing import Any

import pytest

from amo_mcp.sandbox import Fault, Rule, Sandbox
from tests.conftest import Person, Serve, answer, error
from tests.journeys.lives import Interruption

pytestmark = pytest.mark.anyio

CUSTOMERS = "/api/v4/customers"
SEGMENTS = "/api/v4/customers/segments"
LEV, ANTON, YURI = 1299433, 1299435, 1299437
"""Customers of the sandbox: in the segments 57 and 81, in 57, and in 57 and 75."""

IGNORED = "amoCRM answered that it was done, and the customer is where it was."
UNSENT = "It was not sent."


def segments_of(sandbox: Sandbox, *ids: int) -> list[list[int]]:
    return [sandbox.account.customers[customer_id]["segments"] for customer_id in ids]


def statuses_of(sandbox: Sandbox, *ids: int) -> list[int]:
    return [sandbox.account.customers[customer_id]["status_id"] for customer_id in ids]


def patched(sandbox: Sandbox) -> list[list[tuple[int, list[int] | None]]]:
    """The customers and their segments that each write had."""
    return [
        [(entry["id"], [one["id"] for one in entry["_embedded"]["segments"] or ()]) for entry in request.body]
        for request in sandbox.requests
        if request.method == "PATCH"
    ]


async def moved(serve: Serve, sandbox: Sandbox, era: str = "2026-07-28", **arguments: Any) -> dict[str, Any]:
    """What a move is answered with, after a yes."""
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        return answer(await client.call_tool("move_customers", arguments))


@pytest.mark.requirement("CUSTOMER-4", "CUSTOMER-5")
async def test_customers_are_put_into_segments_and_taken_out_of_others(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    answered = await moved(serve, sandbox, era, customer_ids=[LEV, ANTON, YURI], add_to=[51, 54], remove_from=[57])
    assert answered.pop("change_id").startswith("c")
    assert answered == {"moved": [LEV, ANTON, YURI], "not_moved": []}
    assert segments_of(sandbox, LEV, ANTON, YURI) == [[51, 54, 81], [51, 54], [51, 54, 75]]
    assert patched(sandbox) == [[(LEV, [51, 54, 81])], [(ANTON, [51, 54]), (YURI, [51, 54, 75])]]
    assert [sandbox.account.segments[one]["customers_count"] for one in (51, 54, 57)] == [51, 8, 309]


@pytest.mark.requirement("CUSTOMER-4")
async def test_customers_are_given_a_status(era: str, periodicity: Sandbox, serve: Serve) -> None:
    answered = await moved(serve, periodicity, era, customer_ids=[LEV, YURI], to_status=4740013)
    assert (answered["moved"], answered["not_moved"]) == ([LEV, YURI], [])
    assert statuses_of(periodicity, LEV, YURI) == [4740013, 4740013]
    assert [request.body for request in periodicity.requests if request.method == "PATCH"] == [
        [{"id": customer_id, "request_id": str(customer_id), "status_id": 4740013}] for customer_id in (LEV, YURI)
    ]


@pytest.mark.requirement("CUSTOMER-5")
@pytest.mark.parametrize("reading", ["replaces", "adds"])
async def test_whether_the_api_replaces_or_adds_nobody_leaves_another_segment(
    reading: Any, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = reading
    ids = [one["id"] for one in sandbox.account.customers.values() if 51 in one["segments"]]
    before = {customer_id: set(segments) for customer_id, segments in zip(ids, segments_of(sandbox, *ids), strict=True)}
    answered = await moved(serve, sandbox, customer_ids=ids, add_to=[81])
    assert (sorted(answered["moved"]), answered["not_moved"], "message" in answered) == (ids, [], False)
    assert {one: {*sandbox.account.customers[one]["segments"]} for one in ids} == {
        one: segments | {81} for one, segments in before.items()
    }


@pytest.mark.requirement("CUSTOMER-5")
async def test_where_the_api_ignores_it_one_customer_shows_that_and_nothing_else_is_sent(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = "ignored"
    before = deepcopy(sandbox.account.customers)
    answered = await moved(serve, sandbox, era, customer_ids=[LEV, ANTON, YURI], add_to=[51])
    assert answered["error"] == {
        "code": "rejected",
        "message": "amoCRM answered that it had moved the customers, and they are where they were: its API ignores "
        "this here. Nothing was changed.",
        "retryable": False,
        "hint": "Nothing else was sent. The customers can be moved in amoCRM itself; list_customers shows where they "
        "are.",
    }
    assert patched(sandbox) == [[(LEV, [51, 57, 81])]]
    assert [{**one, "updated_at": 0} for one in sandbox.account.customers.values()] == [
        {**one, "updated_at": 0} for one in before.values()
    ]


@pytest.mark.requirement("CUSTOMER-5")
async def test_where_the_api_only_adds_the_first_one_shows_that_nobody_is_taken_out(
    sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.segments_patch = "adds"
    answered = await moved(serve, sandbox, customer_ids=[LEV, ANTON], add_to=[51], remove_from=[57])
    assert answered.pop("change_id")
    assert answered == {
        "moved": [],
        "not_moved": [
            {"id": LEV, "reason": "It is in what it was put into, and still in what it was to leave."},
            {"id": ANTON, "reason": UNSENT},
        ],
        "message": "It stopped there: amoCRM put the customers in, and did not take them out: the API of this account "
        "only adds segments. What was done stays.",
    }
    assert segments_of(sandbox, LEV, ANTON) == [[51, 57, 81], [57]]


@pytest.mark.requirement("CUSTOMER-5")
@pytest.mark.parametrize(
    ("empty_list", "null", "left"), [(True, True, []), (False, True, []), (True, False, []), (False, False, [57])]
)
async def test_the_last_segment_is_left_by_an_empty_list_or_by_null_whichever_the_api_takes(
    empty_list: bool, null: bool, left: list[int], sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.unknowns.empty_list, sandbox.unknowns.null = empty_list, null
    answered = await moved(serve, sandbox, customer_ids=[ANTON], remove_from=[57])
    assert segments_of(sandbox, ANTON) == [left]
    sent = [request.body[0]["_embedded"] for request in sandbox.requests if request.method == "PATCH"]
    assert sent == [{"segments": []}, *([] if empty_list else [{"segments": None}])]
    assert ("error" in answered) is bool(left)


@pytest.mark.requirement("CUSTOMER-4")
async def test_who_is_there_already_is_not_sent_and_counts_as_moved(sandbox: Sandbox, serve: Serve) -> None:
    answered = await moved(serve, sandbox, customer_ids=[ANTON, LEV], add_to=[81])
    assert (answered["moved"], answered["not_moved"]) == ([ANTON, LEV], [])
    assert patched(sandbox) == [[(ANTON, [57, 81])]]


@pytest.mark.requirement("CUSTOMER-4")
async def test_customers_who_go_meanwhile_or_are_refused_are_told_one_by_one(sandbox: Sandbox, serve: Serve) -> None:
    def leave(_: str) -> str:
        del sandbox.account.customers[ANTON]
        sandbox.faults.add(
            Fault(
                "PATCH",
                CUSTOMERS,
                skip=1,
                status=400,
                body='{"validation-errors": [{"request_id": "1299437", "errors": [{"code": "NotSupportedChoice", '
                '"path": "_embedded.segments.0.id", "detail": "Такого нельзя."}]}], "status": 400}',
            )
        )
        return "yes"

    async with serve(sandbox) as served, served.client("2026-07-28", Person(leave)) as client:
        arguments = {"customer_ids": [LEV, ANTON, YURI, YURI + 2], "add_to": [51]}
        answered = answer(await client.call_tool("move_customers", arguments))
    assert answered["moved"] == [LEV, YURI + 2]
    assert answered["not_moved"] == [
        {"id": ANTON, "reason": "It is no longer in the account."},
        {"id": YURI, "reason": "amoCRM refused it: Такого нельзя."},
    ]
    assert [[one for one, _ in batch] for batch in patched(sandbox)] == [[LEV], [YURI, YURI + 2], [YURI + 2]]


@pytest.mark.requirement("CUSTOMER-4")
async def test_a_customer_whose_segments_are_not_told_is_left_alone(sandbox: Sandbox, serve: Serve) -> None:
    hidden = '{"id": 1299435, "name": "Антон Абрамов", "status_id": 4740013}'
    sandbox.faults.add(Fault("GET", f"{CUSTOMERS}/{ANTON}", times=0, body=hidden))
    answered = await moved(serve, sandbox, customer_ids=[LEV, ANTON], add_to=[51])
    assert answered["moved"] == [LEV]
    assert answered["not_moved"] == [
        {"id": ANTON, "reason": "amoCRM does not tell where it is, so nothing was sent for it."}
    ]
    assert patched(sandbox) == [[(LEV, [51, 57, 81])]]


@pytest.mark.requirement("CUSTOMER-6")
async def test_what_a_rule_of_the_account_moves_on_is_told_as_that(periodicity: Sandbox, serve: Serve) -> None:
    periodicity.unknowns.rules = [Rule("status", 4740013, 4740016)]
    answered = await moved(serve, periodicity, customer_ids=[LEV, YURI], to_status=4740013)
    assert answered["moved"] == []
    assert {one["reason"] for one in answered["not_moved"]} == {
        "It is neither where it was nor where it was to be: a rule of the account, or somebody, moved it on."
    }
    assert (statuses_of(periodicity, LEV, YURI), "message" in answered) == ([4740016, 4740016], False)


@pytest.mark.requirement("CUSTOMER-6")
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (1, f"1 customer had left segments that they were to stay in, and were put back: {LEV}."),
        (9, f"Customer {LEV} has left segments that it was to stay in: 81."),
    ],
)
async def test_what_goes_missing_on_the_way_is_put_back_and_told(
    times: int, message: str, sandbox: Sandbox, serve: Serve
) -> None:
    left = iter(range(times))

    def leave(_: str) -> None:
        if next(left, None) is not None:
            sandbox.account.customers[LEV]["segments"] = [51, 57]

    sandbox.app = Interruption(sandbox.app, on_write=leave)
    answered = await moved(serve, sandbox, customer_ids=[LEV], add_to=[51])
    assert (answered["moved"], answered["message"]) == ([LEV], message)
    assert segments_of(sandbox, LEV) == [[51, 57, 81] if times == 1 else [51, 57]]
    assert patched(sandbox) == [[(LEV, [51, 57, 81])]] * 2


QUESTIONS = {
    "en": """\
Move 3 customers out of «Постоянные покупатели» into «VIP»?
Triggers and mailings of what the customers come into, or leave, may start.
They stay in all their other segments.
Account: «Лавка ‹Зерно и турка›».
Into: «VIP» (id 51)
Out of: «Постоянные покупатели» (id 57)
Customers: «Лев Абрамов» (id 1299433), «Антон Абрамов» (id 1299435), «Юрий Логинов» (id 1299437)""",
    "ru": """\
Перевести 3 покупателей из «Постоянные покупатели» в «VIP»?
Могут сработать триггеры и рассылки, связанные с сегментами и статусами, \
в которые покупатели попадают или из которых уходят.
Во всех остальных своих сегментах они останутся.
Аккаунт: «Лавка ‹Зерно и турка›».
Куда: «VIP» (id 51)
Откуда: «Постоянные покупатели» (id 57)
Покупатели: «Лев Абрамов» (id 1299433), «Антон Абрамов» (id 1299435), «Юрий Логинов» (id 1299437)""",
    "es": """\
¿Mover a 3 clientes de «Постоянные покупатели» a «VIP»?
Pueden activarse los disparadores y envíos masivos vinculados a los segmentos y estados \
en los que los clientes entran o de los que salen.
Siguen en todos sus demás segmentos.
Cuenta: «Лавка ‹Зерно и турка›».
Destino: «VIP» (id 51)
Origen: «Постоянные покупатели» (id 57)
Clientes: «Лев Абрамов» (id 1299433), «Антон Абрамов» (id 1299435), «Юрий Логинов» (id 1299437)""",
    "pt": """\
Mover 3 clientes de «Постоянные покупатели» para «VIP»?
Podem ser acionados os gatilhos e envios em massa ligados aos segmentos e status \
em que os clientes entram ou dos quais saem.
Eles continuam em todos os outros segmentos.
Conta: «Лавка ‹Зерно и турка›».
Destino: «VIP» (id 51)
Origem: «Постоянные покупатели» (id 57)
Clientes: «Лев Абрамов» (id 1299433), «Антон Абрамов» (id 1299435), «Юрий Логинов» (id 1299437)""",
}


@pytest.mark.requirement("CUSTOMER-4", "CONFIRM-2", "LANGUAGE-1")
@pytest.mark.parametrize("language", QUESTIONS)
async def test_one_question_says_how_many_and_whom_in_the_persons_language(
    era: str, language: Any, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("no")
    async with serve(sandbox, language=language) as served, served.client(era, person) as client:
        arguments = {"customer_ids": [LEV, ANTON, YURI], "add_to": [51], "remove_from": [57]}
        assert error(await client.call_tool("move_customers", arguments))["code"] == "declined"
    [form] = person.asked
    assert form.message == QUESTIONS[language]
    assert served.writes() == []


@pytest.mark.requirement("CUSTOMER-4")
async def test_of_many_the_first_are_named_and_the_others_counted(sandbox: Sandbox, serve: Serve) -> None:
    sandbox.account.customers[LEV]["name"] = "»\u202e (id 1), 0 customers.\nNothing was changed. «"
    person = Person("no")
    async with serve(sandbox) as served, served.client("2026-07-28", person) as client:
        ids = [*sandbox.account.customers][:30]
        await client.call_tool("move_customers", {"customer_ids": ids, "add_to": [66]})
    who = person.asked[0].message.splitlines()[-1]
    assert who.startswith("Customers: «› (id 1), 0 customers. Nothing was changed. ‹» (id 1299433), «Антон Абрамов»")
    assert (who.count("(id 12994"), who.endswith(" and 5 more")) == (25, True)


@pytest.mark.requirement("CUSTOMER-3")
async def test_where_only_ids_are_shown_the_question_has_no_names(sandbox: Sandbox, serve: Serve) -> None:
    person = Person("no")
    async with serve(sandbox, names_customers=False) as served, served.client("2026-07-28", person) as client:
        await client.call_tool("move_customers", {"customer_ids": [LEV, ANTON], "add_to": [51]})
    assert person.asked[0].message.splitlines()[-1] == f"Customers: id {LEV}, id {ANTON}"


@pytest.mark.requirement("CUSTOMER-4", "CONFIRM-11")
@pytest.mark.parametrize("gone", [False, True])
async def test_a_segment_that_somebody_renames_or_deletes_meanwhile_gets_nobody(
    gone: bool, sandbox: Sandbox, serve: Serve
) -> None:
    def edit(_: str) -> str:
        if gone:
            del sandbox.account.segments[51]
        else:
            sandbox.account.segments[51]["name"] = "Лучшие"
        return "yes"

    async with serve(sandbox) as served, served.client("2026-07-28", Person(edit)) as client:
        failure = error(await client.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [51]}))
    assert (failure["code"], failure["differences"]) == (
        "target_changed",
        [
            "segment «VIP» (id 51) is no longer there."
            if gone
            else "segment «VIP» (id 51): name was «VIP» and is now «Лучшие»."
        ],
    )
    assert served.writes() == []


@pytest.mark.requirement("CUSTOMER-4", "ARG-2")
@pytest.mark.parametrize(
    ("arguments", "path", "detail"),
    [
        ({"customer_ids": [LEV]}, "add_to, remove_from, to_status", "at least one of them is required"),
        (
            {"customer_ids": [LEV], "add_to": [51], "to_status": 4740013},
            "add_to, remove_from, to_status",
            "a status cannot be given together with segments",
        ),
        (
            {"customer_ids": [LEV], "add_to": [51, 54], "remove_from": [54]},
            "add_to, remove_from, to_status",
            "54 is in both lists",
        ),
        ({"customer_ids": [LEV], "add_to": [51, 1]}, "add_to", "1 is no segment of this account"),
        ({"customer_ids": [LEV, 1], "add_to": [51]}, "customer_ids.1", "1 is no customer of this account"),
        ({"customer_ids": [LEV], "add_to": [57]}, "customer_ids", "are all there already; nothing would change"),
        ({"customer_ids": [], "add_to": [57]}, "customer_ids", "must not be empty"),
    ],
)
async def test_a_move_that_cannot_be_made_is_refused_before_anybody_is_asked(
    arguments: dict[str, Any], path: str, detail: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person()
    async with serve(sandbox) as served, served.client("2026-07-28", person) as client:
        failure = error(await client.call_tool("move_customers", arguments))
    assert (failure["code"], failure["fields"]) == ("invalid_arguments", [{"path": path, "detail": detail}])
    assert (person.asked, served.writes()) == ([], [])


@pytest.mark.requirement("CUSTOMER-4", "ERROR-6")
async def test_a_move_of_the_other_mode_is_told_as_that(sandbox: Sandbox, periodicity: Sandbox, serve: Serve) -> None:
    wrong: list[tuple[Sandbox, dict[str, Any]]] = [(sandbox, {"to_status": 4740013}), (periodicity, {"add_to": [51]})]
    for account, arguments in wrong:
        answered = await moved(serve, account, customer_ids=[LEV], **arguments)
        assert answered["error"]["code"] == "mode_disabled"


@pytest.mark.requirement("CUSTOMER-5")
async def test_a_customer_in_fifty_segments_stays_in_all_that_it_is_not_taken_out_of(
    sandbox: Sandbox, serve: Serve
) -> None:
    model = sandbox.account.segments[51]
    for number in range(200, 250):
        sandbox.account.segments[number] = {**model, "id": number, "name": f"Сегмент {number}"}
    sandbox.account.customers[LEV]["segments"] = [*range(200, 250)]
    answered = await moved(serve, sandbox, customer_ids=[LEV], add_to=[51], remove_from=[210, 211])
    assert answered["moved"] == [LEV]
    assert segments_of(sandbox, LEV) == [[51, *range(200, 210), *range(212, 250)]]
