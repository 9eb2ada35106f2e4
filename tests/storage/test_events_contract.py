"""The contract of `ChangeEvents`, for every backend."""

from collections.abc import Awaitable, Callable

import anyio.lowlevel
import pytest

from amo_mcp.changes.events import ANYTHING, ChangeEvent, ChangeEvents
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.postgres.events import PostgresChangeEvents

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "postgres"])
def events(request: pytest.FixtureRequest) -> ChangeEvents:
    if request.param == "memory":
        return MemoryChangeEvents()
    return PostgresChangeEvents(request.getfixturevalue("database"))


@pytest.mark.requirement("PG-1")
async def test_every_listener_has_been_told_every_event_in_order_when_publishing_returns(events: ChangeEvents) -> None:
    told: list[tuple[str, ChangeEvent]] = []

    def listener(name: str) -> Callable[[ChangeEvent], Awaitable[None]]:
        async def listen(event: ChangeEvent) -> None:
            await anyio.lowlevel.checkpoint()
            told.append((name, event))

        return listen

    published = ChangeEvent("segment", (51, 54), adds_or_removes=True), ChangeEvent("journal"), ANYTHING
    events.subscribe(listener("first"))
    events.subscribe(listener("second"))
    for event in published:
        await events.publish(event)
    assert told == [(name, event) for event in published for name in ("first", "second")]


async def test_who_subscribes_later_is_told_what_comes_later(events: ChangeEvents) -> None:
    told: list[ChangeEvent] = []

    async def listen(event: ChangeEvent) -> None:
        await anyio.lowlevel.checkpoint()
        told.append(event)

    await events.publish(ChangeEvent("status", (1,)))
    events.subscribe(listen)
    await events.publish(ChangeEvent("status", (2,)))
    assert told == [ChangeEvent("status", (2,))]
