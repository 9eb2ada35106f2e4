"""A client at one replica hears of what another one did."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from mcp import Client
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.events import PostgresChangeEvents
from tests.conftest import Person, answer
from tests.journeys.test_following import LIST, Follower, following
from tests.runs.life import replica
from tests.storage.postgres.test_events import CUT

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

ERA = "2026-07-28"
FOLLOWED = "amo://segments/51", "amo://statuses/4740019", "amo://changes"


@asynccontextmanager
async def two(sandbox: Sandbox, url: SecretStr) -> AsyncIterator[tuple[Client, Follower]]:
    """A client that works at one replica, and one that listens at another."""
    async with AsyncExitStack() as stack:
        servers = []
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(group.cancel_scope.cancel)
        for _ in range(2):
            database = Database(url)
            await database.open()
            stack.push_async_callback(database.close)
            events = PostgresChangeEvents(database)
            await group.start(events.hear)
            opened = await stack.enter_async_context(replica(sandbox, database, events))
            await stack.enter_async_context(opened.serving())
            servers.append(opened.served())
        working = await stack.enter_async_context(servers[0].client(ERA, Person()))
        yield working, await stack.enter_async_context(following(servers[1].server, ERA, *FOLLOWED))


@pytest.mark.requirement("PG-8")
async def test_a_client_at_another_replica_hears_of_a_change_within_a_tenth_of_a_second(
    sandbox: Sandbox, database: Database, database_url: SecretStr
) -> None:
    async with two(sandbox, database_url) as (working, follower):
        await follower.client.call_tool("list_segments", {})
        for was_cut in (False, True, False):
            if was_cut:
                await database.execute(CUT)
                await follower.hears(*sorted(FOLLOWED), LIST)
            took = []
            for number in range(3):
                name = {"segment_id": 51, "name": f"VIP {number} {was_cut}"}
                answer(await working.call_tool("update_segment", name))
                ended = time.perf_counter()
                await follower.wait_for(2)
                took.append(time.perf_counter() - ended)
                await follower.hears("amo://segments/51", "amo://changes")
            assert min(took) < 0.1
        listed = answer(await follower.client.call_tool("list_segments", {}))
    assert [segment["name"] for segment in listed["segments"] if segment["id"] == 51] == ["VIP 2 False"]
