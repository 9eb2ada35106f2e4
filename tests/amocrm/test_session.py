"""One request, well done: every answer is data or one exception of the tree, and the token goes nowhere else."""

import json
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from amo_mcp import __version__
from amo_mcp.amocrm import http as module
from amo_mcp.amocrm.errors import (
    AmoError,
    Blocked,
    Forbidden,
    ModeDisabled,
    NotFound,
    OutcomeUnknown,
    PaymentRequired,
    Problem,
    RateLimited,
    Refused,
    Rejected,
    Unauthorized,
    Unavailable,
)
from amo_mcp.amocrm.http import HttpTransport, parse_json
from amo_mcp.amocrm.session import LongLivedToken, Session, TokenSource
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.sqlite.rate_limit import Slot, tell_wait

pytestmark = pytest.mark.anyio

TOKEN = "eyJ0eXAi.very-secret-token"
ADMIN = LongLivedToken(SecretStr(ADMIN_TOKEN))
ACCOUNT = "/api/v4/account"
SEGMENTS = "/api/v4/customers/segments"
WRITES = ["POST", "PATCH", "DELETE"]


class Answering:
    """An ASGI application that gives one answer to everything, and remembers what it was asked."""

    def __init__(self, status: int = 200, body: bytes | str = b"", **headers: str) -> None:
        self._status = status
        self._body = body if isinstance(body, bytes) else body.encode()
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = f"{scope['path']}?{scope['query_string'].decode()}".removesuffix("?")
        self.asked.append(
            {"method": scope["method"], "path": path, "headers": headers, "body": (await receive())["body"]}
        )
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class InTurn:
    """An ASGI application that gives prepared answers one after the other, the last one for ever."""

    def __init__(self, *answers: Answering) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await answer(scope, receive, send)
        self.asked.append(answer.asked[-1])


