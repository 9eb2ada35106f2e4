"""Who follows the account is told of every change that this server made or may have made, and of nothing else."""

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import (
    ClientCapabilities,
    EmptyResult,
    Implementation,
    InitializeRequest,
    InitializeRequestParams,
    InitializeResult,
    JSONRPCNotification,
    JSONRPCRequest,
    ResourceListChangedNotification,
    ResourcesCapability,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from amo_mcp.changes.events import ANYTHING, ChangeEvent, Listener
from amo_mcp.sandbox import USER_TOKEN, Fault, Sandbox
from amo_mcp.server import subscriptions
from amo_mcp.server.app import AmoServer
from amo_mcp.server.uris import uris_of
from amo_mcp.storage.memory.events import MemoryChangeEvents
from tests.conftest import ERAS, Person, Serve, Served, answer, error, resource_text
from tests.journeys.test_stdio import ERAS as STDIO_ERAS
from tests.journeys.test_stdio import started

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS
LIST = "the list"
ALL = ("amo://segments/51", "amo://segments", "amo://statuses/4740019", "amo://statuses", "amo://account")
PATIENCE = 5
"""Seconds that a notification can take before the test gives up."""


_SETTLED_SECONDS = 0.5
"""What would come, has come by then."""


@dataclass
class Follower:
    """A client that follows the account, and what it has heard: URIs, and that the list of resources has changed."""

    client: Client
    heard: list[str] = field(default_factory=list)
    _more: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, message: Any) -> None:
        match message:
            case ResourceUpdatedNotification():
                self.heard.append(str(message.params.uri))
            case ResourceUpdated():
                self.heard.append(message.uri)
            case ResourceListChangedNotification() | ResourcesListChanged():
                self.heard.append(LIST)
            case _:
                self.heard.append(repr(message))
        self._more.set()
        self._more = anyio.Event()

    async def wait_for(self, count: int) -> None:
        """Wait until it has heard that much."""
        with anyio.fail_after(PATIENCE):
            while len(self.heard) < count:
                await self._more.wait()

    async def hears(self, *expected: str) -> None:
        """That is what it hears next, to the end."""
        await self.wait_for(len(expected))
        # Over HTTP the servers wake ten times a second, so that some task may always look busy.
        with anyio.move_on_after(_SETTLED_SECONDS):
            await anyio.wait_all_tasks_blocked()
        assert self.heard == [*expected]
        self.heard.clear()


async def subscribe(client: Client, uri: str) -> None:
    """`resources/subscribe` of the older era, which the client's own method warns of."""
    await client.session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    await client.session.send_request(UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri)), EmptyResult)


@asynccontextmanager
async def following(server: Any, era: str, *uris: str, mode: str = "", person: Any = None) -> AsyncIterator[Follower]:
    """A client that wants to hear of `uris` and of the list, in the way of its era."""

    async def hear(message: Any) -> None:
        await follower(message)

    mode, handler = mode or ERAS[era], hear if era == OLD else None
    client = Client(server, mode=mode, message_handler=handler, elicitation_callback=person, cache=None)
    follower = Follower(client)
    async with client:
        if era == OLD:
            for uri in uris:
                await subscribe(client, uri)
            yield follower
            return
        async with (
            client.listen(resources_list_changed=True, resource_subscriptions=uris) as events,
            anyio.create_task_group() as group,
        ):
            assert set(events.honored.resource_subscriptions or ()) == set(uris)

            async def pass_on() -> None:
                async for event in events:
                    await follower(event)

            group.start_soon(pass_on)
            yield follower
            group.cancel_scope.cancel()


@dataclass
class Both:
    """A follower of each era; they hear the same."""

    old: Follower
    new: Follower

    async def hears(self, *expected: str) -> None:
        await self.old.hears(*expected)
        await self.new.hears(*expected)


@asynccontextmanager
async def follow(served: Served, *uris: str, person: Person | None = None) -> AsyncIterator[tuple[Client, Both]]:
    """Somebody who does, and somebody of each era who follows."""
    async with (
        served.client(NEW, person or Person("yes")) as client,
        following(served.server, OLD, *uris) as old,
        following(served.server, NEW, *uris) as new,
    ):
        yield client, Both(old, new)


