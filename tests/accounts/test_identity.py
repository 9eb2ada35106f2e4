"""The account's id, asked for once in five minutes however many want it."""

import anyio.lowlevel
import pytest
from typing_extensions import override

from amo_mcp.accounts.identity import KNOWN_SECONDS, AccountIdentity
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.amocrm.models import Account
from tests.clock import Clock

pytestmark = pytest.mark.anyio


class Renamed(AmoClient):
    """A client behind whose address is another account each time; it can be out of reach."""

    def __init__(self) -> None:
        self.asked = 0
        self.reachable = True

    @override
    async def account(self) -> Account:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if not self.reachable:
            raise Unavailable("could not be reached")
        return Account(id=self.asked, customers_mode="segments")


async def test_the_id_is_known_for_five_minutes() -> None:
    clock, client = Clock(), Renamed()
    identity = AccountIdentity(client, clock)
    assert [await identity.account_id(), await identity.account_id()] == [1, 1]
    clock.now += KNOWN_SECONDS - 0.001
    assert await identity.account_id() == 1
    clock.now += 0.001
    assert await identity.account_id() == 2


async def test_readers_at_the_same_time_share_one_request() -> None:
    client = Renamed()
    identity, ids = AccountIdentity(client, Clock()), list[int]()

    async def read() -> None:
        ids.append(await identity.account_id())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(read)
    assert (ids, client.asked) == ([1] * 20, 1)


async def test_an_account_that_cannot_be_read_is_asked_for_again() -> None:
    client = Renamed()
    identity = AccountIdentity(client, Clock())
    client.reachable = False
    with pytest.raises(Unavailable):
        await identity.account_id()
    client.reachable = True
    assert await identity.account_id() == 2