class Clock:
    """A pace that lets everything go, and a sleep that takes no time; both remember what was asked of them."""

    def __init__(self) -> None:
        self.turns = 0
        self.answers = 0
        self.held: list[float] = []
        self.slept: list[float] = []

    async def take(self) -> None:
        self.turns += 1

    def answered(self) -> None:
        self.answers += 1

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[Slot]:
        yield Slot(self.take, self.answered)

    async def hold(self, seconds: float) -> None:
        self.held.append(seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def opened(
    root: str = "http://example.localhost",
    *,
    sign_in: TokenSource | None = None,
    seconds: float = 5.0,
    app: Any = None,
    clock: Clock | None = None,
) -> AsyncIterator[Session]:
    clock = clock or Clock()
    http = HttpTransport(timeout=seconds, app=app)
    try:
        yield Session(root, sign_in or LongLivedToken(SecretStr(TOKEN)), http, clock, sleep=clock.sleep)
    finally:
        await http.aclose()


async def got(app: Answering, method: str = "GET", path: str = SEGMENTS, **more: Any) -> Any:
    async with opened(app=app) as transport:
        return await transport.request(method, path, **more)


async def raised(app: Answering, method: str = "GET") -> AmoError:
    with pytest.raises(AmoError) as caught:
        await got(app, method)
    return caught.value


SAID = ("reason", "status", "detail", "problems", "retry_after", "settled")


def seen(error: AmoError) -> dict[str, Any]:
    """What an error says of the answer."""
    return {name: value for name, value in vars(error).items() if name in SAID}


async def test_a_request_is_signed_and_says_who_asks_and_what_is_sent() -> None:
    app = Answering(200, '{"id": 1}')
    assert await got(app, "PATCH", f"{SEGMENTS}/1", params={"page": 1}, body={"name": "ВИП"}) == {"id": 1}
    [asked] = app.asked
    assert (asked["method"], asked["path"]) == ("PATCH", f"{SEGMENTS}/1?page=1")
    assert json.loads(asked["body"]) == {"name": "ВИП"}
    sent = {name: asked["headers"][name] for name in ("host", "authorization", "user-agent", "accept", "content-type")}
    assert sent == {
        "host": "example.localhost",
        "authorization": f"Bearer {TOKEN}",
        "user-agent": f"amo-mcp/{__version__}",
        "accept": "application/hal+json, application/json",
        "content-type": "application/json",
    }


async def test_a_read_has_no_body() -> None:
    app = Answering(200, "[]")
    assert await got(app) == []
    assert app.asked[0]["body"] == b""
    assert "content-type" not in app.asked[0]["headers"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_any_success_is_a_success_and_an_empty_answer_is_none(status: int) -> None:
    assert await got(Answering(status, '{"a": [1, null]}')) == {"a": [1, None]}
    assert await got(Answering(status, b" \r\n"), "DELETE") is None


def problem(*entries: tuple[str, str, str], detail: Any = "Request validation failed") -> str:
    errors = [{"code": code, "path": path, "detail": told} for path, told, code in entries]
    return json.dumps({"validation-errors": [{"request_id": "0", "errors": errors}], "detail": detail})


ONE_PROBLEM = problem(("name", "Пусто.", "IsBlank"))
NO_ID = problem(("id", "Нет.", "NotSupportedChoice"), ("id", "", ""))
HTML = "<html><body>Вход</body></html>"
REFUSALS: list[tuple[Answering, type[Refused], int, str, tuple[Problem, ...]]] = [
    (Answering(400, ONE_PROBLEM), Rejected, 400, "Request validation failed", (Problem("name", "Пусто.", "IsBlank"),)),
    (Answering(400, '{"detail": "Request data can not be empty"}'), Rejected, 400, "Request data can not be empty", ()),
    (Answering(400, HTML), Rejected, 400, "", ()),
    (
        Answering(400, NO_ID),
        NotFound,
        400,
        "Request validation failed",
        (Problem("id", "Нет.", "NotSupportedChoice"), Problem("id", "", "")),
    ),
    (
        Answering(400, problem(("id", "Нет.", ""), ("name", "", "IsBlank"))),
        Rejected,
        400,
        "Request validation failed",
        (Problem("id", "Нет.", ""), Problem("name", "", "IsBlank")),
    ),
    (Answering(401, '{"detail": "Неверный логин или пароль"}'), Unauthorized, 401, "Неверный логин или пароль", ()),
    (Answering(401), Unauthorized, 401, "", ()),
    (Answering(402, '{"title": "Payment Required"}'), PaymentRequired, 402, "", ()),
    (Answering(403, '{"detail": "Invalid scope"}'), Forbidden, 403, "Invalid scope", ()),
    (Answering(403), Forbidden, 403, "", ()),
    (Answering(403, "Denied", content_type="text/html; charset=utf-8"), Blocked, 403, "", ()),
    (Answering(403, f"\n {HTML}"), Blocked, 403, "", ()),
    (Answering(404, '{"detail": "Cannot GET"}'), NotFound, 404, "Cannot GET", ()),
    (Answering(404, HTML), NotFound, 404, "", ()),
    (Answering(405), Rejected, 405, "", ()),
    (Answering(413, HTML), Rejected, 413, "", ()),
    (Answering(418, "null"), Rejected, 418, "", ()),
    (
        Answering(422, problem(("id", "", ""), detail="Limit 250")),
        Rejected,
        422,
        "Limit 250",
        (Problem("id", "", ""),),
    ),
    (Answering(429, HTML), RateLimited, 429, "", ()),
    (Answering(498, '{"detail": ["a list"]}'), Rejected, 498, "", ()),
]


@pytest.mark.requirement("ERROR-7")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(("app", "kind", "status", "detail", "problems"), REFUSALS)
async def test_a_refusal_is_its_leaf_of_the_tree_with_what_the_api_said(
    app: Answering, kind: type[Refused], status: int, detail: str, problems: tuple[Problem, ...], method: str
) -> None:
    error = await raised(app, method)
    extra = {"retry_after": None} if kind is RateLimited else {}
    assert type(error) is kind
    assert seen(error) == {"status": status, "detail": detail, "problems": problems, **extra}


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        ('{"retry_after": 300}', "", 300.0),
        ('{"retry_after": "1.5"}', "7", 1.5),
        ("{}", "7", 7.0),
        (HTML, "0", 0.0),
        ('{"retry_after": -1}', "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ('{"retry_after": "NaN"}', "inf", None),
        ('{"retry_after": null}', "", None),
        ('{"retry_after": [1]}', "3", 3.0),
    ],
)
async def test_how_long_to_wait_is_read_from_the_body_and_then_from_the_header(
    body: str, header: str, seconds: float | None
) -> None:
    error = await raised(Answering(429, body, **({"retry_after": header} if header else {})))
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "broken",
    [
        "[]",
        '"text"',
        "{",
        '{"validation-errors": null}',
        '{"validation-errors": {"0": 1}}',
        '{"validation-errors": [null, [], {"errors": 5}, {"errors": [null, "x"]}]}',
    ],
)
async def test_validation_errors_of_another_shape_are_none(broken: str) -> None:
    error = await raised(Answering(400, broken))
    assert (type(error), seen(error)["problems"]) == (Rejected, ())


