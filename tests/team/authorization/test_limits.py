"""Signing in is bounded: how much is kept of it, and how much of what clients say is read."""

import pytest

from amo_mcp.team.authorization import store
from amo_mcp.team.authorization.addresses import MAX_CHARACTERS, is_allowed
from amo_mcp.team.authorization.fetch import MAX_BYTES
from amo_mcp.team.authorization.store import TooManyClients, visit
from tests.team.authorization.test_fetch import Network, Site, http
from tests.team.authorization.world import CIMD, Attempt, World

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
