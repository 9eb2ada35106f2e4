"""The database of the replicas: its tables, and what becomes of it when the server stops, dies, or is too slow."""

import os
import signal
import socket
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import pytest
from pydantic import SecretStr

from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable
from amo_mcp.failures.explain import explain
from amo_mcp.storage.postgres import schema
from amo_mcp.storage.postgres.database import Database
from scripts.postgres import Cluster, running
from tests.postgres import new_database

pytestmark = pytest.mark.anyio

TIMEOUT = 0.3
"""Seconds that the impatient database of a test waits for anything."""


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A server that a test may stop and kill."""
    with running() as cluster:
        yield cluster


@pytest.fixture
async def url(postgres: Cluster) -> SecretStr:
    """A database with nothing in it."""
    return await new_database(postgres, f"empty-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")


@asynccontextmanager
async def opened(url: SecretStr, **how: Any) -> AsyncIterator[Database]:
    database = Database(url, **how)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def mark(database: Database, word: str) -> None:
    await database.execute("INSERT INTO credential_locks (owner) VALUES ($1)", word)


async def marks(database: Database) -> list[str]:
    return [row["owner"] for row in await database.fetch("SELECT owner FROM credential_locks ORDER BY owner")]


async def refused(database: Database) -> str:
    """Why a database is none that a replica can use."""
    with pytest.raises(JournalUnusable) as caught:
        await database.open()
    assert not isinstance(caught.value, StorageUnavailable)
    return caught.value.reason


class TestTables:
    @pytest.mark.requirement("PG-2")
    async def test_of_replicas_that_start_at_once_one_makes_the_tables(self, url: SecretStr) -> None:
        replicas = [Database(url) for _ in range(6)]
        async with anyio.create_task_group() as group:
            for replica in replicas:
                group.start_soon(replica.open)
        rows = await replicas[0].fetch("SELECT number, name FROM migrations ORDER BY number")
        assert [tuple(row) for row in rows] == [(number, name) for number, (name, _) in schema.migrations().items()]
        for replica in replicas:
            assert await marks(replica) == []
            await replica.close()

    async def test_a_later_start_changes_nothing(self, database: Database, database_url: SecretStr) -> None:
        await mark(database, "kept")
        async with opened(database_url) as again:
            assert await marks(again) == ["kept"]

    async def test_a_file_that_fails_leaves_nothing_of_itself(
        self, url: SecretStr, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = schema.migrations()
        broken = {
            9998: ("9998_good.sql", "CREATE TABLE good ()"),
            9999: ("9999.sql", "CREATE TABLE half (); SELECT 1/0"),
        }
        monkeypatch.setattr(schema, "migrations", lambda: released | broken)
        with pytest.raises(StorageUnavailable):
            await Database(url).open()
        monkeypatch.setattr(schema, "migrations", lambda: released | {**broken, 9999: ("9999.sql", "SELECT 1")})
        async with opened(url) as database:
            tables = await database.fetch("SELECT tablename FROM pg_tables WHERE tablename IN ('good', 'half')")
            assert [row["tablename"] for row in tables] == ["good"]

    def test_the_files_are_numbered_without_a_gap(self) -> None:
        assert [*schema.migrations()] == [*range(1, len(schema.migrations()) + 1)]

    @pytest.mark.requirement("PG-2")
    async def test_what_a_later_release_has_written_is_refused(self, url: SecretStr) -> None:
        async with opened(url) as database:
            await database.execute("INSERT INTO migrations (number, name) VALUES (1000, 'later')")
        assert await refused(Database(url)) == "a later version of amo-mcp has written it; update amo-mcp"

    @pytest.mark.requirement("PG-2")
    async def test_an_older_postgresql_is_refused(self, url: SecretStr, monkeypatch: pytest.MonkeyPatch) -> None:
        version = asyncpg.types.ServerVersion(14, 9, 0, "final", 0)
        monkeypatch.setattr(asyncpg.Connection, "get_server_version", lambda _: version)
        assert await refused(Database(url)) == "PostgreSQL 15 or newer is needed, and this is 14"

    @pytest.mark.requirement("PG-2")
    async def test_a_database_that_cannot_hold_every_name_is_refused(self, postgres: Cluster) -> None:
        url = await new_database(postgres, "latin", "ENCODING 'LATIN1'")
        assert await refused(Database(url)) == "the database has to be in UTF8, and is in LATIN1"

    @pytest.mark.requirement("PG-2")
    async def test_a_user_who_may_not_make_tables_is_refused_until_they_are_there(self, own: Cluster) -> None:
        url = await new_database(own, "limited")
        limited = SecretStr(url.get_secret_value().replace("amo@", "limited@"))
        async with Database(url).direct() as connection:
            await connection.execute("CREATE ROLE limited LOGIN")
            told = await refused(Database(limited))
            assert told == "its user may not make the tables: GRANT CREATE ON SCHEMA public TO the user"
            async with opened(url):
                await connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO limited")
            async with opened(limited) as database:
                await mark(database, "kept")
                assert await marks(database) == ["kept"]

    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("address", ["u:pa55#word@db/amo", "u:pa55/word@db/amo", "u:pa[55word@db", "db?sslmode=no"])
    async def test_an_address_that_cannot_be_read_is_refused_without_a_word_of_its_password(self, address: str) -> None:
        with pytest.raises(JournalUnusable) as caught:
            await Database(SecretStr(f"postgresql://{address}")).open()
        told = "".join(traceback.format_exception(caught.value))
        assert "it is no address such as postgresql://user:password@host:port/name" in caught.value.reason
        assert (type(caught.value), "pa55" in told) == (JournalUnusable, False)


class TestAway:
    @pytest.mark.parametrize("how", ["stopped", "killed"])
    @pytest.mark.requirement("PG-3")
    async def test_while_the_server_is_down_calls_fail_and_nothing_of_them_is_there_when_it_is_back(
        self, how: str, own: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = await new_database(own, "away")
        async with opened(url) as database:
            await mark(database, "before")
            with pytest.raises(StorageUnavailable):
                async with database.transaction() as session:
                    await session.execute("INSERT INTO credential_locks (owner) VALUES ('half')")
                    own.stop() if how == "stopped" else own.kill()
                    while True:
                        # What serves a connection ends a moment after the server that was killed.
                        await session.execute("SELECT 1")
            with anyio.fail_after(5):
                for _ in range(3):
                    with pytest.raises(StorageUnavailable):
                        await mark(database, "down")
                with pytest.raises(StorageUnavailable):
                    await Database(url).open()
            own.start()
            await mark(database, "again")
            assert await marks(database) == ["again", "before"]
        # That it is away is said once by each of the two, and once that it is back.
        messages = [message.partition(":")[0] for message in caplog.messages]
        assert messages == ["The database cannot be used"] * 2 + ["The database can be used again"]

    @pytest.mark.requirement("PG-3")
    async def test_a_connection_that_is_cut_in_a_transaction_takes_it_along_and_no_other(
        self, database: Database
    ) -> None:
        async with database.transaction() as other:
            with pytest.raises(StorageUnavailable):
                async with database.transaction() as session:
                    await session.execute("INSERT INTO credential_locks (owner) VALUES ('cut')")
                    pid = await session.fetchval("SELECT pg_backend_pid()")
                    await other.execute("SELECT pg_terminate_backend($1)", pid)
                    await session.execute("INSERT INTO credential_locks (owner) VALUES ('more')")
            await other.execute("INSERT INTO credential_locks (owner) VALUES ('other')")
        assert await marks(database) == ["other"]

    @pytest.mark.requirement("PG-3")
    async def test_what_takes_too_long_is_given_up(self, database_url: SecretStr) -> None:
        async with opened(database_url, timeout=TIMEOUT) as database:
            for query in ("SELECT pg_sleep(60)", "SELECT pg_sleep(60)"):
                with anyio.fail_after(5), pytest.raises(StorageUnavailable) as caught:
                    await database.execute(query)
                assert caught.value.reason == "QueryCanceledError"
            await mark(database, "next")
            assert await marks(database) == ["next"]

    async def test_a_lock_that_is_not_freed_is_not_waited_for(
        self, database: Database, database_url: SecretStr
    ) -> None:
        async with opened(database_url, timeout=TIMEOUT) as impatient, database.transaction() as session:
            await session.execute("INSERT INTO credential_locks (owner) VALUES ('mine')")
            with anyio.fail_after(5), pytest.raises(StorageUnavailable):
                await mark(impatient, "mine")
        assert await marks(database) == ["mine"]

    @pytest.mark.requirement("PG-3")
    async def test_a_server_that_stands_still_is_not_waited_for(
        self, database: Database, database_url: SecretStr
    ) -> None:
        async with opened(database_url, timeout=TIMEOUT) as impatient:
            pid = await impatient.fetchval("SELECT pg_backend_pid()")
            os.kill(pid, signal.SIGSTOP)
            try:
                with anyio.fail_after(10), pytest.raises(StorageUnavailable) as caught:
                    await mark(impatient, "lost")
                assert caught.value.reason == "TimeoutError"
            finally:
                os.kill(pid, signal.SIGCONT)

    @pytest.mark.requirement("PG-3")
    async def test_a_port_that_says_nothing_is_not_waited_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = SecretStr(f"postgresql://amo:secret@127.0.0.1:{silent.getsockname()[1]}/amo")
            with anyio.fail_after(5), pytest.raises(StorageUnavailable):
                await Database(url, timeout=TIMEOUT).open()

    async def test_where_every_connection_is_in_use_a_call_waits_no_longer_than_the_timeout(
        self, database_url: SecretStr
    ) -> None:
        async with opened(database_url, max_connections=1, timeout=TIMEOUT) as database:
            async with database.transaction():
                with anyio.fail_after(5), pytest.raises(StorageUnavailable):
                    await marks(database)
            assert await marks(database) == []

    async def test_where_the_server_has_no_connection_left_a_call_fails(
        self, database: Database, database_url: SecretStr
    ) -> None:
        await database.execute("DROP ROLE IF EXISTS few")
        await database.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        url = database_url.get_secret_value().replace("amo@", "few:secret@")
        with pytest.raises(StorageUnavailable) as caught:
            await Database(SecretStr(url)).open()
        assert caught.value.reason == "TooManyConnectionsError"

    @pytest.mark.requirement("PG-3")
    async def test_a_caller_hears_that_nothing_was_changed_and_to_try_again_and_no_secret_is_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = SecretStr("postgresql://amo:secret@127.0.0.1:1/amo")
        with pytest.raises(StorageUnavailable) as caught:
            await Database(url).open()
        failure = explain(caught.value)
        assert failure is not None
        assert failure.answer == {
            "error": {
                "code": "unavailable",
                "message": "The server's database cannot be used now (ConnectionRefusedError). Nothing was changed.",
                "retryable": True,
                "hint": "Try again in a minute.",
            }
        }
        assert caplog.messages == ["The database cannot be used: ConnectionRefusedError"]

    async def test_of_what_was_begun_before_it_was_lost_nobody_says_that_nothing_was_changed(self) -> None:
        failure = explain(StorageUnavailable("ConnectionRefusedError", begun=True))
        assert failure is not None
        assert failure.answer["error"] == {
            "code": "unavailable",
            "message": "The server's database cannot be used now (ConnectionRefusedError). "
            "The change stopped; what was sent before may have been made.",
            "retryable": False,
            "hint": "Read the targets before anything is sent again.",
        }


class TestUse:
    async def test_what_was_begun_is_finished_before_a_cancellation_is_heard(self, database: Database) -> None:
        with anyio.CancelScope() as scope:
            async with database.transaction() as session:
                await session.execute("INSERT INTO credential_locks (owner) VALUES ('begun')")
                scope.cancel()
                await session.execute("INSERT INTO credential_locks (owner) VALUES ('finished')")
            await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert await marks(database) == ["begun", "finished"]

    async def test_an_exception_leaves_nothing_of_its_transaction(self, database: Database) -> None:
        with pytest.raises(ValueError, match="mine"):
            async with database.transaction() as session:
                await session.execute("INSERT INTO credential_locks (owner) VALUES ('half')")
                raise ValueError("mine")
        assert await marks(database) == []

    async def test_after_it_was_closed_nothing_can_be_done(self, database: Database) -> None:
        for _ in range(2):
            await database.close()
        for use in (marks(database), database.fetchrow("SELECT 1"), database.fetchval("SELECT 1")):
            with pytest.raises(StorageUnavailable):
                await use
        with pytest.raises(StorageUnavailable):
            async with database.transaction():
                await anyio.lowlevel.checkpoint()

    async def test_closing_waits_for_nobody_longer_than_the_timeout(self, database_url: SecretStr) -> None:
        async with opened(database_url, timeout=TIMEOUT) as database:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                async with database.transaction() as session:
                    await database.close()
                    await session.execute("SELECT 1")
            assert time.monotonic() - began < 5