async def test_an_entry_of_validation_errors_is_read_as_far_as_it_goes() -> None:
    groups = [{"errors": [{"path": 5, "detail": None}]}, {"errors": [{"code": "X", "path": "a.0", "other": 1}]}]
    error = await raised(Answering(400, json.dumps({"validation-errors": groups})))
    assert seen(error)["problems"] == (Problem("5", "", ""), Problem("a.0", "", "X"))


@pytest.mark.parametrize(
    ("status", "attempts", "settled"),
    [
        *[(status, 1, True) for status in (301, 302, 303, 307, 308, 500, 520)],
        *[(status, 1, False) for status in (408, 499)],
        *[(status, 4, True) for status in (502, 503)],
        (504, 4, False),
    ],
)
async def test_another_status_leaves_a_read_unavailable_and_a_write_open(
    status: int, attempts: int, settled: bool
) -> None:
    reason = f"answered with the status {status}"
    for method in ("GET", *WRITES):
        app = Answering(status, HTML, location="/api/v4/account")
        error = await raised(app, method)
        if method == "GET":
            assert (type(error), seen(error)) == (Unavailable, {"reason": reason, "status": status})
        else:
            assert (type(error), seen(error)) == (OutcomeUnknown, {"reason": reason, "settled": settled})
        assert [asked["path"] for asked in app.asked] == [SEGMENTS] * (1 if method == "POST" else attempts)


