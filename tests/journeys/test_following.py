"""Who follows the account is told of every change that this server made or may have made, and of nothing else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import (
    EmptyResult,
    JSONRPCNotification,
    JSONRPCRequest,
    ResourceListChangedNotification,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from amo_mcp.changes.events import ChangeEvent
from amo_mcp.sandbox import USER_TOKEN, Fault, Sandbox
from tests.conftest import ERAS, Person, Serve, Served, answer, error
from tests.journeys.test_stdio import ERAS as STDIO_ERAS
from tests.journeys.test_stdio import started

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS
LIST = "the list"
ALL = ("amo://segments/51", "amo://segments", "amo://statuses/4740019", "amo://statuses", "amo://account")
PATIENCE = 5
"""Seconds that a notification can take before the test gives up."""


@dataclass
class Follower:
    """Somebody who follows the account, and what it has heard: URIs, and that the list is another."""

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

    async def hears(self, *expected: str) -> None:
        """That is what it hears next, to the end."""
        with anyio.fail_after(PATIENCE):
            while len(self.heard) < len(expected):
                await self._more.wait()
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

    async def told(message: Any) -> None:
        await follower(message)

    mode, handler = mode or ERAS[era], told if era == OLD else None
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
async def test_a_change_of_a_segment_is_told_to_who_follows(sandbox: Sandbox, serve: Serve) -> None:
    uris = ("amo://segments/51", "amo://segments/96", "amo://segments", "amo://account")
    async with serve(sandbox) as served, follow(served, *uris) as (client, follower):
        await client.call_tool("create_segment", {"name": "Новые"})
        await follower.hears("amo://segments/96", "amo://segments", "amo://account", LIST)
        await client.call_tool("update_segment", {"segment_id": 96, "name": "Новее"})
        await follower.hears("amo://segments/96", "amo://segments")
        await client.call_tool("delete_segment", {"segment_id": 51})
        await follower.hears("amo://segments/51", "amo://segments", "amo://account", LIST)


@pytest.mark.requirement("RESOURCE-4")
async def test_a_change_of_a_status_is_told_to_who_follows(periodicity: Sandbox, serve: Serve) -> None:
    new = ("amo://statuses/5649280", "amo://statuses/5649283")
    async with serve(periodicity) as served, follow(served, *ALL, *new) as (client, follower):
        drafts = [{"name": name, "sort": sort} for sort, name in enumerate(("Тёплые", "Горячие"), 100)]
        await client.call_tool("create_statuses", {"statuses": drafts})
        await follower.hears(*new, "amo://statuses", "amo://account", LIST)
        await client.call_tool("update_status", {"status_id": 4740019, "name": "Зерно"})
        await follower.hears("amo://statuses/4740019", "amo://statuses")
        await client.call_tool("delete_status", {"status_id": 5649280})
        await follower.hears(new[0], "amo://statuses", "amo://account", LIST)


async def test_a_change_that_was_confirmed_in_two_steps_is_told_when_it_is_made(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (_, follower), served.client(NEW) as client:
        failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        await follower.hears()
        await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]})
        await follower.hears("amo://segments/51", "amo://segments", "amo://account", LIST)


async def test_nobody_is_told_of_what_a_person_did_not_want(sandbox: Sandbox, serve: Serve) -> None:
    person = Person()
    async with serve(sandbox) as served, follow(served, *ALL, person=person) as (client, follower):
        for person.says in ("no", "decline", "cancel"):
            assert error(await client.call_tool("delete_segment", {"segment_id": 51}))["code"] == "declined"
            await client.call_tool("update_segment", {"segment_id": 51, "name": "Иначе"})
            await follower.hears()
        await client.call_tool("create_segment", {"name": "Новые"})
        await follower.hears("amo://segments", "amo://account", LIST)


async def test_nobody_is_told_of_what_was_read_refused_or_surely_not_made(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (client, follower):
        calls = [("create_segment", {"name": "Новые"}), ("update_segment", {"segment_id": 51, "name": "Иначе"})]
        for fault in (Fault(status=400), Fault(status=402), Fault(status=403), Fault(retry_after=300)):
            for method, call in zip(("POST", "PATCH"), calls, strict=True):
                sandbox.faults.add(Fault(**{**vars(fault), "method": method}))
                assert error(await client.call_tool(*call))["code"] not in ("outcome_unknown", "internal")
                served.reset_session()
        sandbox.faults.add(Fault(method="PATCH", status=500))
        assert error(await client.call_tool(*calls[1]))["code"] == "unavailable"
        for tool in ("get_account", "list_segments", "list_statuses", "create_segment", "delete_status"):
            await client.call_tool(tool, {"status_id": 1} if tool == "delete_status" else {})
        await client.read_resource("amo://segments/51")
        await follower.hears()
    async with serve(sandbox, token=USER_TOKEN) as served, follow(served, *ALL) as (client, follower):
        assert error(await client.call_tool(*calls[0]))["code"] == "forbidden"
        await follower.hears()
    assert not [request for request in sandbox.requests if request.method == "DELETE"]


async def test_when_nobody_knows_whether_it_was_made_everybody_is_told(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, follow(served, *ALL) as (client, follower):
        for method, call, told in (
            ("POST", ("create_segment", {"name": "Новые"}), ("amo://segments", "amo://account", LIST)),
            ("PATCH", ("update_segment", {"segment_id": 51, "name": "Иначе"}), ALL[:2]),
            ("DELETE", ("delete_segment", {"segment_id": 51}), (*ALL[:2], "amo://account", LIST)),
        ):
            await client.read_resource("amo://segments")
            sandbox.faults.add(Fault(method=method, status=504, times=4 if method != "POST" else 1))
            assert error(await client.call_tool(*call))["code"] == "outcome_unknown"
            await follower.hears(*told)
            sandbox.requests.clear()
            await client.read_resource("amo://segments")
            assert len(sandbox.requests) == 1


async def test_a_change_whose_answer_was_lost_and_that_was_found_made_is_told_once(
    sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, follow(served, *ALL, "amo://segments/96") as (client, follower):
        sandbox.faults.add(Fault(method="POST", drop="after"))
        assert answer(await client.call_tool("create_segment", {"name": "Новые"}))["segment"]["id"] == 96
        await follower.hears("amo://segments/96", "amo://segments", "amo://account", LIST)


async def test_one_who_follows_hears_of_its_own_resources_only(sandbox: Sandbox, serve: Serve) -> None:
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


async def test_who_follows_no_longer_hears_nothing(sandbox: Sandbox, serve: Serve) -> None:
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
    async with serve(sandbox) as served, unread(served.server):
        publish = served.account.events.publish
        await publish(event)
        async with anyio.create_task_group() as group:
            group.start_soon(publish, event)
            group.start_soon(publish, event)


async def test_a_flood_of_subscriptions_is_bounded(sandbox: Sandbox, serve: Serve) -> None:
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


async def test_a_flood_of_streams_is_bounded(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(NEW) as client, AsyncExitStack() as streams:
        for number in range(1024):
            uri = f"amo://segments/{number}"
            await streams.enter_async_context(client.listen(resource_subscriptions=[uri]))
        with pytest.raises(MCPError, match="Subscription limit reached"):
            await streams.enter_async_context(client.listen(resources_list_changed=True))
        assert "segment" in answer(await client.call_tool("create_segment", {"name": "Новые"}))


async def test_what_is_said_of_following_is_what_is_done(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, Client(served.server, mode=STDIO_ERAS[era], cache=None) as client:
        assert client.protocol_version == era
        told = client.server_capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
        if era == NEW:
            with pytest.raises(MCPError) as caught:
                await subscribe(client, "amo://segments")
            assert caught.value.code == -32601
    assert told == {
        "completions": {},
        "prompts": {"listChanged": False},
        "resources": {"subscribe": True, "listChanged": True},
        "tools": {"listChanged": False},
    }


@pytest.mark.requirement("RESOURCE-4")
async def test_all_of_it_over_stdio(era: str) -> None:
    server, uris = started("serve", "--sandbox"), ("amo://segments/51", "amo://segments")
    async with following(server, era, *uris, mode=STDIO_ERAS[era], person=Person()) as follower:
        client = follower.client
        assert client.protocol_version == era
        assert "amo://segments/51" in [item.uri for item in (await client.list_resources()).resources]
        ref = ResourceTemplateReference(uri="amo://segments/{segment_id}")
        assert (await client.complete(ref, {"name": "segment_id", "value": "vip"})).completion.values == ["51", "54"]
        before = await client.read_resource("amo://segments/51")
        answer(await client.call_tool("delete_segment", {"segment_id": 51}))
        with anyio.fail_after(PATIENCE):
            while len(follower.heard) < 3:
                await follower._more.wait()
        assert follower.heard == [*uris, LIST]
        assert '"name":"VIP"' in before.contents[0].text  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="There is no resource amo://segments/51"):
            await client.read_resource("amo://segments/51")
