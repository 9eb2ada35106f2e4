"""The ASGI application of a small server, without a socket: what it serves, what it bounds, and how it ends."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Mount

from amo_mcp.transports import http
from amo_mcp.transports.http import HttpApp, known_as
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.messages import BUSY
from tests.transports.asgi import SECONDS, Exchange
from tests.transports.peers import INITIALIZE, INITIALIZED, NEW, OLD, TestServer, call, modern, text_of

pytestmark = pytest.mark.anyio

URL = "http://localhost/mcp"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Caller:
    """Calls an application, in its own task group where it does not wait for the response."""

    def __init__(self, app: HttpApp, server: TestServer, group: Any) -> None:
        self.app, self.server, self._group = app, server, group

    async def post(self, body: Any, session: str = "", **headers: str) -> Exchange:
        return await self._post(body, session, **headers).run(self.app)

    def begin_post(self, body: Any, session: str = "", **headers: str) -> Exchange:
        return self._begin(self._post(body, session, **headers))

    def listen(self, session: str) -> Exchange:
        return self._begin(Exchange("GET", "/mcp", {**ACCEPT, "mcp-session-id": session}))

    async def health(self) -> int:
        return (await Exchange("GET", "/healthz", {}).run(self.app)).status

    async def open(self) -> str:
        """Open a session of 2025-11-25, ready for calls."""
        opened = await self.post(INITIALIZE)
        assert opened.status == 200
        session = opened.headers["mcp-session-id"]
        assert (await self.post(INITIALIZED, session)).status == 202
        return session

    async def is_open(self, session: str) -> bool:
        status = (await self.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, session)).status
        assert status in {200, 404}
        return status == 200

    async def delete(self, session: str) -> None:
        ended = await Exchange("DELETE", "/mcp", {"mcp-session-id": session}).run(self.app)
        assert ended.status == 200

    async def begins(self, *names: str) -> None:
        """Wait until these tools have been called."""
        with anyio.fail_after(SECONDS):
            while [name for name, _ in self.server.called] != [*names]:
                await anyio.lowlevel.checkpoint()

    def _post(self, body: Any, session: str, **headers: str) -> Exchange:
        more = {"mcp-session-id": session} if session else {}
        return Exchange("POST", "/mcp", {**ACCEPT, **more, **headers}, body)

    def _begin(self, exchange: Exchange) -> Exchange:
        self._group.start_soon(exchange.run, self.app)
        return exchange


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Caller]:
    server = TestServer()
    app = HttpApp(server, **options)
    async with app.running(), anyio.create_task_group() as group:
        yield Caller(app, server, group)
        group.cancel_scope.cancel()


def modern_headers(name: str) -> dict[str, str]:
    return {"mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": name}


@pytest.mark.requirement("HTTP-1")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_both_eras_are_served_without_a_socket(mode: str) -> None:
    app = HttpApp(TestServer())
    async with (
        app.running(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as asgi,
        Client(streamable_http_client(URL, http_client=asgi), mode=mode, cache=None) as client,
    ):
        assert client.protocol_version == (OLD if mode == "legacy" else NEW)
        assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]


async def test_the_application_serves_while_its_lifespan_runs() -> None:
    app = HttpApp(TestServer())
    received = anyio.Event()
    send: list[str] = []

    async def receive() -> Any:
        if not send:
            return {"type": "lifespan.startup"}
        await received.wait()
        return {"type": "lifespan.shutdown"}

    async def sent(message: Any) -> None:
        send.append(message["type"])

    async with anyio.create_task_group() as group:
        group.start_soon(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, sent)
        with anyio.fail_after(SECONDS):
            while not send:
                await anyio.lowlevel.checkpoint()
        assert (await Caller(app, TestServer(), group).post(INITIALIZE)).status == 200
        received.set()
    assert send == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_application_can_be_mounted_in_another_one() -> None:
    app = HttpApp(TestServer())
    outer = Starlette(routes=[Mount("/crm", app)])
    async with app.running():
        assert (await Exchange("POST", "/crm/mcp", ACCEPT, INITIALIZE).run(outer)).status == 200
        assert (await Exchange("GET", "/crm/healthz", {}).run(outer)).status == 200


@pytest.mark.requirement("HTTP-5")
async def test_healthz_names_the_version() -> None:
    async with served() as caller:
        health = await Exchange("GET", "/healthz", {}).run(caller.app)
        assert json.loads(health.body) == {"status": "ok", "server": "amo-mcp", "version": "1.2.3"}


@pytest.mark.requirement("HTTP-3")
@pytest.mark.parametrize(
    ("host", "status"), [("crm.example", 200), ("crm.example:8000", 200), ("localhost", 421), ("evil.example", 421)]
)
async def test_only_the_hosts_that_the_application_was_given_may_call_it(host: str, status: int) -> None:
    async with served(security=known_as("crm.example")) as caller:
        assert (await caller.post(INITIALIZE, host=host, origin=f"http://{host}")).status == status
        assert (await Exchange("GET", "/healthz", {"host": host}).run(caller.app)).status == status


class TestStateless:
    async def test_a_client_of_the_older_era_gets_no_session_and_is_answered(self) -> None:
        async with served(stateless=True) as caller:
            opened = await caller.post(INITIALIZE)
            assert opened.status == 200
            assert "mcp-session-id" not in opened.headers
            answer = await caller.post(call(1, "echo", text="here"), **{"mcp-protocol-version": OLD})
            assert text_of(await answer.message()) == "here"

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_there_is_no_stream_to_open_and_no_session_to_end(self, method: str) -> None:
        async with served(stateless=True) as caller:
            refused = await Exchange(method, "/mcp", {**ACCEPT, "mcp-session-id": "made-up"}).run(caller.app)
            assert (refused.status, refused.headers["allow"]) == (405, "POST")


class TestBodies:
    @pytest.mark.requirement("HTTP-4")
    @pytest.mark.parametrize("version", [OLD, NEW])
    async def test_a_body_above_the_limit_is_refused(self, version: str) -> None:
        async with served() as caller:
            answer = await caller.post("x" * MAX_MESSAGE_BYTES, **{"mcp-protocol-version": version})
            assert answer.status == 413

    @pytest.mark.parametrize("version", [OLD, NEW])
    async def test_a_body_that_does_not_come_in_time_ends_the_connection(
        self, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http, "BODY_SECONDS", 0.01)
        async with served() as caller:
            headers = {**ACCEPT, "mcp-protocol-version": version}
            answer = await Exchange("POST", "/mcp", headers, INITIALIZE, whole=False).run(caller.app)
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert len(caller.app.sessions) == 0

    async def test_a_call_may_take_longer_than_its_body(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "BODY_SECONDS", 0.01)
        async with served() as caller:
            answer = caller.begin_post(modern(call(1, "wait")), **modern_headers("wait"))
            await caller.begins("wait")
            await anyio.sleep(0.02)
            caller.server.release.set()
            await answer.until(lambda: answer.complete)
            assert answer.status == 200


@pytest.mark.requirement("HTTP-9")
@pytest.mark.parametrize("member", [{"result": None}, {"result": ["accept"]}, {"error": "no window"}], ids=str)
async def test_an_answer_that_is_none_is_refused_and_ends_its_dialog_with_an_error(member: Any) -> None:
    async with served() as caller:
        session = await caller.open()
        asking = caller.begin_post(call(1, "ask"), session)
        dialog = await asking.message()
        refused = await caller.post({"jsonrpc": "2.0", "id": dialog["id"], **member}, session)
        assert refused.status == 400
        await asking.until(lambda: asking.complete)
        assert b'"message":"Invalid request: the line is not one JSON-RPC message"' in asking.body


async def test_a_request_that_is_refused_ends_no_dialog() -> None:
    async with served() as caller:
        session = await caller.open()
        asking = caller.begin_post(call(1, "ask"), session)
        dialog = await asking.message()
        assert (await caller.post({"id": dialog["id"], "method": "ping"}, session)).status == 400
        assert not asking.complete
        declined = {"jsonrpc": "2.0", "id": dialog["id"], "result": {"action": "decline"}}
        assert (await caller.post(declined, session)).status == 202
        await asking.until(lambda: asking.complete)
        assert b'"text":"decline"' in asking.body


class TestSessions:
    """Two can be open."""

    async def test_with_one_session_too_many_the_one_idle_longest_ends(self) -> None:
        async with served(max_sessions=2) as caller:
            first, second = await caller.open(), await caller.open()
            assert await caller.is_open(first)
            third = await caller.open()
            assert [await caller.is_open(item) for item in (first, second, third)] == [True, False, True]
            assert list(caller.app.sessions) == [first, third]

    async def test_a_session_whose_client_listens_outlives_one_whose_client_does_not(self) -> None:
        async with served(max_sessions=2) as caller:
            first = await caller.open()
            stream = caller.listen(first)
            await stream.until(lambda: stream.status)
            second, third = await caller.open(), await caller.open()
            assert list(caller.app.sessions) == [first, third]
            streams = [caller.listen(third)]
            await streams[0].until(lambda: streams[0].status)
            fourth = await caller.open()
            assert list(caller.app.sessions) == [third, fourth]
            assert not await caller.is_open(second)
            assert stream.complete

    async def test_a_session_with_a_call_under_way_does_not_end(self) -> None:
        async with served(max_sessions=2) as caller:
            calls = [caller.begin_post(call(1, "wait"), await caller.open()) for _ in range(2)]
            await caller.begins("wait", "wait")
            third = await caller.open()
            assert len(caller.app.sessions) == 3
            fourth = await caller.open()
            assert not await caller.is_open(third)
            assert await caller.is_open(fourth)
            caller.server.release.set()
            for answer in calls:
                assert (await answer.message())["result"]["content"][0]["text"] == "done"

    async def test_a_call_that_opens_no_session_ends_none(self) -> None:
        async with served(max_sessions=2) as caller:
            sessions = [await caller.open(), await caller.open()]
            for body in ("?", [INITIALIZE], call(1, "echo"), INITIALIZED):
                await caller.post(body)
            await caller.post(modern(call(1, "echo")), **modern_headers("echo"))
            assert [await caller.is_open(item) for item in sessions] == [True, True]

    async def test_a_session_that_its_client_ends_makes_room(self) -> None:
        async with served(max_sessions=2) as caller:
            first, second = await caller.open(), await caller.open()
            await caller.delete(second)
            await caller.open()
            assert await caller.is_open(first)

    async def test_a_session_that_is_not_known_is_not_kept(self) -> None:
        async with served() as caller:
            assert not await caller.is_open("made up")
            assert (
                await Exchange("GET", "/mcp", {**ACCEPT, "mcp-session-id": "made up"}).run(caller.app)
            ).status == 404
            assert len(caller.app.sessions) == 0


class TestTheEnd:
    async def test_a_draining_application_serves_open_sessions_only(self) -> None:
        async with served() as caller:
            session = await caller.open()
            caller.app.drain()
            assert caller.server.closing.is_set()
            for refused in (
                await caller.post(INITIALIZE),
                await caller.post(modern(call(1, "echo")), **modern_headers("echo")),
            ):
                assert (refused.status, refused.headers["connection"]) == (503, "close")
                error = {"code": BUSY, "message": "The server is shutting down"}
                assert json.loads(refused.body) == {"jsonrpc": "2.0", "id": None, "error": error}
            assert await caller.health() == 503
            assert await caller.is_open(session)

    async def test_a_draining_application_waits_for_calls_and_not_for_streams(self) -> None:
        async with served() as caller, AsyncExitStack() as stack:
            session = await caller.open()
            stream = caller.listen(session)
            await stream.until(lambda: stream.status)
            calls = [
                caller.begin_post(call(1, "wait"), session),
                caller.begin_post(modern(call(1, "wait")), **modern_headers("wait")),
            ]
            await caller.begins("wait", "wait")
            caller.app.drain()
            with anyio.move_on_after(0.05) as waiting:
                await caller.app.all_answered()
            assert waiting.cancelled_caught
            stack.callback(caller.server.release.set)
            caller.server.release.set()
            with anyio.fail_after(SECONDS):
                await caller.app.all_answered()
            assert [answer.status for answer in calls] == [200, 200]
            assert not stream.complete

    async def test_a_draining_application_takes_the_answer_of_a_dialog(self) -> None:
        async with served() as caller:
            session = await caller.open()
            asking = caller.begin_post(call(1, "ask"), session)
            dialog = await asking.message()
            caller.app.drain()
            declined = {"jsonrpc": "2.0", "id": dialog["id"], "result": {"action": "decline"}}
            assert (await caller.post(declined, session)).status == 202
            with anyio.fail_after(SECONDS):
                await caller.app.all_answered()
            assert b'"text":"decline"' in asking.body

    async def test_what_is_left_at_the_end_is_ended_with_an_answer(self) -> None:
        async with served() as caller:
            session = await caller.open()
            with_progress = call(2, "wait")
            with_progress["params"]["_meta"] = {"progressToken": 1}
            left = {
                "stream": caller.listen(session),
                "dialog": caller.begin_post(call(1, "ask"), session),
                "call": caller.begin_post(call(2, "wait"), session),
                "modern": caller.begin_post(modern(call(1, "wait")), **modern_headers("wait")),
                "modern stream": caller.begin_post(modern(with_progress), **modern_headers("wait")),
            }
            await left["modern stream"].message()
            await left["stream"].until(lambda: left["stream"].status)
            await left["dialog"].message()
            with anyio.fail_after(SECONDS):
                while len(caller.server.called) < 4:
                    await anyio.lowlevel.checkpoint()
            caller.app.drain()
            await caller.app.end()
            with anyio.fail_after(SECONDS):
                await caller.app.all_answered()
            assert {name: (item.status, item.complete) for name, item in left.items()} == {
                "stream": (200, True),
                "dialog": (200, True),
                "call": (200, True),
                "modern": (503, True),
                "modern stream": (200, True),
            }
            assert len(caller.app.sessions) == 0
