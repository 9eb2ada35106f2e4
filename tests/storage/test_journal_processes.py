"""What the journal and the plans promise between processes, for every backend that processes can share."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from amo_mcp.changes.plan import Plan
from tests.storage.backends import Opened, backend_at
from tests.storage.examples import RENAME, change_of, created
from tests.storage.processes import at_once

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, or the address of a database."""
    if request.param == "sqlite":
        return str(tmp_path)
    url: SecretStr = request.getfixturevalue("database_url")
    return url.get_secret_value()


@pytest.fixture
async def opened(place: str) -> AsyncIterator[Opened]:
    async with backend_at(place) as opened:
        yield opened


@pytest.mark.requirement("PG-1")
async def test_processes_that_begin_changes_at_the_same_time_lose_none(opened: Opened, place: str) -> None:
    assert at_once("begin ten", place, 2) == [("", "", 0)] * 2
    assert [number for number, _ in await opened[0].changes(100)] == list(range(20, 0, -1))


@pytest.mark.requirement("PG-1")
async def test_of_processes_that_apply_one_plan_at_once_one_begins(opened: Opened, place: str) -> None:
    journal, plans = opened
    await plans.keep(Plan("p1", time.time(), "me", (RENAME,)))
    assert at_once("apply", place, 3) == [("", "", 0), ("refused\n", "", 0), ("refused\n", "", 0)]
    assert len(await journal.changes(10)) == 1


async def test_of_processes_that_undo_one_change_at_once_one_begins(opened: Opened, place: str) -> None:
    journal, _ = opened
    lease = await journal.begin("create_segment", change_of([created(96, "A")]))
    await journal.note(lease, {}, "done")
    assert at_once("undo", place, 2) == [("", "", 0), ("refused\n", "", 0)]
    assert len(await journal.changes(10)) == 2
