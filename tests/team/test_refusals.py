"""What people were refused for their role is in the audit, and nobody can fill it with that."""

import pytest

from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import Actor, Entry
from amo_mcp.team.refusals import MAX_KNOWN_REFUSALS, Refusals
from tests.clock import Clock

pytestmark = pytest.mark.anyio

ANNA, BORIS = Actor("1:11", "Анна", "Claude 1.0"), Actor("1:12", "Борис")


async def told(database: Database) -> list[tuple[str, str]]:
    return [(one.entry.by.name, one.entry.what) for one in reversed(await PostgresAudit(database).page(200))]


@pytest.mark.requirement("TEAM-47")
async def test_the_same_refusal_is_told_once_a_minute(database: Database) -> None:
    clock = Clock()
    refusals = Refusals(PostgresAudit(database), clock)
    for _ in range(3):
        await refusals.note(ANNA, "delete_segment")
    await refusals.note(ANNA, "/people")
    await refusals.note(BORIS, "delete_segment")
    clock.now += 60
    await refusals.note(ANNA, "delete_segment")
    assert await told(database) == [
        ("Анна", "delete_segment"),
        ("Анна", "/people"),
        ("Борис", "delete_segment"),
        ("Анна", "delete_segment"),
    ]
    [*_, first] = await PostgresAudit(database).page(200)
    assert first.entry == Entry(kind="refusal", what="delete_segment", outcome="forbidden", by=ANNA)


async def test_the_refusals_that_are_remembered_are_bounded(database: Database) -> None:
    refusals = Refusals(PostgresAudit(database), Clock())
    await refusals.note(ANNA, "first")
    await database.close()
    for number in range(MAX_KNOWN_REFUSALS - 1):
        await refusals.note(ANNA, f"{number}")
    await database.open()
    await refusals.note(ANNA, "first")
    assert len(await told(database)) == 1
    await refusals.note(ANNA, "one more")
    await refusals.note(ANNA, "first")
    assert await told(database) == [("Анна", "first"), ("Анна", "one more"), ("Анна", "first")]
