"""What each endpoint tool answers when amoCRM will not: one closed code, whether anything was changed, what to do."""

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from amo_mcp.sandbox import USER_TOKEN, Fault, Sandbox
from tests.conftest import Person, Serve, answer, error

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
NOTHING = "Nothing was changed."


@dataclass(frozen=True)
class Call:
    """A tool, arguments that would work, and the endpoint that it is there for."""

    tool: str
    arguments: dict[str, Any]
    mode: str
    method: str
    path: str

    @property
    def writes(self) -> bool:
        return self.method != "GET"


DRAFT = {"name": "Второй визит", "sort": 100}
CALLS = (
    Call("list_statuses", {}, "periodicity", "GET", STATUSES),
    Call("get_status", {"status_id": 4740013}, "periodicity", "GET", f"{STATUSES}/4740013"),
    Call("create_statuses", {"statuses": [DRAFT]}, "periodicity", "POST", STATUSES),
    Call("update_status", {"status_id": 4740013, "name": "Х"}, "periodicity", "PATCH", f"{STATUSES}/4740013"),
    Call("delete_status", {"status_id": 4740013}, "periodicity", "DELETE", f"{STATUSES}/4740013"),
    Call("list_segments", {}, "segments", "GET", SEGMENTS),
    Call("get_segment", {"segment_id": 51}, "segments", "GET", f"{SEGMENTS}/51"),
    Call("create_segment", {"name": "Гости"}, "segments", "POST", SEGMENTS),
    Call("update_segment", {"segment_id": 51, "name": "Х"}, "segments", "PATCH", f"{SEGMENTS}/51"),
    Call("delete_segment", {"segment_id": 51}, "segments", "DELETE", f"{SEGMENTS}/51"),
)
WRITES = tuple(call for call in CALLS if call.writes)


def failure(code: str, message: str, hint: str | None, *, retryable: bool = False, **more: Any) -> dict[str, Any]:
    hinted = {"hint": hint} if hint else {}
    return {"code": code, "message": f"{message} {NOTHING}", "retryable": retryable, **hinted, **more}


def placed(tool: str, failure: dict[str, Any]) -> dict[str, Any]:
    """What the API says of one part of a batch, with the part's place."""
    if tool != "create_statuses" or "fields" not in failure:
        return failure
    fields = [{**item, "path": f"statuses.0.{item['path']}"} if item["path"] else item for item in failure["fields"]]
    return {**failure, "fields": fields}


def rejected(status: int, *fields: tuple[str, str]) -> dict[str, Any]:
    more: dict[str, Any] = {"fields": [{"path": path, "detail": detail} for path, detail in fields]} if fields else {}
    return failure(
        "rejected",
        f"amoCRM did not accept the request (status {status}).",
        "See fields for what amoCRM said of each part." if fields else None,
        **more,
    )


def wrong_mode(needed: str, actual: str, hint: str) -> dict[str, Any]:
    message = f"This needs the customers mode `{needed}`, and the account is in `{actual}`."
    return failure("mode_disabled", message, hint)


NOT_FOUND = failure(
    "not_found",
    "No segment or status in this account has that id.",
    "List the segments or statuses to find the id.",
)
UNAUTHORIZED = failure(
    "unauthorized",
    "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked.",
    "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`. "
    "If the account was renamed, its address (AMO_BASE_URL) has to be the new one.",
)
FORBIDDEN = failure(
    "forbidden",
    "The signed-in user may not do this: only an account administrator can make changes.",
    "Use a token of an administrator.",
)
UNPAID = failure(
    "payment_required",
    "The account's subscription does not include this, or has not been paid.",
    "The account's owner can check the subscription in amoCRM.",
)
BLOCKED = failure(
    "blocked",
    "amoCRM's gateway refuses every request of this integration or address.",
    "Stop calling for now: trying again makes it last longer. If it stays, write to amoCRM's support.",
)
LIMITED = failure("rate_limited", "Too many requests for amoCRM.", "Wait, then call again once.", retryable=True)


def limited(seconds: float) -> dict[str, Any]:
    message = f"Too many requests for amoCRM. amoCRM asks to wait {seconds:g} seconds. {NOTHING}"
    return {**LIMITED, "message": message, "retry_after": seconds}