NOT_JSON = "answered with something that is not JSON"


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        '{"id": 1',
        '{"id": 1}}',
        "nothing",
        b"\xff\xfe\x00",
        "[" * 100_000,
        "1" * 5_000,
        "\ufeff",
    ],
    ids=["html", "truncated", "too much", "text", "utf-16", "deep", "long number", "mark"],
)
async def test_a_success_that_is_not_json_is_no_answer(body: str | bytes) -> None:
    app = Answering(200, body, content_type="application/hal+json")
    error = await raised(app)
    assert (type(error), seen(error)) == (Unavailable, {"reason": NOT_JSON, "status": None})
    for method in WRITES:
        error = await raised(app, method)
        assert (type(error), seen(error)) == (OutcomeUnknown, {"reason": NOT_JSON, "settled": False})


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 10)
    assert await got(Answering(200, '"12345678"')) == "12345678"
    reason = "sent an answer that is too large to be right"
    for status in (200, 400, 500):
        app = Answering(status, '"123456789"')
        error = await raised(app)
        assert (type(error), seen(error)) == (Unavailable, {"reason": reason, "status": None})
        error = await raised(app, "POST")
        assert (type(error), seen(error)) == (OutcomeUnknown, {"reason": reason, "settled": True})


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (r'{"name": "VIP \ud83d"}', {"name": "VIP \ufffd"}),
        (r'{"\udc00": "\uDE00 x"}', {"\ufffd": "\ufffd x"}),
        (r'["\ud83d\ude00", "\uD83Dx\ude00"]', ["😀", "\ufffdx\ufffd"]),
        (r'"\\ud83d"', r"\ud83d"),
    ],
)
async def test_half_of_a_surrogate_pair_becomes_the_replacement_character(body: str, parsed: Any) -> None:
    assert await got(Answering(200, body)) == parsed


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (b'{"name": "\xff"}', {"name": "\ufffd"}),
        (b'["\xed\xa0\xbd"]', ["\ufffd\ufffd\ufffd"]),
        ('"ВИП"'.encode("cp1251"), "\ufffd\ufffd\ufffd"),
    ],
)
async def test_bytes_that_are_no_utf_8_become_the_replacement_character(raw: bytes, parsed: Any) -> None:
    assert await got(Answering(200, raw)) == parsed


TEXTS = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
)


@given(value=JSON)
def test_whatever_the_api_escapes_can_be_passed_on_as_text(value: Any) -> None:
    parsed = parse_json(json.dumps(value).encode())
    told = json.dumps(parsed, ensure_ascii=False)
    assert json.loads(told.encode()) == parsed
    if "\\ud" not in json.dumps(value):
        assert parsed == value


def is_json(parse: Callable[[Any], Any], raw: bytes | str) -> bool:
    try:
        parse(raw)
    except ValueError:
        return False
    return True


@given(text=st.one_of(st.text(), st.text('[]{}",:0123456789.eE+-truefalsn\\u')))
def test_text_is_json_or_a_value_error(text: str) -> None:
    assert is_json(parse_json, text.encode()) == is_json(strict_json, text)