@pytest.mark.requirement("RESOURCE-4")
async def test_changes_of_segments_are_announced_to_clients_of_both_eras(sandbox: Sandbox, serve: Serve) -> None:
    uris = ("amo://segments/51", "amo://segments/96", "amo://segments", "amo://account")
    async with serve(sandbox) as served, follow(served, *uris) as (client, follower):
        await client.call_tool("create_segment", {"name": "Новые"})
        await follower.hears("amo://segments/96", "amo://segments", "amo://account", LIST)
        await client.call_tool("update_segment", {"segment_id": 96, "name": "Новее"})
        await follower.hears("amo://segments/96", "amo://segments")
        await client.call_tool("delete_segment", {"segment_id": 51})
        await follower.hears("amo://segments/51", "amo://segments", "amo://account", LIST)


@pytest.mark.requirement("RESOURCE-4")
async def test_changes_of_statuses_are_announced_to_clients_of_both_eras(periodicity: Sandbox, serve: Serve) -> None:
    new = ("amo://statuses/5649280", "amo://statuses/5649283")
    async with serve(periodicity) as served, follow(served, *ALL, *new) as (client, follower):
        drafts = [{"name": name, "sort": sort} for sort, name in enumerate(("Тёплые", "Горячие"), 100)]
        await client.call_tool("create_statuses", {"statuses": drafts})
        await follower.hears(*new, "amo://statuses", "amo://account", LIST)
        await client.call_tool("update_status", {"status_id": 4740019, "name": "Зерно"})
        await follower.hears("amo://statuses/4740019", "amo://statuses")
        await client.call_tool("delete_status", {"status_id": 5649280})
        await follower.hears(new[0], "amo://statuses", "amo://account", LIST)


async def test_a_change_confirmed_in_two_steps_is_announced_when_it_is_made(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (_, follower), served.client(NEW) as client:
        failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        await follower.hears()
        await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]})
        await follower.hears("amo://segments/51", "amo://segments", "amo://account", LIST)


async def test_a_change_that_a_person_declined_is_not_announced(sandbox: Sandbox, serve: Serve) -> None:
    person = Person()
    async with serve(sandbox) as served, follow(served, *ALL, person=person) as (client, follower):
        for person.says in ("no", "decline", "cancel"):
            assert error(await client.call_tool("delete_segment", {"segment_id": 51}))["code"] == "declined"
            await client.call_tool("update_segment", {"segment_id": 51, "name": "Иначе"})
            await follower.hears()
        await client.call_tool("create_segment", {"name": "Новые"})
        await follower.hears("amo://segments", "amo://account", LIST)