def unavailable(reason: str) -> dict[str, Any]:
    return failure("unavailable", f"amoCRM {reason}.", "Try again in a minute.", retryable=True)


def moved(reason: str, *, may_pass: bool) -> dict[str, Any]:
    hint = "Check the account's address (AMO_BASE_URL): the account may have been renamed."
    if may_pass:
        return failure("unavailable", f"amoCRM {reason}.", f"Try again in a minute. {hint}", retryable=True)
    return failure("unavailable", f"amoCRM {reason}.", hint)


def outcome_unknown(reason: str) -> dict[str, Any]:
    return {
        "code": "outcome_unknown",
        "message": f"The change was sent, but amoCRM {reason}. It may or may not have been made.",
        "retryable": False,
        "hint": "Read or list the target to see what is there before anything is sent again.",
    }


def invalid(*entries: tuple[str, str, str]) -> str:
    """The 400 that names what is wrong, as the API writes it."""
    errors = [{"code": code, "path": path, "detail": detail} for path, code, detail in entries]
    return json.dumps({"validation-errors": [{"request_id": "0", "errors": errors}], "status": 400, "detail": "Х"})


REFUSALS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"status": 400}, rejected(400, ("", "Bad Request"))),
    ({"status": 400, "body": "{}"}, rejected(400)),
    (
        {"status": 400, "body": invalid(("name", "IsBlank", "Пусто."), ("color", "NotSupportedChoice", ""))},
        rejected(400, ("name", "Пусто."), ("color", "NotSupportedChoice")),
    ),
    ({"status": 400, "body": invalid(("id", "NotSupportedChoice", "No."))}, NOT_FOUND),
    ({"status": 401}, UNAUTHORIZED),
    ({"status": 401, "html": True}, UNAUTHORIZED),
    ({"status": 402}, UNPAID),
    ({"status": 403}, FORBIDDEN),
    ({"status": 403, "html": True}, BLOCKED),
    ({"status": 403, "body": " <html>", "content_type": "text/plain"}, BLOCKED),
    ({"status": 404}, NOT_FOUND),
    ({"status": 405}, rejected(405)),
    ({"status": 413}, rejected(413, ("", "Payload Too Large"))),
    ({"status": 413, "html": True}, rejected(413)),
    ({"status": 422}, rejected(422, ("", "Unprocessable Entity"))),
    ({"status": 429, "html": True}, LIMITED),
    ({"status": 429, "html": True, "headers": {"Retry-After": "7"}}, limited(7)),
    ({"retry_after": 3}, limited(3)),
]
"""Faults that last, and what every tool makes of them. Only a 429 is tried again."""


@dataclass(frozen=True)
class NoAnswer:
    """A fault that lasts and has no effect, and what is made of it.

    Attributes:
        fault: the keyword arguments of a `Fault`.
        reason: what is said of it.
        reads: how often a read is sent.
        writes: how often a write that can be repeated is sent.
        settled: whether the API has surely finished with it, so that the account can be looked at.
        moved: whether the account's address is what a person has to check.
    """

    fault: dict[str, Any]
    reason: str
    reads: int = 4
    writes: int = 4
    settled: bool = True
    moved: bool = False


NO_ANSWERS = (
    NoAnswer({"status": 500}, "answered with the status 500", writes=1),
    NoAnswer({"status": 502, "html": True}, "answered with the status 502"),
    NoAnswer({"status": 503}, "answered with the status 503"),
    NoAnswer({"status": 504, "html": True}, "answered with the status 504", settled=False),
    NoAnswer({"status": 404, "html": True}, "answered with a page that is not the API's (status 404)", moved=True),
    NoAnswer({"status": 404, "body": "Нет"}, "answered with a page that is not the API's (status 404)", moved=True),
    NoAnswer(
        {"status": 302, "headers": {"Location": "/api/v4/account"}},
        "redirected the request to another address (status 302)",
        reads=1,
        writes=1,
        moved=True,
    ),
    NoAnswer(
        {"status": 307, "headers": {"Location": "https://renamed.amocrm.ru/api/v4/account"}},
        "redirected the request to renamed.amocrm.ru (status 307)",
        reads=1,
        writes=1,
        moved=True,
    ),
    NoAnswer({"status": 200, "html": True}, "answered with a page that is not the API's (status 200)"),
    NoAnswer(
        {"status": 201, "body": "{}", "content_type": "text/html"},
        "answered with a page that is not the API's (status 201)",
    ),
    NoAnswer({"drop": "before"}, "closed the connection before responding"),
)


