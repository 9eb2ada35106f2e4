"""The audit in the database of the replicas: it is read by person, kind and time, and only ever grows."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.storage.postgres import schema
from amo_mcp.storage.postgres.audit import PostgresAudit, record
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import MAX_PAGE, OPERATOR, Actor, Entry, Only, Recorded, Touched
from scripts.postgres import Cluster
from tests.clock import Clock
from tests.postgres import new_database

pytestmark = pytest.mark.anyio

ANNA = Actor("1:11", "Анна", "Claude 1.0")
BORIS = Actor("1:12", "Борис", "pages")
ROLE = Entry(
    kind="person",
    what="role",
    by=BORIS,
    subject="1:11",
    touched=(Touched("update", "person", "1:11", {"role": "viewer"}, {"role": "editor"}),),
)
CHANGE = Entry(
    kind="change",
    what="update_segment",
    by=ANNA,
    subject="c0123456789ab",
    approved_by="Борис",
    approved_how="page",
    touched=(Touched("update", "segment", "51", {"name": "VIP"}, {"name": "VIP\0\ud800"}, "done", "req-1"),),
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(database: Database, clock: Clock) -> PostgresAudit:
    return PostgresAudit(database, clock=clock)


@pytest.mark.requirement("TEAM-40")
async def test_an_entry_is_read_as_it_was_recorded(audit: PostgresAudit, clock: Clock) -> None:
    await audit.add(CHANGE)
    assert await audit.page(10) == [Recorded(1, clock.now, CHANGE)]


async def test_the_newest_entries_come_first_in_pages(audit: PostgresAudit) -> None:
    for number in range(5):
        await audit.add(replace(ROLE, subject=str(number)))
    first = await audit.page(2)
    rest = await audit.page(10, before=first[-1].number)
    assert [one.entry.subject for one in first] == ["4", "3"]
    assert [one.entry.subject for one in rest] == ["2", "1", "0"]


@pytest.mark.requirement("TEAM-40")
@pytest.mark.parametrize(
    ("only", "found"),
    [
        (Only(), [3, 2, 1]),
        (Only(who="1:11"), [2]),
        (Only(who="Анна"), [2]),
        (Only(who="Борис"), [2, 1]),
        (Only(who="Борис\0"), []),
        (Only(kind="token"), [3]),
        (Only(kind="change", who="Борис"), [2]),
        (Only(since=1010.0), [3, 2]),
        (Only(until=1010.0), [1]),
        (Only(since=1005.0, until=1015.0), [2]),
    ],
)
async def test_entries_are_found_by_person_kind_and_time(
    only: Only, found: list[int], audit: PostgresAudit, clock: Clock
) -> None:
    clock.now = 1000.0
    for entry in (ROLE, CHANGE, Entry(kind="token", what="made", by=OPERATOR)):
        await audit.add(entry)
        clock.now += 10
    assert [one.number for one in await audit.page(10, only=only)] == found


async def test_a_page_is_bounded(audit: PostgresAudit, database: Database) -> None:
    async with database.transaction() as session:
        for _ in range(MAX_PAGE + 1):
            await record(session, ROLE)
    assert len(await audit.page(MAX_PAGE)) == MAX_PAGE
    assert len(await audit.page(10 * MAX_PAGE)) == MAX_PAGE


@pytest.mark.requirement("TEAM-40")
async def test_what_is_undone_is_not_told_of(audit: PostgresAudit, database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await record(session, ROLE)
            raise ZeroDivisionError
    assert await audit.page(10) == []


@pytest.mark.requirement("TEAM-41")
@pytest.mark.parametrize("statement", ["UPDATE audit SET name = ''", "DELETE FROM audit", "TRUNCATE audit"])
async def test_nothing_is_taken_back_even_by_who_owns_the_table(
    statement: str, audit: PostgresAudit, database: Database
) -> None:
    await audit.add(ROLE)
    with pytest.raises(StorageUnavailable) as caught:
        await database.execute(statement)
    assert isinstance(caught.value.__cause__, asyncpg.InsufficientPrivilegeError)
    assert [one.entry for one in await audit.page(10)] == [ROLE]


async def test_the_clock_of_the_database_counts_unless_another_is_given(database: Database) -> None:
    await PostgresAudit(database).add(ROLE)
    [kept] = await PostgresAudit(database).page(1)
    assert 0 <= await database.fetchval("SELECT unix_now()") - kept.at < 60


def test_what_is_exported_says_only_what_there_is() -> None:
    assert Recorded(7, 1_700_000_000.5, ROLE).as_json() == {
        "at": "2023-11-14T22:13:20Z",
        "number": 7,
        "kind": "person",
        "what": "role",
        "outcome": "done",
        "person": "1:12",
        "name": "Борис",
        "client": "pages",
        "subject": "1:11",
        "touched": [
            {
                "action": "update",
                "kind": "person",
                "id": "1:11",
                "before": {"role": "viewer"},
                "after": {"role": "editor"},
            }
        ],
    }


@pytest.mark.requirement("TEAM-11", "TEAM-41")
async def test_a_server_that_does_not_own_the_audit_cannot_take_it_apart(postgres: Cluster) -> None:
    server, auditor = (f"{role}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}" for role in ("amo", "amo_auditor"))

    def of_deploy(name: str) -> str:
        text = (Path(__file__).parents[3] / "deploy" / name).read_text("utf-8")
        # What psql does is left to it.
        text = re.sub(r"^\\.*$", "", text.replace(":'password'", "'letters'"), flags=re.MULTILINE)
        return re.sub(r"\bamo_auditor\b", auditor, re.sub(r"\bamo\b", server, text))

    async with superuser(await new_database(postgres, f"audited-{server}")) as operator:
        await operator.execute(of_deploy("roles.sql"))
        try:
            await operator.execute(f"SET ROLE {server}")
            await schema.upgrade(operator)
            for _ in range(2):
                await operator.execute(f"RESET ROLE; {of_deploy('audit.sql')} SET ROLE {server}")
            await record(operator, ROLE)
            assert await operator.fetchval("SELECT subject FROM audit") == "1:11"
            for statement in (
                "UPDATE audit SET name = ''",
                "DELETE FROM audit",
                "TRUNCATE audit",
                "DROP TABLE audit",
                "ALTER TABLE audit DISABLE TRIGGER only_grows",
                "DROP TRIGGER only_grows ON audit",
                "DROP FUNCTION audit_only_grows() CASCADE",
                "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
                "DROP SCHEMA public CASCADE",
                "SET session_replication_role = replica",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await operator.execute(statement)
        finally:
            await operator.execute(f"RESET ROLE; DROP OWNED BY {server}, {auditor}; DROP ROLE {server}, {auditor}")


@asynccontextmanager
async def superuser(url: SecretStr) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url.get_secret_value())
    try:
        yield connection
    finally:
        await connection.close()
