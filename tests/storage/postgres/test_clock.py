"""Time is the database's: a replica whose own clock is wrong, or jumps, expires and frees nothing."""

import time

import anyio
import pytest

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.changes.plan import Plan
from amo_mcp.confirmation.approvals import LIFETIME
from amo_mcp.storage.postgres.approvals import PostgresApprovalStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from tests.storage.backends import account_id
from tests.storage.examples import RENAME
from tests.storage.test_approvals_contract import ME, opened

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wrong_by", [-86_400.0, 86_400.0])]


@pytest.fixture(autouse=True)
def _wrong_clock(wrong_by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + wrong_by)


async def now(database: Database) -> float:
    return float(await database.fetchval("SELECT unix_now()"))


@pytest.mark.requirement("PG-9")
async def test_a_question_lives_for_ten_minutes_of_the_databases_clock(database: Database) -> None:
    approvals = PostgresApprovalStore(database)
    approval = await opened(approvals)
    expected = await now(database)
    assert approval.expires == pytest.approx(expected + LIFETIME, abs=5)
    assert approvals.clock() == pytest.approx(expected, abs=5)
    assert await approvals.consume(approval.id, "chat", ME) == approval


@pytest.mark.requirement("PG-9")
async def test_a_plan_lives_for_an_hour_of_the_databases_clock(database: Database) -> None:
    plans = PostgresPlanStore(database, account_id)
    await plans.keep(Plan("p1", time.time(), "me", (RENAME,)))
    kept = await plans.plan("p1", "me")
    assert kept is not None
    assert kept.made == pytest.approx(await now(database), abs=5)
    await database.execute("UPDATE plans SET made = made - 3600")
    assert await plans.plan("p1", "me") is None


@pytest.mark.requirement("PG-9")
async def test_a_pause_lasts_as_long_as_the_databases_clock_says(database: Database) -> None:
    await PostgresRateLimiter(database, "account", 7).pause(300.0)
    with pytest.raises(RateLimited) as caught:
        async with PostgresRateLimiter(database, "account", 7).reserve():
            await anyio.lowlevel.checkpoint()
    assert caught.value.retry_after == pytest.approx(300.0, abs=5)