async def test_reads_refusals_and_writes_that_were_not_made_are_not_announced(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (client, follower):
        create: tuple[str, dict[str, Any]] = ("create_segment", {"name": "Новые"})
        update: tuple[str, dict[str, Any]] = ("update_segment", {"segment_id": 51, "name": "Иначе"})
        for method, call in (("POST", create), ("PATCH", update)):
            for fault, code in (
                (Fault(method=method, status=400), "rejected"),
                (Fault(method=method, status=402), "payment_required"),
                (Fault(method=method, status=403), "forbidden"),
                (Fault(method=method, retry_after=3, times=4), "rate_limited"),
            ):
                sandbox.faults.add(fault)
                assert error(await client.call_tool(*call))["code"] == code
        sandbox.faults.add(Fault(method="PATCH", status=500))
        assert error(await client.call_tool(*update))["code"] == "unavailable"
        for tool in ("get_account", "list_segments", "list_statuses", "create_segment", "delete_status"):
            await client.call_tool(tool, {"status_id": 1} if tool == "delete_status" else {})
        await client.read_resource("amo://segments/51")
        await follower.hears()
    async with serve(sandbox, token=USER_TOKEN) as served, follow(served, *ALL) as (client, follower):
        assert error(await client.call_tool(*create))["code"] == "forbidden"
        await follower.hears()
    assert not [request for request in sandbox.requests if request.method == "DELETE"]


async def test_a_write_whose_outcome_is_unknown_is_announced(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (client, follower):
        lost: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
            ("POST", "create_segment", {"name": "Новые"}, ("amo://segments", "amo://account", LIST)),
            ("PATCH", "update_segment", {"segment_id": 51, "name": "Иначе"}, ALL[:2]),
            ("DELETE", "delete_segment", {"segment_id": 51}, (*ALL[:2], "amo://account", LIST)),
        ]
        for method, tool, arguments, expected in lost:
            await client.read_resource("amo://segments")
            sandbox.faults.add(Fault(method=method, status=504, times=4 if method != "POST" else 1))
            assert error(await client.call_tool(tool, arguments))["code"] == "outcome_unknown"
            await follower.hears(*expected)
            sandbox.requests.clear()
            await client.read_resource("amo://segments")
            assert len(sandbox.requests) == 1


async def test_a_change_that_was_found_made_after_a_lost_answer_is_announced_once(
    sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, follow(served, *ALL, "amo://segments/96") as (client, follower):
        sandbox.faults.add(Fault(method="POST", drop="after"))
        assert answer(await client.call_tool("create_segment", {"name": "Новые"}))["segment"]["id"] == 96
        await follower.hears("amo://segments/96", "amo://segments", "amo://account", LIST)


async def test_a_client_hears_of_the_resources_that_it_subscribed_to_only(sandbox: Sandbox, serve: Serve) -> None:
    async with (
        serve(sandbox) as served,
        follow(served, "amo://segments/51") as (client, one),
        follow(served) as (_, other),
    ):
        await client.call_tool("update_segment", {"segment_id": 54, "name": "Иначе"})
        await client.call_tool("update_segment", {"segment_id": 51, "name": "Иначе"})
        await one.hears("amo://segments/51")
        await other.hears()
        await client.call_tool("create_segment", {"name": "Новые"})
        await one.hears(LIST)
        await other.hears(LIST)


async def test_a_client_that_unsubscribed_or_closed_its_stream_hears_nothing_more(
    sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (client, follower):
        for uri in ("amo://segments", "amo://segments", "amo://segments/999"):
            await unsubscribe(follower.old.client, uri)
        async with following(served.server, NEW, *ALL) as listener:
            pass
        await client.call_tool("update_segment", {"segment_id": 51, "name": "Иначе"})
        await follower.old.hears("amo://segments/51")
        await follower.new.hears(*ALL[:2])
        assert listener.heard == []


async def test_the_two_eras_hear_of_each_others_changes(sandbox: Sandbox, serve: Serve) -> None:
    async with (
        serve(sandbox) as served,
        following(served.server, OLD, *ALL, person=Person()) as old,
        following(served.server, NEW, *ALL, person=Person()) as new,
    ):
        for follower in (old, new):
            await follower.client.call_tool("create_segment", {"name": "Новые"})
            await old.hears("amo://segments", "amo://account", LIST)
            await new.hears("amo://segments", "amo://account", LIST)


async def test_a_client_that_went_away_does_not_hinder_the_next_change(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(NEW, Person()) as client:
        for era in ERAS:
            async with following(served.server, era, *ALL) as gone:
                pass
            with anyio.fail_after(PATIENCE):
                assert "segment" in answer(await client.call_tool("create_segment", {"name": f"После {era}"}))
            assert gone.heard == []


@asynccontextmanager
async def unread(server: Any) -> AsyncIterator[Any]:
    """The end of a client of the older era that reads the answer to its greeting, and then nothing any more."""
    greeting = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "deaf", "version": "1"}}
    async with create_client_server_memory_streams() as ((read, write), there), anyio.create_task_group() as group:
        group.start_soon(server.run, *there, server.create_initialization_options())
        await write.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=1, method="initialize", params=greeting)))
        await read.receive()
        await write.send(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")))
        yield read
        group.cancel_scope.cancel()


async def test_a_connection_that_broke_does_not_hinder_the_next_change(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(NEW) as client, unread(served.server) as reading:
        await reading.aclose()
        for number in range(3):
            with anyio.fail_after(PATIENCE):
                assert "segment" in answer(await client.call_tool("create_segment", {"name": f"Новые {number}"}))


async def test_a_client_that_does_not_read_does_not_hinder_the_next_change(sandbox: Sandbox, serve: Serve) -> None:
    answered = []
    async with serve(sandbox) as served, served.client(NEW) as client, unread(served.server):
        with anyio.fail_after(PATIENCE):
            for number in range(3):
                created = answer(await client.call_tool("create_segment", {"name": f"Новые {number}"}))
                answered.append(created["segment"]["id"])
    assert answered == [96, 99, 102]


async def test_a_client_that_does_not_read_can_be_given_up_by_two_changes_at_once(
    sandbox: Sandbox, serve: Serve
) -> None:
    event = ChangeEvent("segment", (), adds_or_removes=True)
    async with (
        serve(sandbox) as served,
        following(served.server, OLD, "amo://segments") as follower,
        unread(served.server),
    ):
        publish = served.account.events.publish
        # The first fills what the client has room for.
        await publish(event)
        await follower.hears("amo://segments", LIST)
        async with anyio.create_task_group() as group:
            group.start_soon(publish, event)
            group.start_soon(publish, event)
        await follower.wait_for(4)
        assert sorted(follower.heard) == sorted(["amo://segments", LIST] * 2)


async def test_clients_that_look_alike_are_all_told(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(NEW) as client, AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(following(served.server, era, f"amo://segments/{96 + 3 * number}"))
            for number in range(3)
        ]
        for number in range(3):
            await client.call_tool("create_segment", {"name": f"Новые {number}"})
            for place, follower in enumerate(followers):
                await follower.hears(*([f"amo://segments/{96 + 3 * number}"] if place == number else []), LIST)


async def test_a_client_that_initializes_anew_is_told_once(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, following(served.server, OLD, "amo://segments") as follower:
        await served.account.events.publish(ChangeEvent("segment", (), adds_or_removes=True))
        await follower.hears("amo://segments", LIST)
        hello = InitializeRequestParams(
            protocol_version=OLD, capabilities=ClientCapabilities(), client_info=Implementation(name="x", version="2")
        )
        await follower.client.session.send_request(InitializeRequest(params=hello), InitializeResult)
        await follower.client.list_tools()
        await served.account.events.publish(ChangeEvent("segment", (), adds_or_removes=True))
        await follower.hears(LIST)


async def test_clients_that_come_and_go_are_forgotten_before_one_that_subscribed(
    sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_CLIENTS", 3)
    connections: list[weakref.ref[Any]] = []

    async def note(ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/list":
            connections.append(weakref.ref(ctx.session.client_params))
        return await call_next(ctx)

    async with serve(sandbox) as served, following(served.server, OLD, "amo://segments") as follower:
        served.server.middleware.append(note)
        for _ in range(10):
            async with served.client(OLD) as gone:
                await gone.list_tools()
        gc.collect()
        assert len([connection for connection in connections if connection() is not None]) == 2
        await served.account.events.publish(ChangeEvent("segment", (), adds_or_removes=True))
        await follower.hears("amo://segments", LIST)


async def test_of_too_many_clients_that_subscribed_the_one_heard_of_longest_ago_gives_way(
    sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_CLIENTS", 2)
    async with serve(sandbox) as served, AsyncExitStack() as stack:
        first, second, third = [
            await stack.enter_async_context(following(served.server, OLD, "amo://segments")) for _ in range(3)
        ]
        await served.account.events.publish(ChangeEvent("segment", ()))
        await second.hears("amo://segments")
        await third.hears("amo://segments")
        assert first.heard == []


async def test_subscriptions_of_one_client_are_bounded_in_number(sandbox: Sandbox, serve: Serve) -> None:
    async with (
        serve(sandbox) as served,
        served.client(NEW) as client,
        following(served.server, OLD) as follower,
    ):
        for number in range(1000):
            await subscribe(follower.client, f"amo://segments/{10_000 + number}")
        await subscribe(follower.client, "amo://segments")
        await client.call_tool("create_segment", {"name": "Новые"})
        await follower.hears(LIST)
        await unsubscribe(follower.client, "amo://segments/10000")
        await subscribe(follower.client, "amo://segments")
        await client.call_tool("create_segment", {"name": "Ещё новее"})
        await follower.hears("amo://segments", LIST)


async def test_streams_of_subscriptions_are_bounded_in_number(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(NEW) as client, AsyncExitStack() as streams:
        for number in range(1024):
            uri = f"amo://segments/{number}"
            await streams.enter_async_context(client.listen(resource_subscriptions=[uri]))
        with pytest.raises(MCPError, match="Subscription limit reached"):
            await streams.enter_async_context(client.listen(resources_list_changed=True))
        assert "segment" in answer(await client.call_tool("create_segment", {"name": "Новые"}))


async def test_the_declared_capabilities_are_those_of_subscriptions_in_each_era(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, Client(served.server, mode=STDIO_ERAS[era], cache=None) as client:
        assert client.protocol_version == era
        capabilities = client.server_capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
        if era == NEW:
            with pytest.raises(MCPError) as caught:
                await subscribe(client, "amo://segments")
            assert caught.value.code == -32601
    assert capabilities == {
        "completions": {},
        "prompts": {"listChanged": False},
        "resources": {"subscribe": True, "listChanged": True},
        "tools": {"listChanged": False},
        **({"extensions": {"io.modelcontextprotocol/ui": {}}} if era == NEW else {}),
    }


async def test_without_sessions_nothing_that_needs_one_is_declared_to_the_older_era(era: str) -> None:
    def connect() -> Any:
        raise AssertionError("the account is not needed")

    server = AmoServer(connect, read_only=False, stateless=True)
    async with Client(server, mode=STDIO_ERAS[era], cache=None) as client:
        hears = era == NEW
        resources = client.server_capabilities.resources
        assert resources == ResourcesCapability(subscribe=hears, list_changed=hears)
        with pytest.raises(MCPError) as caught:
            await subscribe(client, "amo://segments")
        assert caught.value.code == -32601


@pytest.mark.requirement("RESOURCE-4")
async def test_resources_completions_and_announcements_work_over_stdio(era: str) -> None:
    server, uris = started("serve", "--sandbox"), ("amo://segments/51", "amo://segments")
    async with following(server, era, *uris, mode=STDIO_ERAS[era], person=Person()) as follower:
        client = follower.client
        assert client.protocol_version == era
        assert "amo://segments/51" in [item.uri for item in (await client.list_resources()).resources]
        ref = ResourceTemplateReference(uri="amo://segments/{segment_id}")
        assert (await client.complete(ref, {"name": "segment_id", "value": "vip"})).completion.values == ["51", "54"]
        before = await client.read_resource("amo://segments/51")
        answer(await client.call_tool("delete_segment", {"segment_id": 51}))
        await follower.wait_for(3)
        assert follower.heard == [*uris, LIST]
        assert '"name":"VIP"' in resource_text(before)
        with pytest.raises(MCPError, match="There is no resource amo://segments/51"):
            await client.read_resource("amo://segments/51")


def test_an_event_of_no_known_kind_is_not_taken_for_a_status() -> None:
    for kind in ("customer", ""):
        with pytest.raises(AssertionError):
            uris_of(ChangeEvent(cast("Any", kind), (51,)))
    assert uris_of(ANYTHING) is None


async def test_clients_that_come_and_go_leave_no_listener_behind(
    era: str, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners: list[Listener] = []
    subscribe = MemoryChangeEvents.subscribe

    def counted(self: MemoryChangeEvents, listener: Listener) -> None:
        listeners.append(listener)
        subscribe(self, listener)

    monkeypatch.setattr(MemoryChangeEvents, "subscribe", counted)
    async with serve(sandbox) as served:
        for _ in range(5):
            async with served.client(era, Person()) as client:
                answer(await client.call_tool("update_segment", {"segment_id": 51, "name": "Лучшие"}))
    # What was read of the account, and the clients that subscribed.
    assert len(listeners) == 2