def strict_json(text: str) -> Any:
    """Python reads NaN and Infinity too, which are no JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_what_is_no_number_is_no_answer(number: bytes) -> None:
    with pytest.raises(Unavailable):
        await got(Answering(200, b'{"id": ' + number + b"}"))


@given(raw=st.binary())
def test_bytes_are_never_worse_than_a_value_error(raw: bytes) -> None:
    assert is_json(parse_json, raw) in (True, False)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[1,"][",', b',"]"]')])
@pytest.mark.parametrize("inside", [b'"x"', b'"\xff"'])
async def test_what_is_nested_too_deep_to_be_parsed_is_no_answer(opening: bytes, closing: bytes, inside: bytes) -> None:
    deep = opening * 100 + inside + closing * 100
    assert await got(Answering(200, deep)) == json.loads(deep.decode(errors="replace"))
    for levels in (300, 900, 100_000):
        with pytest.raises(Unavailable):
            await got(Answering(200, opening * levels + inside + closing * levels))


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", *WRITES])
async def test_a_request_that_was_never_sent_is_tried_again_and_changed_nothing(method: str) -> None:
    clock = Clock()
    async with opened(closed_port(), clock=clock) as transport:
        with pytest.raises(Unavailable) as caught:
            await transport.request(method, ACCOUNT)
    assert seen(caught.value) == {"reason": "could not be reached; check the address and the network", "status": None}
    assert (clock.turns, clock.answers, len(clock.slept)) == (0, 0, 3)


BROKE_OFF = "broke the connection off before it had answered"


async def test_a_connection_that_breaks_leaves_a_read_unavailable_and_a_write_open() -> None:
    sandbox = Sandbox()
    clock = Clock()
    with running(sandbox) as url:
        async with opened(url, sign_in=ADMIN, clock=clock) as transport:
            for drop in ("before", "after", "body"):
                sandbox.faults.clear()
                sandbox.faults.add(Fault(drop=drop, times=0))
                with pytest.raises(Unavailable) as unavailable:
                    await transport.request("GET", SEGMENTS)
                assert seen(unavailable.value) == {"reason": BROKE_OFF, "status": None}
                for method, path in (("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")):
                    with pytest.raises(OutcomeUnknown) as unknown:
                        await transport.request(method, path, body={"name": drop})
                    assert seen(unknown.value) == {"reason": BROKE_OFF, "settled": True}
    assert [item.method for item in sandbox.requests] == (["GET"] * 4 + ["POST"] + ["PATCH"] * 4) * 3
    assert [segment["name"] for segment in sandbox.account.segments.values()][-2:] == ["after", "body"]
    assert clock.turns == len(sandbox.requests)
    assert clock.answers == len(sandbox.requests) / 3, "an answer was begun only where its body broke off"


async def test_an_answer_that_does_not_come_in_time_leaves_a_read_unavailable_and_a_write_open() -> None:
    sandbox = Sandbox()
    sandbox.faults.add(Fault(times=0, delay=0.15))
    reason = "did not answer within 0.05 s"
    with running(sandbox) as url:
        async with opened(url, sign_in=ADMIN, seconds=0.05) as transport:
            with pytest.raises(Unavailable) as unavailable:
                await transport.request("GET", ACCOUNT)
            with pytest.raises(OutcomeUnknown) as unknown:
                await transport.request("POST", SEGMENTS, body={})
    assert seen(unavailable.value) == {"reason": reason, "status": None}
    assert seen(unknown.value) == {"reason": reason, "settled": False}


LOST = Answering(503, HTML)
DONE = Answering(200, '{"id": 1}')


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_was_lost_on_the_way_is_tried_again_where_that_does_nothing_twice(method: str) -> None:
    clock, app = Clock(), InTurn(Answering(502), Answering(504), LOST, DONE)
    async with opened(app=app, clock=clock) as transport:
        assert await transport.request(method, SEGMENTS, body={"name": "ВИП"}) == {"id": 1}
    assert [asked["method"] for asked in app.asked] == [method] * 4
    assert len({asked["body"] for asked in app.asked}) == 1
    assert len(clock.slept) == 3
    assert all(0 <= wait <= 8 for wait in clock.slept)


class Slow(InTurn):
    """Each answer takes so many seconds of the clock, and no time."""

    def __init__(self, seconds: float, patch: pytest.MonkeyPatch, *answers: Answering) -> None:
        super().__init__(*answers)
        patch.setattr(time, "monotonic", lambda real=time.monotonic: real() + seconds * len(self.asked))


@pytest.mark.parametrize(("seconds", "attempts"), [(10, 4), (20, 3), (44, 2), (46, 1)])
async def test_no_new_attempt_begins_45_seconds_after_the_first(
    seconds: float, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, app = Clock(), Slow(seconds, monkeypatch, *[LOST] * 4, DONE)
    async with opened(app=app, clock=clock) as transport:
        with pytest.raises(Unavailable, match="answered with the status 503"):
            await transport.request("GET", SEGMENTS)
    assert (len(app.asked), len(clock.slept)) == (attempts, attempts - 1)


async def test_a_creation_is_not_sent_twice() -> None:
    clock, app = Clock(), InTurn(LOST, DONE)
    async with opened(app=app, clock=clock) as transport:
        with pytest.raises(OutcomeUnknown):
            await transport.request("POST", SEGMENTS, body={})
    assert (len(app.asked), clock.slept) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 500])
async def test_what_was_answered_is_not_asked_again(status: int) -> None:
    clock, app = Clock(), InTurn(Answering(status, HTML), DONE)
    async with opened(app=app, clock=clock) as transport:
        with pytest.raises(AmoError):
            await transport.request("GET", SEGMENTS)
    assert (len(app.asked), clock.slept, clock.held) == (1, [], [])


async def test_a_deletion_whose_answer_was_lost_is_done_when_the_thing_is_not_there_any_more() -> None:
    for gone in (Answering(404), Answering(400, NO_ID)):
        app = InTurn(LOST, gone)
        async with opened(app=app) as transport:
            assert await transport.request("DELETE", SEGMENTS) is None
        assert len(app.asked) == 2


@pytest.mark.parametrize("second", [Answering(400), Answering(403, HTML), Answering(429, '{"retry_after": 300}')])
async def test_a_write_that_was_lost_stays_open_whatever_is_said_of_the_next_try(second: Answering) -> None:
    for method in ("PATCH", "DELETE"):
        app = InTurn(LOST, second)
        async with opened(app=app) as transport:
            with pytest.raises(OutcomeUnknown) as caught:
                await transport.request(method, SEGMENTS, body={})
        assert seen(caught.value) == {"reason": "answered with the status 503", "settled": True}


@pytest.mark.parametrize("method", ["GET", *WRITES])
@pytest.mark.parametrize(("body", "wait"), [('{"retry_after": 3}', 3.0), (HTML, 1.0), ('{"retry_after": 10}', 10.0)])
async def test_a_short_wait_that_the_api_asks_for_is_waited_by_everybody(method: str, body: str, wait: float) -> None:
    clock, app, told = Clock(), InTurn(Answering(429, body), DONE), []

    async def tell(seconds: float, reason: str) -> None:
        told.append((seconds, reason))

    telling = tell_wait.set(tell)
    async with opened(app=app, clock=clock) as transport:
        assert await transport.request(method, SEGMENTS) == {"id": 1}
    tell_wait.reset(telling)
    assert (len(app.asked), clock.slept, clock.held) == (2, [wait], [wait])
    assert told == [(wait, "amoCRM, to try again")]


async def test_a_long_wait_that_the_api_asks_for_is_told_and_nothing_is_sent_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("amo_mcp.amocrm.session.time", SimpleNamespace(monotonic=lambda: now))
    clock, app = Clock(), InTurn(Answering(429, '{"retry_after": 300}'), DONE)
    async with opened(app=app, clock=clock) as transport:
        for elapsed, left in ((0.0, 300.0), (0.0, 300.0), (299.5, 0.5)):
            now = 1000.0 + elapsed
            # A rest that is short enough is waited for; here no time passes in a sleep.
            with pytest.raises(RateLimited) as caught:
                await transport.request("POST", SEGMENTS, body={})
            assert caught.value.retry_after == left
        assert len(app.asked) == 1
        now = 1300.0
        assert await transport.request("POST", SEGMENTS, body={}) == {"id": 1}
    assert clock.held == []


class Renewing:
    """A sign-in that has one more token, and a new address."""

    remedy = "Run `amo-mcp login`."

    def __init__(self, another: str | None = None, root: str | None = None) -> None:
        self._another = another
        self._root = root
        self.refused: list[str] = []

    async def token(self) -> SecretStr:
        return SecretStr(TOKEN)

    async def renew(self, refused: SecretStr) -> SecretStr | None:
        self.refused.append(refused.get_secret_value())
        return SecretStr(self._another) if self._another else None

    async def moved(self, root: str) -> str | None:
        return self._root


async def test_a_refused_token_is_renewed_once_and_the_request_sent_again() -> None:
    sign_in, app = Renewing("another"), InTurn(Answering(401), DONE)
    async with opened(app=app, sign_in=sign_in) as transport:
        assert await transport.request("POST", SEGMENTS, body={"name": "а"}) == {"id": 1}
    assert [asked["headers"]["authorization"] for asked in app.asked] == [f"Bearer {TOKEN}", "Bearer another"]
    assert [json.loads(asked["body"]) for asked in app.asked] == [{"name": "а"}] * 2
    assert sign_in.refused == [TOKEN]


@pytest.mark.parametrize(
    ("sign_in", "requests", "remedy"),
    [
        (Renewing("another"), 2, "Run `amo-mcp login`."),
        (Renewing(), 1, "Run `amo-mcp login`."),
        (LongLivedToken(SecretStr(TOKEN)), 1, "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`."),
    ],
)
async def test_a_token_that_stays_refused_is_told_with_what_a_person_has_to_do(
    sign_in: TokenSource, requests: int, remedy: str
) -> None:
    app = Answering(401)
    async with opened(app=app, sign_in=sign_in) as transport:
        with pytest.raises(Unauthorized) as caught:
            await transport.request("GET", ACCOUNT)
    assert (len(app.asked), caught.value.remedy) == (requests, remedy)


async def test_an_account_that_moved_is_followed_to_the_address_that_the_sign_in_knows() -> None:
    sign_in = Renewing(root="http://moved.localhost")
    app = InTurn(Answering(301, location="http://elsewhere.localhost"), DONE)
    async with opened(app=app, sign_in=sign_in) as transport:
        assert await transport.request("GET", ACCOUNT) == {"id": 1}
        assert await transport.request("GET", ACCOUNT) == {"id": 1}
        assert transport.root == "http://moved.localhost"
    hosts = [asked["headers"]["host"] for asked in app.asked]
    assert hosts == ["example.localhost", "moved.localhost", "moved.localhost"]


@pytest.mark.requirement("ERROR-5")
async def test_a_token_that_the_api_repeats_is_struck_out() -> None:
    body = problem((f"a{TOKEN}", f"x {TOKEN} y", TOKEN), detail=f"{TOKEN}!")
    error = await raised(Answering(422, body))
    assert seen(error) == {"status": 422, "detail": "…!", "problems": (Problem("a…", "x … y", "…"),)}


@pytest.mark.requirement("ERROR-5", "ENV-8")
async def test_the_token_is_in_no_error_and_no_log_and_the_request_id_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = LongLivedToken(SecretStr(TOKEN))
    assert TOKEN not in f"{token!r} {vars(token)} {await token.token()}"
    errors: list[AmoError] = []
    for status, body in ((200, "{}"), (200, "<"), (401, "{}"), (500, "")):
        app = Answering(status, body, x_request_id="a1b2")
        try:
            await got(app)
        except AmoError as error:
            errors.append(error)
        assert app.asked[0]["headers"]["authorization"] == f"Bearer {TOKEN}"
    sandbox = Sandbox()
    sandbox.faults.add(Fault(drop="before", times=0))
    with running(sandbox) as url:
        for root, seconds in ((url, 5.0), (closed_port(), 5.0), (url, 1e-9)):
            async with opened(root, seconds=seconds) as transport:
                with pytest.raises(Unavailable) as caught:
                    await transport.request("GET", ACCOUNT)
                errors.append(caught.value)
                assert TOKEN not in f"{transport!r} {vars(transport)}"
    assert len(errors) == 6
    told = "".join(f"{error!r} {error} {''.join(traceback.format_exception(error))}" for error in errors)
    assert TOKEN not in told + caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "amo_mcp.amocrm.session"]
    assert [line.partition(" in ")[0] for line in lines if "X-Request-Id a1b2" in line] == [
        f"GET {SEGMENTS} -> {status}" for status in (200, 200, 401, 500)
    ]


def test_every_error_of_the_api_is_one_of_the_tree() -> None:
    def leaves(kind: type[AmoError]) -> set[type[AmoError]]:
        kinds = [leaf for leaf in kind.__subclasses__() if leaf.__module__ == AmoError.__module__]
        return set().union(*map(leaves, kinds)) or {kind}

    assert leaves(AmoError) == {
        *(Unavailable, OutcomeUnknown, Rejected, Unauthorized, PaymentRequired),
        *(Forbidden, Blocked, ModeDisabled, NotFound, RateLimited),
    }
