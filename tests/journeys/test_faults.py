"""Every write happens once or not at all, and the answer says which, whatever becomes of the request on its call.

Each cell of the table is one tool, one trouble, and how long the trouble lasts. What an account holds afterwards is
compared, whole, with an account where nothing happened and with one where the same call had no trouble.
"""

import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, ClassVar

import anyio
import httpx2
import pytest
from typing_extensions import override

from amo_mcp.amocrm.http import HttpTransport, Response
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.api import segments, statuses
from amo_mcp.sandbox.serving import running
from tests.journeys.lossy import NOTHING, SEGMENTS, STATUSES, Bench, LossyWire, ToolCall, claim_of, is_true, opened

pytestmark = [pytest.mark.anyio, pytest.mark.exhaustive]


class Line(HttpTransport):
    """Connections; the next requests with the methods in `dead` find nobody listening."""

    dead: Sequence[str] = ()

    @override
    async def send(self, method: str, url: str, **more: Any) -> Response:
        if method in self.dead:
            self.dead = self.dead[1:]
            with socket.create_server(("127.0.0.1", 0)) as closed:
                port = closed.getsockname()[1]
            url = f"http://127.0.0.1:{port}{httpx2.URL(url).path}"
        return await super().send(method, url, **more)


class Table:
    """Tries cells of the table on a bench, each in an account of its own."""

    _clean: ClassVar[dict[str, tuple[Any, Any]]] = {}

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def clean(self, call: ToolCall) -> tuple[Any, Any]:
        """The account untouched, and after the call when nothing goes wrong."""
        if str(call) not in self._clean:
            sandbox = self.bench.reset(call.mode)
            untouched = deepcopy(sandbox.account.document())
            assert claim_of(await self.bench.call(call)) == "done"
            self._clean[str(call)] = (untouched, sandbox.account.document())
        return self._clean[str(call)]

    async def tried(self, call: ToolCall, trouble: "Trouble", *, stays: bool) -> tuple[str, bool]:
        """What a call in trouble says became of it, and whether that is so."""
        untouched, done = await self.clean(call)
        sandbox = self.bench.reset(call.mode)
        answered = await self.bench.call(call, partial(trouble.arm, self.bench, call, stays=stays))
        return claim_of(answered), is_true(answered, sandbox.account.document(), untouched, done)


@pytest.fixture
def era() -> str:
    """What happens behind the protocol is tried in its latest era only, unless a test says otherwise."""
    return "2026-07-28"


@pytest.fixture
async def bench(era: str) -> AsyncIterator[Bench]:
    async with opened(era) as bench:
        yield bench