def outcomes(call: Call) -> list[tuple[dict[str, Any], dict[str, Any], int]]:
    """Faults with what the tool answers and how many requests it sends to its endpoint."""
    refused = [
        (fault, refusal(call, fault, expected), 4 if expected["code"] == "rate_limited" else 1)
        for fault, expected in REFUSALS
    ]
    return refused + [(item.fault, *outcome(call, item)) for item in NO_ANSWERS]


def refusal(call: Call, fault: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What the tool answers to a refusal; no creation is told that its entity is not there."""
    if call.method != "POST" or expected is not NOT_FOUND:
        return expected
    return rejected(404, ("", "Not Found")) if fault["status"] == 404 else rejected(400, ("id", "No."))


def outcome(call: Call, lost: NoAnswer) -> tuple[dict[str, Any], int]:
    """What the tool answers when no answer came, and how many requests it sends."""
    answered = moved(lost.reason, may_pass=lost.reads > 1) if lost.moved else unavailable(lost.reason)
    if not call.writes:
        return answered, lost.reads
    if not lost.settled:
        answered = outcome_unknown(lost.reason)
    # A creation is sent once more only when it was looked and nothing was made.
    return answered, 1 + lost.settled if call.method == "POST" else lost.writes


@pytest.mark.exhaustive
@pytest.mark.requirement("ERROR-1", "ERROR-3", "ERROR-7")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_every_refusal_of_every_endpoint_becomes_its_code(mode: str, era: str, serve: Serve) -> None:
    sandbox = Sandbox(mode=mode)
    before = deepcopy(sandbox.account.document())
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        for call in (call for call in CALLS if call.mode == mode):
            for fault, expected, attempts in outcomes(call):
                sandbox.requests.clear()
                sandbox.faults.clear()
                sandbox.faults.add(Fault(method=call.method, path=call.path, times=0, **fault))
                answered = error(await client.call_tool(call.tool, call.arguments))
                assert (call.tool, fault, answered) == (call.tool, fault, placed(call.tool, expected))
                asked = [request.partition("?")[0] for request in served.requests()]
                assert (call.tool, fault, asked.count(f"{call.method} {call.path}")) == (call.tool, fault, attempts)
                assert ("GET /api/v4/account" in asked) == (fault.get("status") == 422)
                assert len(served.writes()) == (attempts if call.writes else 0)
    assert sandbox.account.document() == before


async def test_nothing_is_sent_while_amocrm_asks_for_a_long_wait(era: str, sandbox: Sandbox, serve: Serve) -> None:
    before = deepcopy(sandbox.account.document())
    sandbox.faults.add(Fault(method="POST", retry_after=300))
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        assert error(await client.call_tool("create_segment", {"name": "Гости"})) == limited(300)
        sent = served.requests()
        for call in CALLS:
            answered = error(await client.call_tool(call.tool, call.arguments))
            assert answered["code"] == "rate_limited"
            assert answered["message"].startswith("Too many requests for amoCRM. amoCRM asks to wait ")
            assert 290 < answered["retry_after"] <= 300
    assert served.requests() == sent
    assert sandbox.account.document() == before


@pytest.mark.requirement("ERROR-8")
@pytest.mark.parametrize("lost", [{"drop": "after"}, {"drop": "body"}, {"status": 500, "after_effect": True}], ids=str)
async def test_a_write_whose_answer_is_lost_is_found_done(
    lost: dict[str, Any], era: str, sandbox: Sandbox, serve: Serve
) -> None:
    expected = {
        "create_statuses": ("statuses", [{"name": "Второй визит"}]),
        "update_status": ("after", {"id": 4740013, "name": "Х"}),
        "delete_status": ("deleted", {"id": 4740013, "name": "Х"}),
        "create_segment": ("segment", {"name": "Гости"}),
        "update_segment": ("after", {"id": 51, "name": "Х"}),
        "delete_segment": ("deleted", {"id": 51, "name": "Х"}),
    }
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        for call in WRITES:
            sandbox.account.mode = call.mode
            sandbox.requests.clear()
            sandbox.faults.add(Fault(method=call.method, **lost))
            answered = answer(await client.call_tool(call.tool, call.arguments))
            key, part = expected[call.tool]
            found = answered[key][0] if isinstance(answered[key], list) else answered[key]
            wanted = part[0] if isinstance(part, list) else part
            assert (call.tool, {name: found[name] for name in wanted}) == (call.tool, wanted)
            # It is looked for before it is sent again.
            assert served.writes() == [f"{call.method} {call.path}"]
    account = sandbox.account
    assert [status["name"] for status in account.statuses.values()].count("Второй визит") == 1
    assert [segment["name"] for segment in account.segments.values()].count("Гости") == 1
    assert (4740013 in account.statuses, 51 in account.segments) == (False, False)


async def test_a_change_whose_answer_is_lost_is_reported_as_the_account_shows_it(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    reason = "answered with the status 500"
    values = [{"field_id": 272429, "values": [{"value": "11"}]}, {"field_id": 272427, "values": []}]
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        sandbox.faults.add(Fault(method="PATCH", status=500, after_effect=True))
        answered = answer(await client.call_tool("update_segment", {"segment_id": 51, "custom_fields_values": values}))
        shown = {field["field_id"]: field["values"] for field in answered["after"]["custom_fields_values"]}
        assert (shown[272429], 272427 in shown) == ([{"value": "11"}], False)

        sandbox.account.mode = "periodicity"
        sandbox.faults.add(Fault(method="PATCH", status=500, after_effect=True))
        moved = await client.call_tool("update_status", {"status_id": 4740013, "sort": 5})
        # The account renumbers positions, so that another position than before says nothing of ours.
        assert error(moved) == outcome_unknown(reason)
        sandbox.faults.add(Fault(method="PATCH", status=500))
        unmoved = await client.call_tool("update_status", {"status_id": 4740016, "sort": 5})
        assert error(unmoved) == unavailable(reason)


@pytest.mark.requirement("ERROR-8")
async def test_a_write_is_outcome_unknown_when_the_account_cannot_be_read_either(era: str, serve: Serve) -> None:
    for mode in ("segments", "periodicity"):
        sandbox = Sandbox(mode=mode)
        async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
            for call in (call for call in WRITES if call.mode == mode):
                reads = 1 if call.method == "POST" else 2
                sandbox.faults.clear()
                sandbox.faults.add(Fault(method=call.method, times=0, status=500, after_effect=True))
                sandbox.faults.add(Fault(method="GET", path="*/customers/*", skip=reads, times=0, status=500))
                sandbox.requests.clear()
                answered = error(await client.call_tool(call.tool, call.arguments))
                assert (call.tool, answered) == (call.tool, outcome_unknown("answered with the status 500"))
                assert served.writes() == [f"{call.method} {call.path}"]


HINTS = {
    "segments": "Work with the segments instead.",
    "periodicity": "Work with the statuses instead.",
    "disabled": "Customers have to be switched on in amoCRM's settings.",
    "unavailable": "Customers have to be switched on in amoCRM's settings.",
    "dynamic": "Customers have to be switched on in amoCRM's settings.",
}


@pytest.mark.requirement("ERROR-6")
async def test_a_tool_of_another_mode_says_which_mode_is_needed_and_which_is_on(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, served.client(era, person) as client:
        for mode, hint in HINTS.items():
            sandbox.account.mode = mode
            before = deepcopy(sandbox.account.document())
            others = [call for call in CALLS if call.mode != mode]
            answered = {call.tool: error(await client.call_tool(call.tool, call.arguments)) for call in others}
            assert answered == {call.tool: wrong_mode(call.mode, mode, hint) for call in others}
            assert sandbox.account.document() == before
    assert (person.asked, served.writes()) == ([], [])


async def test_a_422_stays_a_rejection_when_the_mode_is_right_or_cannot_be_found_out(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.faults.add(Fault(path="/api/v4/account", status=500, times=0))
    sandbox.account.mode = "periodicity"
    detail = "Не включен функционал сегментации для покупателей"
    async with serve(sandbox) as served, served.client(era) as client:
        assert error(await client.call_tool("get_segment", {"segment_id": 51})) == rejected(422, ("", detail))
    assert served.requests() == [f"GET {SEGMENTS}/51", *["GET /api/v4/account"] * 4]


async def test_a_user_who_is_no_administrator_can_read_but_not_write(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox, token=USER_TOKEN) as served, served.client(era, Person("yes")) as client:
        for call in CALLS:
            sandbox.account.mode = call.mode
            before = deepcopy(sandbox.account.document())
            answered = answer(await client.call_tool(call.tool, call.arguments))
            assert (call.tool, answered.get("error")) == (call.tool, FORBIDDEN if call.writes else None)
            assert sandbox.account.document() == before
    assert served.writes() == [f"{call.method} {call.path}" for call in WRITES]


async def test_a_token_that_the_account_does_not_know_is_unauthorized_everywhere(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    before = deepcopy(sandbox.account.document())
    person = Person("yes")
    async with serve(sandbox, token="of-another-account") as served, served.client(era, person) as client:
        answered = {call.tool: error(await client.call_tool(call.tool, call.arguments)) for call in CALLS}
    assert answered == {call.tool: UNAUTHORIZED for call in CALLS}
    assert (person.asked, served.writes()) == ([], [])
    assert sandbox.account.document() == before


async def test_an_unknown_id_is_not_found_and_no_question_is_asked(era: str, sandbox: Sandbox, serve: Serve) -> None:
    person = Person("yes")
    named = [call for call in CALLS if set(call.arguments) & {"segment_id", "status_id"}]
    async with serve(sandbox) as served, served.client(era, person) as client:
        for call in named:
            sandbox.account.mode = call.mode
            for unknown in (1, 2**63 - 1):
                arguments = {key: unknown if key.endswith("_id") else value for key, value in call.arguments.items()}
                assert error(await client.call_tool(call.tool, arguments)) == NOT_FOUND
    assert (len(named), person.asked, served.writes()) == (6, [], [])


@pytest.mark.requirement("ERROR-4")
async def test_a_name_that_the_account_does_not_take_is_rejected_with_what_it_said(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    long = {"name": "х" * 256}
    problem = ("name", "This value is too long. It should have 255 characters or less.")
    tried: list[tuple[str, str, dict[str, Any]]] = [
        ("periodicity", "create_statuses", {"statuses": [{**DRAFT, **long}]}),
        ("periodicity", "update_status", {"status_id": 4740013, **long}),
        ("segments", "create_segment", long),
        ("segments", "update_segment", {"segment_id": 51, **long}),
    ]
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        for mode, tool, arguments in tried:
            sandbox.account.mode = mode
            before = deepcopy(sandbox.account.document())
            assert error(await client.call_tool(tool, arguments)) == placed(tool, rejected(400, problem))
            assert sandbox.account.document() == before
    assert len(served.writes()) == len(tried)


@pytest.mark.requirement("ERROR-4")
async def test_a_price_field_that_the_catalogue_does_not_have_is_rejected(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    before = deepcopy(sandbox.account.document())
    prices = {"available_products_price_types": [288891, 5]}
    refusal = rejected(400, ("available_products_price_types.1", "The value you selected is not a valid choice."))
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        assert error(await client.call_tool("create_segment", {"name": "Гости", **prices})) == refusal
        assert error(await client.call_tool("update_segment", {"segment_id": 51, **prices})) == refusal
    assert sandbox.account.document() == before


GRINDS = "381857 «В зёрнах», 381859 «Для турки», 381861 «Для фильтра»"
CHANNELS = "391011 «Телефон», 391013 «Почта», 391015 «Мессенджер»"
NO_FIELD = (
    "is not a field that segments of this account have; the fields are: 269471 «Участвует в рассылке» (MAILING), "
    "269473 «Любимый помол», 272427 «Комментарий», 272429 «Скидка, %» (DISCOUNT), 272431 «Любимые сорта» (BEANS), "
    "272433 «Начало акции» (PROMO_START), 272435 «Последний пересчёт», 272437 «Страница предложения» (LANDING), "
    "272439 «Описание сегмента» (DESCRIPTION), 272441 «Канал связи» (CHANNEL), 272443 «Адрес кофейни»"
)
CHOICES = "the choices are:"
NO_DATE = 'it takes a date such as "2026-11-22", or with a time "2026-11-22T09:30:00Z"'
NO_FLAG = 'it is a checkbox, and takes "true" or "false"'
NO_NUMBER = 'it takes a number such as "12.5"'
ONE_OF = "field 272441 needs exactly one of value, enum_id and enum_code"
TEXT: dict[str, Any] = {"field_id": 272427}
GRIND: dict[str, Any] = {"field_id": 269473}
CHANNEL: dict[str, Any] = {"field_id": 272441}
UNFIT: list[tuple[dict[str, Any], list[dict[str, Any]], str, str]] = [
    ({"field_id": 1}, [{"value": "x"}], "", f"field 1 {NO_FIELD}"),
    ({"field_code": "mailing"}, [], "", f"field mailing {NO_FIELD}"),
    ({"field_id": 269473, "field_code": "BEANS"}, [], "", f"field 269473 with the code BEANS {NO_FIELD}"),
    ({}, [{"value": "x"}], "", "needs a field_id or a field_code"),
    ({"field_id": 269471}, [{"value": "maybe"}], ".values.0", f"field 269471 cannot take «maybe»: {NO_FLAG}"),
    ({"field_id": 272429}, [{"value": "много"}], ".values.0", f"field 272429 cannot take «много»: {NO_NUMBER}"),
    ({"field_id": 272429}, [{"value": ""}], ".values.0", "field 272429 takes no empty value; values: [] clears it"),
    ({"field_id": 272433}, [{"value": "22.11.2026"}], ".values.0", f"field 272433 cannot take «22.11.2026»: {NO_DATE}"),
    ({"field_id": 272435}, [{"value": "завтра"}], ".values.0", f"field 272435 cannot take «завтра»: {NO_DATE}"),
    (GRIND, [{"value": "Молотый"}], ".values.0", f"field 269473 has no choice «Молотый»; {CHOICES} {GRINDS}"),
    (GRIND, [{"enum_id": 391011}], ".values.0", f"field 269473 has no choice 391011; {CHOICES} {GRINDS}"),
    (
        GRIND,
        [{"enum_id": 381857}, {"enum_id": 381859}],
        ".values",
        "field 269473 takes one value, not 2: it is of type select",
    ),
    (CHANNEL, [{"enum_code": "FAX"}], ".values.0", f"field 272441 has no choice «FAX»; {CHOICES} {CHANNELS}"),
    (CHANNEL, [{"value": "Почта", "enum_id": 391013}], ".values.0", ONE_OF),
    (CHANNEL, [{}], ".values.0", ONE_OF),
    (TEXT, [{"enum_id": 381857}], ".values.0", "field 272427 takes a value, not a choice: it is of type text"),
    (TEXT, [{}], ".values.0", "field 272427 needs a value"),
]
"""A field, values that it cannot take, where the problem is and what it is."""


@pytest.mark.requirement("ARG-8")
async def test_a_value_that_its_field_cannot_take_is_refused_with_what_it_can_take_and_nothing_is_written(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, served.client(era, person) as client:
        for field, values, place, detail in UNFIT:
            given = {"custom_fields_values": [{**field, "values": values}]}
            created = error(await client.call_tool("create_segment", {"name": "Гости", **given}))
            changed = error(await client.call_tool("update_segment", {"segment_id": 51, **given}))
            assert changed == created
            assert (created["code"], created["fields"]) == (
                "invalid_arguments",
                [{"path": f"custom_fields_values.0{place}", "detail": detail}],
            )
            assert created["message"].endswith(f". {NOTHING}")
    assert (person.asked, served.writes()) == ([], [])
    assert set(served.requests()) == {f"GET {SEGMENTS}/custom_fields?page=1&limit=250"}
