"""Signing in is bounded: how much is kept of it, and how much of what clients say is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from pydantic import SecretStr
from typing_extensions import override

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.oauth import SignInFailed
from amo_mcp.amocrm.ratelimit import OnWait, Slot
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.team.authorization import clients, store
from amo_mcp.team.authorization.addresses import MAX_CHARACTERS, is_allowed
from amo_mcp.team.authorization.clients import FRESH_SECONDS, Clients
from amo_mcp.team.authorization.fetch import MAX_BYTES
from amo_mcp.team.authorization.identity import Integration
from amo_mcp.team.authorization.store import TooManyClients, visit
from tests.team.authorization.test_fetch import Network, Site, http
from tests.team.authorization.world import ACCOUNT, CIMD, Attempt, World

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("TEAM-21")
def test_an_address_of_a_client_may_be_as_long_as_its_bound_and_no_longer() -> None:
    longest = "https://a.example/".ljust(MAX_CHARACTERS, "a")
    assert (is_allowed(longest), is_allowed(longest + "a")) == (True, False)


@pytest.mark.requirement("TEAM-21")
async def test_a_document_of_a_client_may_be_as_large_as_its_bound() -> None:
    assert await Network(Site(http(b"a" * MAX_BYTES))).fetch() == b"a" * MAX_BYTES


@pytest.mark.requirement("TEAM-21")
async def test_beyond_so_many_clients_none_registers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_CLIENTS", 2)
    await world.store.register_client("one", "{}")
    await world.store.register_client("two", "{}")
    with pytest.raises(TooManyClients):
        await world.store.register_client("three", "{}")
    async with world.browser() as browser:
        attempt = Attempt(browser)
        assert (await attempt.exchange(await attempt.code())).status_code == 200
    assert await world.store.client(CIMD)


@pytest.mark.requirement("TEAM-20")
async def test_of_too_many_requests_that_wait_for_a_person_the_oldest_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_REQUESTS", 2)
    for request_id in (b"1", b"2", b"3"):
        await world.store.ask(request_id, visit("/"))
    waiting = [await world.store.request(request_id, b"") is not None for request_id in (b"1", b"2", b"3")]
    assert waiting == [False, True, True]


@pytest.mark.requirement("TEAM-21")
async def test_slow_addresses_make_no_client_wait_that_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_FETCHES", 1)
    monkeypatch.setattr(clients, "SECONDS", 0.01)
    slow, entered = anyio.Event(), anyio.Event()

    async def fetch(url: str) -> bytes:
        if "slow" in url:
            entered.set()
            await slow.wait()
        return await world.fetch(url)

    known = Clients(world.store, fetch, lambda: world.clock.now)
    assert await known.get(CIMD)
    world.clock.now += FRESH_SECONDS
    async with anyio.create_task_group() as group:
        group.start_soon(known.get, "https://slow.example.com/mcp.json")
        await entered.wait()
        with anyio.fail_after(5):
            known_one, new_one = await known.get(CIMD), await known.get("https://new.example.com/mcp.json")
        assert (known_one is None, new_one, len(world.fetched)) == (False, None, 1), "neither had its turn"
        slow.set()
    assert await known.get(CIMD)
    assert world.fetched == [CIMD, "https://slow.example.com/mcp.json", CIMD]


@pytest.mark.requirement("TEAM-20")
async def test_codes_that_are_none_come_to_amocrm_one_at_a_time_and_in_its_pace() -> None:
    sandbox, at_once, slots = Sandbox(), [0], list[int]()

    class Pace(Unlimited):
        @override
        @asynccontextmanager
        async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
            at_once[0] += 1
            slots.append(at_once[0])
            try:
                async with super().reserve(on_wait) as slot:
                    yield slot
            finally:
                at_once[0] -= 1

    http = HttpTransport(timeout=20.0, app=sandbox.app)
    secret = SecretStr(sandbox.oauth.client_secret)
    integration = Integration(ACCOUNT, sandbox.oauth.client_id, secret, sandbox.oauth.redirect_uri, http, Pace())

    async def come() -> None:
        with pytest.raises(SignInFailed):
            await integration.identify("none")

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(come)
    await http.aclose()
    assert slots == [1] * 5