DRAFTS = [{"name": "Второй визит", "sort": 2, "color": "#fff000"}, {"name": "Третий визит", "sort": 9}]
CHANGE = {"name": "Лучшие", "color": "dd1c1a", "custom_fields_values": [{"field_code": "DISCOUNT", "values": []}]}
READS = (
    ToolCall("get_account", {}, "GET", "/api/v4/account"),
    ToolCall("list_segment_fields", {}, "GET", f"{SEGMENTS}/custom_fields"),
    ToolCall("list_statuses", {}, "GET", STATUSES),
    ToolCall("get_status", {"status_id": 4740013}, "GET", f"{STATUSES}/4740013"),
    ToolCall("list_segments", {}, "GET", SEGMENTS),
    ToolCall("get_segment", {"segment_id": 51}, "GET", f"{SEGMENTS}/51"),
    ToolCall("list_customers", {"segment_id": 51}, "GET", "/api/v4/customers"),
)
CREATES = (
    ToolCall("create_statuses", {"statuses": DRAFTS}, "POST", STATUSES),
    ToolCall("create_segment", {"name": "Гости", "color": "b118c8"}, "POST", SEGMENTS),
)
CONFIRMED = tuple(
    ToolCall(tool, arguments, method, path, two_steps)
    for two_steps in (False, True)
    for tool, arguments, method, path in (
        ("update_status", {"status_id": 4740013, "name": "Тёплые", "sort": 0}, "PATCH", f"{STATUSES}/4740013"),
        ("delete_status", {"status_id": 4740016}, "DELETE", f"{STATUSES}/4740016"),
        ("update_segment", {"segment_id": 51, **CHANGE}, "PATCH", f"{SEGMENTS}/51"),
        ("delete_segment", {"segment_id": 51}, "DELETE", f"{SEGMENTS}/51"),
    )
)
WRITES = (*CREATES, *CONFIRMED)


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with the request that a tool is there for, and what the tool says.

    `once` and `stays` name the outcome when it happens once and when it does not stop: "done" or an error's code; one
    word for all methods, or one for each of POST, PATCH, DELETE and GET.
    """

    name: str
    once: str
    stays: str
    fault: dict[str, Any] = field(default_factory=dict)
    silence: str = ""

    def expected(self, call: ToolCall, *, stays: bool) -> str:
        words = (self.stays if stays else self.once).split()
        return words[["POST", "PATCH", "DELETE", "GET"].index(call.method)] if len(words) > 1 else words[0]

    def arm(self, bench: Bench, call: ToolCall, *, stays: bool) -> None:
        """Let it happen to the next request of `call`, or to all of them."""
        times = ALWAYS if stays else 1
        if self.silence == "refused" and isinstance(bench.http, Line):
            bench.http.dead = [call.method] * (4 if stays else 1)
        elif self.silence:
            bench.wire.silence = {call.method: [self.silence] * times}
        else:
            bench.wire.sandbox.faults.add(Fault(call.method, call.path, 0 if stays else 1, **self.fault))


ALWAYS = 20
ANOTHER = json.dumps({"id": 999, "name": "Чужой", "_embedded": {"statuses": [{"id": 999}]}})
PASSES, STAYS = "done", "unavailable"
UNSURE = "outcome_unknown outcome_unknown outcome_unknown unavailable"
FOUND = "done done done unavailable"
ODD_BODIES = ("[]", '"text"', "{}", "null", ANOTHER)
REFUSED = {
    **dict.fromkeys((400, 405, 413, 422), "rejected"),
    401: "unauthorized",
    402: "payment_required",
    403: "forbidden",
    404: "rejected not_found not_found not_found",
}

TROUBLES = (
    Trouble("a reset before the effect", PASSES, STAYS, {"drop": "before"}),
    Trouble("a reset after the effect", PASSES, FOUND, {"drop": "after"}),
    Trouble("a body cut off", PASSES, FOUND, {"drop": "body"}),
    Trouble("a lost request", "outcome_unknown done done done", UNSURE, silence="never"),
    Trouble("the effect, then silence", PASSES, FOUND, silence="after"),
    Trouble("the effect after the silence", "outcome_unknown done done done", UNSURE, silence="late"),
    *(Trouble(str(code), word, word, {"status": code}) for code, word in REFUSED.items()),
    Trouble("403 of the gateway", "blocked", "blocked", {"status": 403, "html": True}),
    Trouble("404 of the gateway", PASSES, STAYS, {"status": 404, "html": True}),
    Trouble("408 before the effect", UNSURE, UNSURE, {"status": 408}),
    Trouble("408 after the effect", FOUND, FOUND, {"status": 408, "after_effect": True}),
    Trouble("429 for a moment", PASSES, "rate_limited", {"retry_after": 5}),
    Trouble("429 for long", "rate_limited", "rate_limited", {"retry_after": 300}),
    Trouble("429 of the gateway", PASSES, "rate_limited", {"status": 429, "html": True}),
    Trouble("500 before the effect", "done unavailable unavailable done", STAYS, {"status": 500}),
    Trouble("500 after the effect", PASSES, FOUND, {"status": 500, "after_effect": True}),
    *(Trouble(f"{code} before the effect", PASSES, STAYS, {"status": code, "html": True}) for code in (502, 503)),
    Trouble("504 before the effect", "outcome_unknown done done done", UNSURE, {"status": 504, "html": True}),
    *(
        Trouble(f"{code} after the effect", PASSES, FOUND, {"status": code, "html": True, "after_effect": True})
        for code in (502, 503, 504)
    ),
    *(
        trouble
        for name, odd in (
            ("HTML for success", {"status": 200, "html": True}),
            ("nothing, of the type of HTML", {"status": 202, "body": "", "content_type": "text/html; charset=utf-8"}),
            ("half a document", {"body": '{"id": 5, "na'}),
        )
        for trouble in (
            Trouble(name, PASSES, STAYS, odd),
            Trouble(f"{name} after the effect", PASSES, FOUND, {**odd, "after_effect": True}),
        )
    ),
)
ODD = tuple(Trouble(f"{body}, effect", "done", "done", {"body": body, "after_effect": True}) for body in ODD_BODIES)
ODD_BEFORE = tuple(Trouble(f"{body}, no effect", UNSURE, UNSURE, {"body": body}) for body in ODD_BODIES)
SHORT, LONG = (trouble for trouble in TROUBLES if trouble.name in ("429 for a moment", "429 for long"))
NOBODY = Trouble("nobody listening", PASSES, STAYS, silence="refused")
IMPATIENT = 0.15
"""Seconds; much less would be too little for a busy machine."""


def cells(calls: tuple[ToolCall, ...]) -> Iterator[tuple[ToolCall, Trouble]]:
    """What is tried.

    Left out is what lies so well that nobody could tell: another's id for what was found or created.
    """
    for call in calls:
        before = ODD_BEFORE[: {"GET": 4, "POST": 4, "PATCH": 5, "DELETE": 5}[call.method]]
        yield from ((call, trouble) for trouble in (*TROUBLES, *before, *(ODD if call.method != "GET" else ())))


@pytest.mark.requirement("ERROR-3", "ERROR-8")
@pytest.mark.parametrize(
    ("era", "stays"),
    [("2025-11-25", False), ("2026-07-28", False), ("2026-07-28", True)],
    ids=["once, 2025-11-25", "once, 2026-07-28", "stays, 2026-07-28"],
)
async def test_every_call_has_its_effect_once_or_not_at_all_and_says_which(bench: Bench, stays: bool) -> None:
    table, wrong = Table(bench), list[tuple[Any, ...]]()
    for call, trouble in cells((*READS, *WRITES)):
        outcome = await table.tried(call, trouble, stays=stays)
        posts = [item for item in bench.wire.sandbox.requests if item.method == "POST" and item.status != 429]
        if outcome != (trouble.expected(call, stays=stays), True) or len(posts) > 2:
            wrong.append((str(call), trouble.name, *outcome, len(posts)))
    assert wrong == []


async def test_on_a_real_connection_a_call_has_its_effect_once_or_not_at_all(bench: Bench) -> None:
    wrong: list[tuple[Any, ...]] = []

    async def try_all(calls: Sequence[ToolCall], troubles: Sequence[Trouble], seconds: float) -> None:
        front, wire = Sandbox(), LossyWire(seconds=2 * IMPATIENT)
        front.app = wire
        with running(front) as url:
            async with opened("2025-11-25", Line(timeout=seconds), wire, url) as real:
                for call, trouble, stays in product(calls, troubles, (False, True)):
                    claim, true = await Table(real).tried(call, trouble, stays=stays)
                    # A busy machine is late in more than what is meant to be late; it is honest all the same.
                    late = {"done", "outcome_unknown", "unavailable"} if seconds == IMPATIENT else ()
                    if claim not in {trouble.expected(call, stays=stays), *late} or not true:
                        wrong.append((str(call), trouble.name, stays, claim, true))

    for call in (*READS, *WRITES):
        await Table(bench).clean(call)
    asked = [call for call in WRITES if not call.two_steps]
    async with anyio.create_task_group() as group:
        group.start_soon(try_all, (*READS, *WRITES), [NOBODY], 20.0)
        group.start_soon(try_all, asked, TROUBLES[:3], 20.0)
        for call in asked:
            group.start_soon(try_all, [call], TROUBLES[3:6], IMPATIENT)
    assert wrong == []


async def test_nothing_is_written_when_the_target_cannot_be_read(bench: Bench) -> None:
    for call, trouble in ((call, trouble) for call in WRITES for trouble in TROUBLES):
        reading = replace(call, method="GET", path=f"{STATUSES}*" if call.path.startswith(STATUSES) else call.path)
        sandbox = bench.reset(call.mode)
        before = deepcopy(sandbox.account.document())
        answered = await bench.call(call, partial(trouble.arm, bench, reading, stays=True))
        outcome = trouble.expected(reading, stays=True)
        gone = {"not_found": "target_changed"} if call.two_steps else {}
        assert (str(call), trouble.name, claim_of(answered)) == (str(call), trouble.name, gone.get(outcome, outcome))
        assert (bench.served.writes(), sandbox.account.document()) == ([], before)


@pytest.mark.requirement("LIMIT-4")
async def test_nothing_is_sent_during_a_long_wait_which_is_answered_in_seconds(bench: Bench) -> None:
    for call in (*READS, *WRITES):
        sandbox = bench.reset(call.mode)
        answered = await bench.call(call, partial(LONG.arm, bench, call, stays=False))
        assert answered["error"] == {
            "code": "rate_limited",
            "message": f"Too many requests for amoCRM. amoCRM asks to wait 300 seconds. {NOTHING}",
            "retryable": True,
            "hint": "Wait, then call again once.",
            "retry_after": 300,
        }
        sent = len(sandbox.requests)
        for other in [*READS, *CREATES, *CONFIRMED[:4]]:
            again = (await bench.call(other))["error"]
            assert (again["code"], again["retry_after"]) == ("rate_limited", 300)
        assert (len(sandbox.requests), bench.slept) == (sent, [])


async def test_a_short_wait_is_waited_for_each_time_that_amocrm_asks_for_it(bench: Bench) -> None:
    table = Table(bench)
    for call in (*READS, *WRITES):
        for stays, outcome, waits in ((False, "done", 1), (True, "rate_limited", 3)):
            assert await table.tried(call, SHORT, stays=stays) == (outcome, True)
            asked = [item for item in bench.wire.sandbox.requests if item.status == 429]
            assert (bench.slept, len(asked)) == ([5.0] * waits, waits + stays)


async def test_a_request_that_is_forbidden_is_sent_exactly_once(bench: Bench) -> None:
    for call in (*READS, *WRITES):
        for html in (False, True):
            sandbox = bench.reset(call.mode)
            fault = Fault(method=call.method, path=call.path, status=403, html=html, times=0)
            answered = await bench.call(call, partial(sandbox.faults.add, fault))
            assert claim_of(answered) == ("blocked" if html else "forbidden")
            assert [item.method for item in sandbox.requests if item.status == 403] == [call.method]
            assert sandbox.requests[-1].status == 403


def namesakes(bench: Bench, call: ToolCall, color: str) -> list[int]:
    """Somebody else makes what `call` makes, but for the colour; the ids of that."""
    account = bench.wire.sandbox.account
    if call.tool == "create_segment":
        return [segments.create(account, {**call.arguments, "color": color}, 0)["id"]]
    drafts = [{**draft, "color": color} for draft in call.arguments["statuses"]]
    return [item["id"] for item in statuses.create(account, drafts)]


def add_namesakes(made: list[int], bench: Bench, call: ToolCall, color: str) -> None:
    """The same, adding the ids to `made`."""
    made += namesakes(bench, call, color)


def ids(sandbox: Sandbox) -> set[int]:
    return {*sandbox.account.statuses, *sandbox.account.segments}


def created(answered: dict[str, Any]) -> list[int]:
    return [item["id"] for item in answered.get("statuses", [answered["segment"]] if "segment" in answered else [])]


async def test_a_namesake_that_was_there_before_is_not_taken_for_the_new_entity(bench: Bench) -> None:
    for call in CREATES:
        for trouble in TROUBLES:
            sandbox = bench.reset(call.mode)
            namesakes(bench, call, call.arguments.get("color", "#fff000"))
            before = ids(sandbox)
            answered = await bench.call(call, partial(trouble.arm, bench, call, stays=False))
            new = sorted(ids(sandbox) - before)
            assert (trouble.name, claim_of(answered)) == (trouble.name, trouble.expected(call, stays=False))
            assert claim_of(answered) != "done" or created(answered) == new


@pytest.mark.parametrize("call", CREATES, ids=str)
async def test_an_entity_that_somebody_else_creates_meanwhile_is_not_taken_for_ours(
    bench: Bench, call: ToolCall
) -> None:
    color, sizes = ("#ffdc7f", (0, 2)) if call.tool == "create_statuses" else ("10599d", (0, 1))
    for trouble in TROUBLES:
        sandbox = bench.reset(call.mode)
        before, foreign = ids(sandbox), list[int]()
        bench.wire.meanwhile = partial(add_namesakes, foreign, bench, call, color)
        answered = await bench.call(call, partial(trouble.arm, bench, call, stays=True))
        new, claim = sorted(ids(sandbox) - before - {*foreign}), claim_of(answered)
        possible = {"done": [created(answered)], "outcome_unknown": [new] if len(new) in sizes else []}
        assert (trouble.name, claim, [new]) == (trouble.name, claim, possible.get(claim, [[]]))


@pytest.mark.parametrize("call", CONFIRMED, ids=str)
async def test_a_write_that_is_forbidden_after_a_lost_answer_is_not_sent_again(bench: Bench, call: ToolCall) -> None:
    sandbox = bench.reset(call.mode)
    faults = [Fault(method=call.method, drop="before"), Fault(method=call.method, status=403, html=True, times=0)]

    def arm() -> None:
        for fault in faults:
            sandbox.faults.add(fault)

    await bench.call(call, arm)
    assert [item.status for item in sandbox.requests if item.method == call.method] == [None, 403]


@pytest.mark.parametrize("call", CONFIRMED, ids=str)
async def test_a_write_that_may_still_arrive_is_outcome_unknown_whatever_later_attempts_meet(
    bench: Bench, call: ToolCall
) -> None:
    untouched, done = await Table(bench).clean(call)
    endings: list[dict[str, Any]] = [{"drop": "before", "times": 0}, {"status": 500}, {"status": 503, "times": 0}]
    for then in endings:
        sandbox = bench.reset(call.mode)
        bench.wire.silence = {call.method: ["late"]}
        answered = await bench.call(call, partial(sandbox.faults.add, Fault(method=call.method, **then)))
        assert (then, claim_of(answered)) == (then, "outcome_unknown")
        assert is_true(answered, sandbox.account.document(), untouched, done)


async def test_a_status_that_did_not_move_is_not_reported_as_moved(bench: Bench) -> None:
    sandbox = bench.reset("periodicity")
    before = deepcopy(sandbox.account.document())
    call = replace(CONFIRMED[0], arguments={"status_id": 4740013, "name": "Напомнить о помоле", "sort": 5})
    faults: list[dict[str, Any]] = [{"status": 500}, {"drop": "before", "times": 0}]
    for fault in faults:
        answered = await bench.call(call, partial(sandbox.faults.add, Fault(method="PATCH", **fault)))
        assert sandbox.account.document() == before
        assert claim_of(answered) in ("unavailable", "outcome_unknown")


async def test_a_status_that_only_others_moved_is_not_reported_as_moved(bench: Bench) -> None:
    sandbox = bench.reset("periodicity")
    call = replace(CONFIRMED[0], arguments={"status_id": 4740013, "name": "Напомнить о помоле", "sort": 5})
    bench.wire.meanwhile = partial(statuses.create, sandbox.account, [{"name": "Новый", "sort": 0}])
    answered = await bench.call(call, partial(sandbox.faults.add, Fault(method="PATCH", status=500)))
    assert claim_of(answered) == "outcome_unknown"


UNTOUCHED = [
    ("update_segment", {"segment_id": 57, "name": "Новое имя"}),
    ("update_segment", {"segment_id": 57, "name": "Новое имя", "color": "ae003f"}),
    (
        "update_segment",
        {"segment_id": 57, "custom_fields_values": [{"field_id": 272439, "values": [{"value": "А"}]}]},
    ),
    ("update_segment", {"segment_id": 57, "available_products_price_types": [288891]}),
    ("update_status", {"status_id": 4740013, "name": "Новое имя", "sort": 2}),
]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("tool", "arguments"), UNTOUCHED)
async def test_an_answer_that_shows_an_entity_as_it_was_is_not_taken_for_a_change(
    bench: Bench, tool: str, arguments: dict[str, Any], after_effect: bool
) -> None:
    call = replace(next(call for call in CONFIRMED if call.tool == tool), arguments=arguments)
    sandbox = bench.reset(call.mode)
    entities = sandbox.account.statuses if tool == "update_status" else sandbox.account.segments
    entity_id = next(iter(arguments.values()))
    before = deepcopy(entities[entity_id])
    fault = Fault("PATCH", body=json.dumps(before), after_effect=after_effect)
    answered = await bench.call(call, partial(sandbox.faults.add, fault))
    assert claim_of(answered) == ("done" if after_effect else "unavailable")
    assert (entities[entity_id] != before) == after_effect
    if after_effect:
        assert answered["after"]["id"] == entity_id
        assert answered["before"] != answered["after"]


@pytest.mark.parametrize("call", CREATES, ids=str)
async def test_an_answer_about_an_older_entity_is_not_taken_for_a_creation(bench: Bench, call: ToolCall) -> None:
    old = {"id": 54, "name": "vip клиенты ", "color": "b118c8"}
    several = [{"id": status_id, "request_id": str(index)} for index, status_id in enumerate((4740013, 4740016))]
    body = json.dumps({"_embedded": {"statuses": several}} if call.tool == "create_statuses" else old)
    for after_effect in (False, True):
        sandbox = bench.reset(call.mode)
        before = ids(sandbox)
        fault = Fault(method="POST", body=body, after_effect=after_effect)
        answered = await bench.call(call, partial(sandbox.faults.add, fault))
        assert not {*created(answered)} & before


async def test_an_answer_about_another_entity_is_not_taken_for_the_one_asked_for(bench: Bench) -> None:
    other = json.dumps({"id": 54, "name": "vip клиенты ", "color": "b118c8", "sort": 1})
    for call in (*(call for call in READS if call.tool in ("get_segment", "get_status")), *CONFIRMED):
        if "sort" in call.arguments:
            # A status that is moved is read among all the others.
            continue
        reading = replace(call, method="GET", path=f"{STATUSES}*" if call.path.startswith(STATUSES) else call.path)
        sandbox = bench.reset(call.mode)
        fault = Fault(method="GET", path=reading.path, times=0, body=other)
        answered = await bench.call(call, partial(sandbox.faults.add, fault))
        assert (str(call), "error" in answered, bench.served.writes()) == (str(call), True, [])


async def test_one_foreign_status_is_not_taken_for_two_drafts_of_its_name(bench: Bench) -> None:
    draft = DRAFTS[0]
    call = replace(CREATES[0], arguments={"statuses": [draft, draft]})
    sandbox = bench.reset("periodicity")
    bench.wire.meanwhile = partial(statuses.create, sandbox.account, [draft])
    answered = await bench.call(call, partial(sandbox.faults.add, Fault(method="POST", drop="before")))
    assert claim_of(answered) == "outcome_unknown"
