"""The rate limit of the replicas while their database is away: nothing is sent, and nothing of before is forgotten."""

import anyio
import anyio.lowlevel
import pytest

from amo_mcp.amocrm.errors import RateLimited, Unavailable
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from tests.clock import Clock

pytestmark = pytest.mark.anyio

AGAIN = 1.001
"""Seconds after which a slot that was released is free."""


def replica(database: Database, clock: Clock) -> PostgresRateLimiter:
    return PostgresRateLimiter(database, "account", 1, timeout=20.0, sleep=clock.sleep, clock=clock)


@pytest.mark.requirement("PG-3")
async def test_while_the_database_is_away_no_request_is_prepared_and_none_is_sent(
    database: Database, clock: Clock
) -> None:
    limiter = replica(database, clock)
    with pytest.raises(Unavailable) as caught:
        async with limiter.reserve() as slot:
            await database.close()
            await slot.acquire()
    assert str(caught.value) == "was not asked, because the server's database cannot be used"
    with pytest.raises(Unavailable):
        async with limiter.reserve():
            await anyio.lowlevel.checkpoint()


async def test_an_answer_that_began_while_the_database_was_away_frees_its_slot_for_all_when_it_is_back(
    database: Database, clock: Clock
) -> None:
    one, other, began = replica(database, clock), replica(database, clock), clock.now
    async with one.reserve() as slot:
        await slot.acquire()
        await database.close()
        clock.now += 3
        await slot.release()
    clock.now += 0.5
    await database.open()
    assert await one.pause_left() == 0
    async with other.reserve() as slot:
        await slot.acquire()
    assert clock.now - began == pytest.approx(3 + AGAIN)


@pytest.mark.requirement("PG-5")
async def test_a_pause_that_was_asked_for_while_the_database_was_away_holds_for_all_when_it_is_back(
    database: Database, clock: Clock
) -> None:
    one, other = replica(database, clock), replica(database, clock)
    await database.close()
    await one.pause(300.0)
    await database.open()
    assert await one.pause_left() == 300.0
    with pytest.raises(RateLimited) as caught:
        async with other.reserve():
            await anyio.lowlevel.checkpoint()
    assert caught.value.retry_after == 300.0


async def test_what_is_no_table_of_slots_is_made_anew(database: Database, clock: Clock) -> None:
    await database.execute("INSERT INTO slots VALUES ('account', 'no table')")
    for _ in range(2):
        async with replica(database, clock).reserve() as slot:
            await slot.acquire()
            await slot.release()
    assert clock.now - Clock().now == pytest.approx(AGAIN)
