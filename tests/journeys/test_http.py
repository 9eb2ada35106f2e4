"""The server over HTTP on loopback, with real clients of both eras."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, Implementation, InputRequiredResult, ResourceTemplateReference, TextResourceContents

from amo_mcp import __version__
from amo_mcp.listen import NotLoopback, listen
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.transports import uvicorn
from amo_mcp.transports.http import HttpApp
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.uvicorn import HttpServer
from tests.cli.test_serve import HELLO
from tests.conftest import Person, Serve, Served, answer, error
from tests.journeys.test_following import LIST, PATIENCE, following
from tests.journeys.test_stdio import ERAS

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS
ACCEPT = {"accept": "application/json, text/event-stream"}
DELETE_51 = ("delete_segment", {"segment_id": 51})
RENAME_51 = ("update_segment", {"segment_id": 51, "name": "Лучшие"})


@dataclass
class At:
    """A server that listens."""

    serving: HttpServer
    ready: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return self.serving.url

    @property
    def sessions(self) -> list[str]:
        return list(self.serving.app.sessions)

    def has_a_stream(self) -> bool:
        """Whether a client of the older era has the stream on which it hears; it opens it when it has begun."""
        return bool(self.serving.app.sessions.streams)

    async def run(self) -> None:
        await self.serving.serve_until_stopped(self.ready.set)
        self.ended.set()

    async def stop(self) -> None:
        """What a signal does, and until it is done."""
        self.serving.stop()
        with anyio.fail_after(PATIENCE):
            await self.ended.wait()

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition():
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def over_http(served: Served, host: str = "127.0.0.1") -> AsyncIterator[At]:
    """The server on a free port, for as long as the context lasts."""
    with listen(host, 0) as listener:
        at = At(HttpServer.on_loopback(served.server, listener))
        async with anyio.create_task_group() as group:
            group.start_soon(at.run)
            await at.ready.wait()
            try:
                yield at
            finally:
                at.serving.stop()


def client(at: At, era: str, person: Any = None, name: str = "tests") -> Client:
    info = Implementation(name=name, version="1")
    return Client(at.url, mode=ERAS[era], elicitation_callback=person, client_info=info, cache=None)


@pytest.mark.requirement("HTTP-1", "HTTP-6")
async def test_the_main_job_in_both_eras_at_one_address(era: str, sandbox: Sandbox, serve: Serve) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, over_http(served) as at, client(at, era, person) as mine:
        assert mine.protocol_version == era
        listed = answer(await mine.call_tool("list_segments", {"search": "vip"}))
        assert [segment["id"] for segment in listed["segments"]] == [51, 54]
        created = answer(await mine.call_tool("create_segment", {"name": "Новые"}))["segment"]
        await mine.call_tool("update_segment", {"segment_id": created["id"], "name": "Новее"})
        deleted = answer(await mine.call_tool("delete_segment", {"segment_id": created["id"]}))
        assert deleted["deleted"]["name"] == "Новее"
    assert [asked.message.splitlines()[0] for asked in person.asked] == [
        "Change segment «Новые»?",
        "Delete segment «Новее»?",
    ]


@pytest.mark.requirement("HTTP-6")
@pytest.mark.parametrize("says", ["no", "decline", "cancel"])
async def test_without_a_yes_in_the_dialog_nothing_is_written(
    era: str, says: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, over_http(served) as at, client(at, era, Person(says)) as mine:
        assert error(await mine.call_tool(*DELETE_51))["code"] == "declined"
    assert served.writes() == []


@pytest.mark.requirement("HTTP-1")
async def test_resources_completions_and_prompts_are_served(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, over_http(served) as at, client(at, era) as mine:
        listed = {str(resource.uri) for resource in (await mine.list_resources()).resources}
        assert {"amo://account", "amo://segments", "amo://segments/51"} <= listed
        [content] = (await mine.read_resource("amo://segments/51")).contents
        assert isinstance(content, TextResourceContents)
        assert json.loads(content.text)["name"] == "VIP"
        with pytest.raises(MCPError) as caught:
            await mine.read_resource("amo://segments/999")
        assert caught.value.code == -32602
        template = ResourceTemplateReference(uri="amo://segments/{segment_id}")
        completed = await mine.complete(template, {"name": "segment_id", "value": "vip"})
        assert completed.completion.values == ["51", "54"]
        assert {prompt.name for prompt in (await mine.list_prompts()).prompts} >= {"audit_segments"}


async def test_who_follows_hears_of_what_another_client_changes(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with (
        serve(sandbox) as served,
        over_http(served) as at,
        following(at.url, era, "amo://segments/51", mode=ERAS[era]) as follower,
        client(at, NEW, Person()) as other,
    ):
        if era == OLD:
            await at.until(at.has_a_stream)
        await other.call_tool(*RENAME_51)
        await follower.hears("amo://segments/51")
        await other.call_tool(*DELETE_51)
        await follower.hears("amo://segments/51", LIST)


@pytest.mark.requirement("RESOURCE-4")
async def test_every_session_is_notified_of_what_it_subscribed_to(sandbox: Sandbox, serve: Serve) -> None:
    async with (
        serve(sandbox) as served,
        over_http(served) as at,
        following(at.url, OLD, "amo://segments/51") as first,
        following(at.url, OLD, "amo://segments/54", person=Person()) as second,
        following(at.url, NEW, "amo://segments/51", mode=ERAS[NEW]) as third,
    ):
        await at.until(lambda: at.serving.app.sessions.streams == 2)
        await second.client.call_tool(*RENAME_51)
        await first.hears("amo://segments/51")
        await third.hears("amo://segments/51")
        await second.client.call_tool("delete_segment", {"segment_id": 54})
        await first.hears(LIST)
        await second.hears("amo://segments/54", LIST)
        await third.hears(LIST)


async def test_all_clients_share_one_account(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, over_http(served) as at:
        for era in (OLD, NEW, OLD):
            async with client(at, era) as mine:
                await mine.read_resource("amo://segments")
    assert len(served.requests()) == 1


class TestCallers:
    """An approval is one caller's, also where nobody signs in."""

    @pytest.mark.requirement("HTTP-7")
    async def test_another_session_cannot_use_an_approval(self, sandbox: Sandbox, serve: Serve) -> None:
        async with (
            serve(sandbox) as served,
            over_http(served) as at,
            client(at, OLD) as mine,
            client(at, OLD) as theirs,
        ):
            approval = {"approval_id": error(await mine.call_tool(*DELETE_51))["approval_id"]}
            refused = error(await theirs.call_tool("confirm_change", approval))
            assert refused["message"] == "No such question is pending, or it is not the caller's. Nothing was changed."
            assert served.writes() == []
            assert answer(await mine.call_tool("confirm_change", approval))["deleted"]["id"] == 51

    @pytest.mark.requirement("HTTP-7", "PLAN-6")
    async def test_another_session_of_a_client_cannot_apply_a_plan(self, sandbox: Sandbox, serve: Serve) -> None:
        change = {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"}
        async with (
            serve(sandbox) as served,
            over_http(served) as at,
            client(at, OLD, Person()) as mine,
            client(at, OLD, Person()) as theirs,
            client(at, NEW, Person()) as modern,
        ):
            plan = {"plan_id": answer(await mine.call_tool("plan_changes", {"changes": [change]}))["plan_id"]}
            for other in (theirs, modern):
                assert error(await other.call_tool("apply_plan", plan))["code"] == "not_found"
            assert served.writes() == []
            assert answer(await mine.call_tool("apply_plan", plan))["status"] == "done"

    async def test_a_header_does_not_make_a_session_where_there_are_none(self, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, over_http(served) as at, client(at, OLD) as mine:
            approval = {"approval_id": error(await mine.call_tool(*DELETE_51))["approval_id"]}
            [session] = at.sessions
            answered = await call_raw(at, "confirm_change", approval, {"mcp-session-id": session})
            assert answered["result"]["structuredContent"]["error"]["code"] == "confirmation_expired"
        assert served.writes() == []

    @pytest.mark.requirement("HTTP-7")
    async def test_clients_of_one_name_answer_their_own_dialogs(self, sandbox: Sandbox, serve: Serve) -> None:
        async with (
            serve(sandbox) as served,
            over_http(served) as at,
            client(at, NEW, Person()) as mine,
            client(at, NEW, Person()) as theirs,
        ):
            rounds = []
            for each in (mine, theirs):
                first = await each.session.call_tool(*RENAME_51, allow_input_required=True)
                assert isinstance(first, InputRequiredResult)
                rounds.append(first)
            my, their = rounds
            said: dict[str, Any] = {"input_responses": says("decline", their), "request_state": their.request_state}
            assert error(await theirs.session.call_tool(*RENAME_51, **said))["code"] == "declined"
            assert served.writes() == []
            said = {"input_responses": says("accept", my), "request_state": my.request_state}
            assert answer(await mine.session.call_tool(*RENAME_51, **said))["after"]["name"] == "Лучшие"
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]


def says(action: Any, asked: InputRequiredResult) -> dict[str, ElicitResult]:
    content = {"confirm": True} if action == "accept" else None
    return {key: ElicitResult(action=action, content=content) for key in asked.input_requests or {}}


async def call_raw(at: At, name: str, arguments: Any, headers: dict[str, str]) -> dict[str, Any]:
    """A call in the newer era, as bytes on the wire, by a client that calls itself as the others do."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": NEW,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments, "_meta": meta},
    }
    sent = {**ACCEPT, "mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": name, **headers}
    async with httpx2.AsyncClient() as http:
        answered = await http.post(at.url, json=body, headers=sent)
    assert answered.status_code == 200, answered.text
    return dict(answered.json())


class TestTheDoor:
    """What is refused before it is read."""

    @pytest.mark.parametrize("path", ["/mcp", "/healthz"])
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 421),
            ({"host": "127.0.0.1.evil.example:80"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": "https://localhost.evil.example"}, 403),
        ],
        ids=str,
    )
    @pytest.mark.requirement("HTTP-3")
    async def test_a_page_of_another_host_is_refused(
        self, path: str, headers: dict[str, str], status: int, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            url = at.url.removesuffix("/mcp") + path
            for sent in ({}, {"mcp-protocol-version": NEW}):
                method = "POST" if path == "/mcp" else "GET"
                body = HELLO if method == "POST" else None
                refused = await http.request(method, url, headers={**ACCEPT, **sent, **headers}, json=body)
                assert refused.status_code == status
            assert at.sessions == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    async def test_this_machines_own_names_are_let_in(self, host: str, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            for name in (host, f"{host}:9999"):
                sent = {**ACCEPT, "host": name, "origin": f"http://{name}"}
                assert (await http.post(at.url, json=HELLO, headers=sent)).status_code == 200

    @pytest.mark.requirement("HTTP-4")
    @pytest.mark.parametrize("version", [OLD, NEW])
    async def test_a_body_that_is_too_large_is_refused_unread(
        self, version: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async def in_parts() -> AsyncIterator[bytes]:
            for _ in range(17):
                yield b" " * 65536

        sent = {**ACCEPT, "content-type": "application/json", "mcp-protocol-version": version}
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            for body in (b" " * (MAX_MESSAGE_BYTES + 1), in_parts()):
                assert (await http.post(at.url, content=body, headers=sent)).status_code == 413
            fits = await http.post(at.url, content=b" " * MAX_MESSAGE_BYTES, headers=sent)
            assert fits.status_code == 400

    @pytest.mark.requirement("HTTP-5")
    async def test_healthz_reports_that_the_server_is_up_without_asking_amocrm(
        self, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            healthy = await http.get(at.url.removesuffix("/mcp") + "/healthz")
            assert (healthy.status_code, healthy.json()) == (
                200,
                {"status": "ok", "server": "amo-mcp", "version": __version__},
            )
            assert (await http.get(at.url.removesuffix("/mcp") + "/")).status_code == 404
        assert served.requests() == []

    async def test_of_too_many_sessions_the_one_that_was_idle_longest_gives_way(
        self, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "HttpApp", partial(HttpApp, max_sessions=2))
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            opened = [await http.post(at.url, json=HELLO, headers=ACCEPT) for _ in range(2)]
            sessions = [
                {**ACCEPT, "mcp-protocol-version": OLD, "mcp-session-id": one.headers["mcp-session-id"]}
                for one in opened
            ]
            ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
            assert (await http.post(at.url, json=ping, headers=sessions[0])).status_code == 200
            assert (await http.post(at.url, json=HELLO, headers=ACCEPT)).status_code == 200
            statuses = [(await http.post(at.url, json=ping, headers=session)).status_code for session in sessions]
            assert statuses == [200, 404]
            async with client(at, NEW) as mine:
                assert answer(await mine.call_tool("get_segment", {"segment_id": 51}))["name"] == "VIP"

    @pytest.mark.requirement("HTTP-2")
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", ""])
    async def test_an_address_off_loopback_is_not_listened_on(self, host: str) -> None:
        with pytest.raises(NotLoopback):
            listen(host, 0)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
    async def test_every_loopback_address_is_served(self, host: str, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, over_http(served, host) as at, client(at, NEW) as mine:
            assert answer(await mine.call_tool("get_segment", {"segment_id": 51}))["name"] == "VIP"


class TestTheEnd:
    """A stop lets finish what is under way, and waits for nothing that never ends."""

    @pytest.mark.requirement("HTTP-8")
    async def test_a_call_that_is_under_way_is_answered(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        sandbox.faults.add(Fault(method="POST", delay=0.5))
        names = []
        async with serve(sandbox) as served, over_http(served) as at, client(at, era) as mine:

            async def create() -> None:
                names.append(answer(await mine.call_tool("create_segment", {"name": "Новые"}))["segment"]["name"])

            await mine.list_tools()
            async with anyio.create_task_group() as group:
                group.start_soon(create)
                await at.until(served.writes)
                await at.stop()
        assert names == ["Новые"]

    @pytest.mark.requirement("HTTP-8")
    async def test_who_listens_is_not_waited_for(
        self, era: str, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "SHUTDOWN_SECONDS", 60)
        async with (
            serve(sandbox) as served,
            over_http(served) as at,
            following(at.url, era, "amo://segments", mode=ERAS[era]),
        ):
            if era == OLD:
                await at.until(at.has_a_stream)
            await at.stop()

    @pytest.mark.requirement("HTTP-8")
    async def test_an_open_dialog_expires(
        self, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "SHUTDOWN_SECONDS", 60)
        hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"elicitation": {}}}}
        call = {"name": DELETE_51[0], "arguments": DELETE_51[1]}
        async with serve(sandbox) as served, over_http(served) as at, httpx2.AsyncClient() as http:
            session = (await http.post(at.url, json=hello, headers=ACCEPT)).headers["mcp-session-id"]
            asking = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
            sent = {**ACCEPT, "mcp-session-id": session, "mcp-protocol-version": OLD}
            async with http.stream("POST", at.url, json=asking, headers=sent) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "event: message"
                assert "elicitation/create" in await anext(lines)
                await at.stop()
                said = [json.loads(line[6:]) async for line in lines if line.startswith("data: {")]
        assert said[0]["method"] == "notifications/cancelled"
        assert said[1]["result"]["structuredContent"]["error"] == {
            "code": "confirmation_expired",
            "message": "The server was stopped before the question was answered. Nothing was changed.",
            "retryable": False,
            "hint": "If it is still wanted, call the tool again to ask anew.",
        }
        assert served.writes() == []
