"""What a journal does not hear of its own writing: the database may have gone at that very moment."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import time
from typing import Any, cast

import anyio
import pytest

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.changes.plan import Plan
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.runs import PostgresRunStore
from tests.storage.backends import account_id
from tests.storage.examples import PENDING, change_of, created

pytestmark = pytest.mark.anyio

PLAN = change_of([PENDING], plan_id="p1")


class Flaky:
    """A database of which transactions fail, each as the next of `fails` says: "before" or "after" their commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.fails: list[str | None] = []
        self.meanwhile: Callable[[], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        fails = self.fails.pop(0) if self.fails else None
        if fails == "before":
            raise StorageUnavailable("away")
        async with self._database.transaction() as session:
            yield session
        if fails == "after":
            if self.meanwhile is not None:
                await self.meanwhile()
            raise StorageUnavailable("away")


class Place:
    """A journal on a flaky database, whose leases last so many seconds."""

    def __init__(self, database: Database, seconds: float = 30.0) -> None:
        self.flaky = Flaky(database)
        flaky = cast("Database", self.flaky)
        self.runs = PostgresRunStore(flaky, account_id, seconds=seconds)
        self.journal = PostgresJournal(flaky, account_id, self.runs)
        self.plans = PostgresPlanStore(database, account_id)

    async def begun(self, *fails: str | None) -> bool:
        """Begin a plan while transactions fail; whether the error says that it may have begun."""
        await self.plans.keep(Plan("p1", time(), "me", PLAN.steps))
        self.flaky.fails = [*fails]
        with pytest.raises(StorageUnavailable) as caught:
            await self.journal.begin("apply_plan", PLAN)
        return caught.value.begun

    async def left(self) -> tuple[int, bool]:
        """How many changes there are, and whether the plan can be applied."""
        return len(await self.journal.changes(10)), await self.plans.plan("p1", "me") is not None


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_change_whose_beginning_was_not_heard_to_its_end_is_withdrawn_so_that_nothing_was_changed(
    fails: str, database: Database
) -> None:
    place = Place(database)
    assert await place.begun(fails) is False
    assert await place.left() == (0, True)


async def test_a_change_that_can_not_be_withdrawn_may_have_begun_and_is_carried_out_by_who_finds_it(
    database: Database,
) -> None:
    place = Place(database, seconds=0.0)
    assert await place.begun("after", "before") is True
    assert await place.left() == (1, False)
    lease = await Place(database).runs.claim()
    assert lease is not None
    assert lease.change.plan_id == "p1"


async def test_a_change_that_was_taken_over_meanwhile_is_not_withdrawn(database: Database) -> None:
    place, other = Place(database, seconds=0.0), Place(database)
    place.flaky.meanwhile = other.runs.claim
    assert await place.begun("after") is True
    assert await place.left() == (1, False)


async def test_a_record_of_a_change_under_way_that_is_not_heard_may_have_been_made(database: Database) -> None:
    place = Place(database)
    lease = await place.journal.begin("update_segment", change_of([PENDING]))
    place.flaky.fails = ["before"]
    with pytest.raises(StorageUnavailable) as caught:
        await place.journal.note(lease, {})
    assert caught.value.begun


async def test_what_was_created_late_is_recorded_as_soon_as_the_database_is_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(database, seconds=0.0)
    old = await place.journal.begin("create_segment", change_of([created(1, "A", outcome="pending")]))
    new = await Place(database).runs.claim()
    assert new is not None
    monkeypatch.setattr("amo_mcp.storage.postgres.runs._RETRY_SECONDS", 0.0)
    place.flaky.fails = ["before", "before", "before"]
    with anyio.fail_after(10):
        await place.runs.note_late(old, {0: [created(97, "A")]})
    await Place(database).journal.note(new, {0: created(1, "A", outcome="failed")}, "failed")
    change = await place.journal.change(old.id)
    assert change is not None
    assert [(step.outcome, step.target_id) for step in change.steps] == [("done", 97)]
