"""One request, well done: signed, tried again where that is safe, and the token goes nowhere else."""

import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr
from typing_extensions import override

from amo_mcp import __version__
from amo_mcp.amocrm import http
from amo_mcp.amocrm.errors import (
    AmoError,
    Blocked,
    Forbidden,
    ModeDisabled,
    NotFound,
    OtherAccount,
    OutcomeUnknown,
    PaymentRequired,
    Problem,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from amo_mcp.amocrm.http import HttpTransport, Response
from amo_mcp.amocrm.ratelimit import UNLIMITED, Slot
from amo_mcp.amocrm.responses import MOVED_HINT
from amo_mcp.amocrm.session import Hooks, Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from amo_mcp.language import Message
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.memory.rate_limit import Unlimited
from tests.amocrm.answering import (
    HTML,
    NO_ID,
    SEGMENTS,
    TOKEN,
    WRITES,
    Answering,
    InTurn,
    Limiter,
    Sleeper,
    attributes,
    got,
    opened,
    problem,
    raised,
)
from tests.clock import Clock

pytestmark = pytest.mark.anyio

ADMIN = LongLivedToken(SecretStr(ADMIN_TOKEN))
ACCOUNT = "/api/v4/account"


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


@contextmanager
def dripping() -> Iterator[str]:
    """A server that begins its response at once and never comes to its end."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not over.wait(0.01):
                connection.sendall(b" ")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", *WRITES])
async def test_a_request_that_was_never_sent_is_tried_again_and_changed_nothing(method: str) -> None:
    clock, limiter = Sleeper(), Limiter()
    async with opened(closed_port(), clock=clock, limiter=limiter) as session:
        with pytest.raises(Unavailable) as caught:
            await session.request(method, ACCOUNT)
    reason = "could not be reached; check the address and the network"
    assert attributes(caught.value) == {"reason": reason, "status": None, "hint": ""}
    assert (limiter.acquired, limiter.released, len(clock.slept)) == (0, 0, 3)


CLOSED = "closed the connection before responding"


async def test_a_connection_that_breaks_leaves_a_read_unavailable_and_a_write_open() -> None:
    sandbox = Sandbox()
    limiter = Limiter()
    with running(sandbox) as url:
        async with opened(url, tokens=ADMIN, limiter=limiter) as session:
            for drop in ("before", "after", "body"):
                sandbox.faults.clear()
                sandbox.faults.add(Fault(drop=drop, times=0))
                with pytest.raises(Unavailable) as unavailable:
                    await session.request("GET", SEGMENTS)
                assert attributes(unavailable.value) == {"reason": CLOSED, "status": None, "hint": ""}
                for method, path in (("POST", SEGMENTS), ("PATCH", f"{SEGMENTS}/51")):
                    with pytest.raises(OutcomeUnknown) as unknown:
                        await session.request(method, path, body={"name": drop})
                    assert attributes(unknown.value) == {"reason": CLOSED, "settled": True, "hint": ""}
    assert [item.method for item in sandbox.requests] == (["GET"] * 4 + ["POST"] + ["PATCH"] * 4) * 3
    assert [segment["name"] for segment in sandbox.account.segments.values()][-2:] == ["after", "body"]
    assert limiter.acquired == len(sandbox.requests)
    # An answer was begun only where its body broke off.
    assert limiter.released == len(sandbox.requests) / 3


async def test_a_request_that_waited_long_for_its_slot_is_sent_on_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_MAX_WAIT_ON_CONNECTION", -1.0)
    sandbox, limiter = Sandbox(), Limiter()
    with running(sandbox) as url:
        async with opened(url, tokens=ADMIN, limiter=limiter) as session:
            for _ in range(2):
                assert (await session.request("GET", ACCOUNT))["id"] == sandbox.account.id
    assert [item.status for item in sandbox.requests] == [200, 200]
    assert (limiter.acquired, limiter.released) == (2, 2)


async def test_a_slot_that_the_limiter_refuses_ends_the_request_before_it_is_sent() -> None:
    class Refusing(Limiter):
        async def _acquire(self) -> None:
            raise RateLimited(429, retry_after=60.0)

    sandbox = Sandbox()
    with running(sandbox) as url:
        async with opened(url, tokens=ADMIN, limiter=Refusing()) as session:
            with pytest.raises(RateLimited) as caught:
                await session.request("POST", SEGMENTS, body={"name": "ВИП"})
    assert (caught.value.retry_after, sandbox.requests) == (60.0, [])


async def test_a_response_that_comes_byte_by_byte_is_given_up_after_three_timeouts() -> None:
    with dripping() as url:
        async with opened(url, seconds=0.25) as session:
            with anyio.fail_after(5), pytest.raises(OutcomeUnknown) as caught:
                await session.request("POST", SEGMENTS, body={})
    assert attributes(caught.value) == {"reason": "took too long to send its response", "settled": False, "hint": ""}


async def test_an_answer_that_does_not_come_in_time_leaves_a_read_unavailable_and_a_write_open() -> None:
    sandbox = Sandbox()
    sandbox.faults.add(Fault(times=0, delay=0.6))
    reason = "did not answer within 0.25 s"
    with running(sandbox) as url:
        async with opened(url, tokens=ADMIN, seconds=0.25) as session:
            with pytest.raises(Unavailable) as unavailable:
                await session.request("GET", ACCOUNT)
            with pytest.raises(OutcomeUnknown) as unknown:
                await session.request("POST", SEGMENTS, body={})
    assert attributes(unavailable.value) == {"reason": reason, "status": None, "hint": ""}
    assert attributes(unknown.value) == {"reason": reason, "settled": False, "hint": ""}


LOST = Answering(503, HTML)
DONE = Answering(200, '{"id": 1}')


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_was_lost_on_the_way_is_tried_again_where_that_does_nothing_twice(method: str) -> None:
    clock, app = Sleeper(), InTurn(Answering(502), Answering(504), LOST, DONE)
    async with opened(app=app, clock=clock) as session:
        assert await session.request(method, SEGMENTS, body={"name": "ВИП"}) == {"id": 1}
    assert [asked["method"] for asked in app.asked] == [method] * 4
    assert len({asked["body"] for asked in app.asked}) == 1
    assert len(clock.slept) == 3
    assert all(0 <= wait <= 8 for wait in clock.slept)


class Slow(InTurn):
    """Each answer takes so many seconds of the clock, and no time."""

    def __init__(self, seconds: float, clock: Clock, *answers: Answering) -> None:
        super().__init__(*answers)
        self._seconds = seconds
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._clock.now += self._seconds
        await super().__call__(scope, receive, send)


@pytest.mark.parametrize(("seconds", "attempts"), [(10, 4), (20, 3), (44, 2), (46, 1)])
async def test_no_new_attempt_begins_45_seconds_after_the_first(seconds: float, attempts: int) -> None:
    clock = Sleeper()
    app = Slow(seconds, clock, *[LOST] * 4, DONE)
    async with opened(app=app, clock=clock) as session:
        with pytest.raises(Unavailable, match="answered with the status 503"):
            await session.request("GET", SEGMENTS)
    assert (len(app.asked), len(clock.slept)) == (attempts, attempts - 1)


@pytest.mark.parametrize("status", [500, 501, 520])
async def test_a_read_that_the_api_failed_to_answer_is_read_again(status: int) -> None:
    app = InTurn(Answering(status, HTML), DONE)
    async with opened(app=app) as session:
        assert await session.request("GET", SEGMENTS) == {"id": 1}
    assert len(app.asked) == 2


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_that_the_api_failed_to_answer_is_not_sent_again(method: str) -> None:
    app = InTurn(Answering(500), DONE)
    async with opened(app=app) as session:
        with pytest.raises(OutcomeUnknown):
            await session.request(method, SEGMENTS, body={})
    assert len(app.asked) == 1


async def test_a_creation_is_not_sent_twice() -> None:
    clock, app = Sleeper(), InTurn(LOST, DONE)
    async with opened(app=app, clock=clock) as session:
        with pytest.raises(OutcomeUnknown):
            await session.request("POST", SEGMENTS, body={})
    assert (len(app.asked), clock.slept) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422])
async def test_what_was_answered_is_not_asked_again(status: int) -> None:
    clock, app, limiter = Sleeper(), InTurn(Answering(status), DONE), Limiter()
    async with opened(app=app, clock=clock, limiter=limiter) as session:
        with pytest.raises(AmoError):
            await session.request("GET", SEGMENTS)
    assert (len(app.asked), clock.slept, limiter.paused) == (1, [], [])


async def test_a_deletion_whose_answer_was_lost_is_done_when_the_entity_is_not_there_any_more() -> None:
    for gone in (Answering(404, '{"title": "Not Found", "status": 404}'), Answering(400, NO_ID)):
        app = InTurn(LOST, gone)
        async with opened(app=app) as session:
            assert await session.request("DELETE", SEGMENTS) is None
        assert len(app.asked) == 2


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("page", [Answering(404, HTML), Answering(404, '{"error": "no route"}')])
async def test_a_lost_write_is_not_done_because_a_page_that_is_not_the_apis_says_404(
    page: Answering, method: str
) -> None:
    app = InTurn(LOST, page)
    async with opened(app=app) as session:
        with pytest.raises(OutcomeUnknown) as caught:
            await session.request(method, SEGMENTS, body={})
    assert attributes(caught.value) == {
        "reason": "answered with a page that is not the API's (status 404)",
        "settled": True,
        "hint": MOVED_HINT,
    }
    assert len(app.asked) == 4


async def test_while_an_earlier_attempt_may_still_arrive_a_write_is_not_settled_by_a_later_one() -> None:
    first = Answering(504)
    app = InTurn(first, LOST)
    async with opened(app=app) as session:
        with pytest.raises(OutcomeUnknown) as caught:
            await session.request("PATCH", SEGMENTS, body={})
    assert attributes(caught.value) == {"reason": "answered with the status 503", "settled": False, "hint": ""}


@pytest.mark.parametrize("second", [Answering(400), Answering(403, HTML), Answering(429, '{"retry_after": 300}')])
async def test_a_write_that_was_lost_stays_open_whatever_is_said_of_the_next_try(second: Answering) -> None:
    for method in ("PATCH", "DELETE"):
        app = InTurn(LOST, second)
        async with opened(app=app) as session:
            with pytest.raises(OutcomeUnknown) as caught:
                await session.request(method, SEGMENTS, body={})
        assert attributes(caught.value) == {"reason": "answered with the status 503", "settled": True, "hint": ""}


@pytest.mark.parametrize("method", ["GET", *WRITES])
@pytest.mark.parametrize(("body", "wait"), [('{"retry_after": 3}', 3.0), (HTML, 1.0), ('{"retry_after": 10}', 10.0)])
async def test_a_short_wait_that_the_api_asks_for_is_waited_by_everybody(method: str, body: str, wait: float) -> None:
    clock, app, limiter = Sleeper(), InTurn(Answering(429, body), DONE), Limiter()
    waits: list[tuple[float, str]] = []

    async def on_wait(seconds: float, reason: Message) -> None:
        await anyio.lowlevel.checkpoint()
        waits.append((seconds, str(reason)))

    async with opened(app=app, clock=clock, limiter=limiter) as session:
        assert await session.request(method, SEGMENTS, hooks=Hooks(on_wait)) == {"id": 1}
    assert (len(app.asked), clock.slept, limiter.paused) == (2, [wait], [wait])
    assert waits == [(wait, "amoCRM, to try again")]


@pytest.mark.requirement("LIMIT-4")
async def test_after_a_long_wait_that_the_api_asks_for_nothing_is_sent_until_it_is_over() -> None:
    clock, tokens = Sleeper(), Renewing()
    app = InTurn(Answering(429, '{"retry_after": 300}'), DONE)
    async with opened(app=app, clock=clock, limiter=Unlimited(clock), tokens=tokens) as session:
        for elapsed, left in ((0.0, 300.0), (0.0, 300.0), (250.0, 50.0)):
            clock.now = Clock().now + elapsed
            with pytest.raises(RateLimited) as caught:
                await session.request("POST", SEGMENTS, body={})
            assert caught.value.retry_after == left
        # Not even a token is asked for, which may have to be refreshed over the network.
        assert (len(app.asked), tokens.given, clock.slept) == (1, 1, [])
        clock.now = Clock().now + 299.5
        assert await session.request("POST", SEGMENTS, body={}) == {"id": 1}
    assert clock.slept == [0.5]


class Renewing(TokenSource):
    """A source that has one more token, and a new address."""

    hint = "Run `amo-mcp login`."

    def __init__(self, another: str | None = None, base_url: str | None = None) -> None:
        self._another = another
        self._base_url = base_url
        self.given = 0
        self.refused: list[str] = []

    async def token(self) -> SecretStr:
        self.given += 1
        return SecretStr(TOKEN)

    async def refresh(self, refused: SecretStr) -> SecretStr | None:
        self.refused.append(refused.get_secret_value())
        return SecretStr(self._another) if self._another else None

    async def relocated_to(self, base_url: str) -> str | None:
        return self._base_url


async def test_a_refused_token_is_refreshed_once_and_the_request_sent_again() -> None:
    tokens, app = Renewing("another"), InTurn(Answering(401), DONE)
    async with opened(app=app, tokens=tokens) as session:
        assert await session.request("POST", SEGMENTS, body={"name": "а"}) == {"id": 1}
    assert [asked["headers"]["authorization"] for asked in app.asked] == [f"Bearer {TOKEN}", "Bearer another"]
    assert [json.loads(asked["body"]) for asked in app.asked] == [{"name": "а"}] * 2
    assert tokens.refused == [TOKEN]


@pytest.mark.parametrize(
    ("tokens", "requests", "hint"),
    [
        (Renewing("another"), 2, "Run `amo-mcp login`."),
        (Renewing(), 1, "Run `amo-mcp login`."),
        (LongLivedToken(SecretStr(TOKEN)), 1, LongLivedToken.hint),
    ],
)
async def test_a_token_that_stays_refused_is_told_with_what_a_person_has_to_do(
    tokens: TokenSource, requests: int, hint: str
) -> None:
    app = Answering(401)
    async with opened(app=app, tokens=tokens) as session:
        with pytest.raises(Unauthorized) as caught:
            await session.request("GET", ACCOUNT)
    assert (len(app.asked), caught.value.hint) == (requests, hint)


async def test_an_account_that_moved_is_followed_to_the_address_that_the_sign_in_knows() -> None:
    tokens = Renewing(base_url="http://moved.localhost")
    app = InTurn(Answering(301, location="http://elsewhere.localhost"), DONE)
    async with opened(app=app, tokens=tokens) as session:
        assert await session.request("GET", ACCOUNT) == {"id": 1}
        assert await session.request("GET", ACCOUNT) == {"id": 1}
        assert session.base_url == "http://moved.localhost"
    hosts = [asked["headers"]["host"] for asked in app.asked]
    assert hosts == ["example.localhost", "moved.localhost", "moved.localhost"]


@pytest.mark.requirement("ERROR-5")
async def test_a_token_that_the_api_repeats_is_struck_out() -> None:
    body = problem((f"a{TOKEN}", f"x {TOKEN} y", TOKEN), detail=f"{TOKEN}!")
    error = await raised(Answering(422, body))
    assert attributes(error) == {"status": 422, "detail": "…!", "problems": (Problem("a…", "x … y", "…"),)}


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
        for base_url, seconds in ((url, 5.0), (closed_port(), 5.0), (url, 1e-9)):
            async with opened(base_url, seconds=seconds) as session:
                with pytest.raises(Unavailable) as caught:
                    await session.request("GET", ACCOUNT)
                errors.append(caught.value)
                assert TOKEN not in f"{session!r} {vars(session)}"
    assert len(errors) == 6
    shown = "".join(f"{error!r} {error} {''.join(traceback.format_exception(error))}" for error in errors)
    assert TOKEN not in shown + caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "amo_mcp.amocrm.session"]
    assert [line.partition(" in ")[0] for line in lines if "X-Request-Id a1b2" in line] == [
        f"GET {SEGMENTS} -> {status}" for status in (200, *[200] * 4, 401, *[500] * 4)
    ]


def test_every_error_of_the_api_is_one_of_the_tree() -> None:
    def leaves(kind: type[AmoError]) -> set[type[AmoError]]:
        kinds = [leaf for leaf in kind.__subclasses__() if leaf.__module__ == AmoError.__module__]
        return set().union(*map(leaves, kinds)) or {kind}

    assert leaves(AmoError) == {
        *(OtherAccount, OutcomeUnknown, Rejected, Unauthorized, PaymentRequired),
        *(Forbidden, Blocked, ModeDisabled, NotFound, RateLimited),
    }
    assert issubclass(OtherAccount, Unavailable)


async def test_the_round_trip_is_what_recent_requests_took_from_their_slot_to_their_answer() -> None:
    clock, takes = Clock(), iter([0.1, 0.1, 0.6])

    class Slow(HttpTransport):
        """Takes its slot as a transport over the network does, after half a second of connecting."""

        @override
        async def send(self, *arguments: Any, slot: Slot = UNLIMITED, **named: Any) -> Response:
            clock.now += 0.5
            await slot.acquire()
            clock.now += next(takes)
            await slot.release()
            return Response(200, {}, b"{}")

    session, seen = Session("http://127.0.0.1", ADMIN, Slow(timeout=1), Limiter(), clock=clock), list[float]()
    assert session.round_trip == 0
    for _ in range(3):
        await session.request("GET", ACCOUNT)
        seen.append(round(session.round_trip, 3))
    assert seen == [0.1, 0.1, 0.2]
