"""What becomes of replicas while their database is away, and what of their secrets is anywhere."""

import re
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import asyncpg
import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import ADMIN_TOKEN
from scripts import postgres
from scripts.postgres import Cluster
from tests.cli.command_line import amo
from tests.conftest import ERAS, Person, answer, error
from tests.postgres import new_database
from tests.team.environment import KEY
from tests.team.replicas import Replica, team_on
from tests.transports.peers import INITIALIZE

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS
AWAY = {
    "code": "unavailable",
    "message": "The server's database cannot be used now. Nothing was changed.",
    "retryable": True,
    "hint": "Try again in a minute.",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of this test's own, which may be stopped."""
    with postgres.running() as cluster:
        yield cluster


async def until_ready(replica: Replica) -> None:
    await anyio.to_thread.run_sync(replica.wait_until, True)


class TestDatabaseAway:
    @pytest.mark.requirement("TEAM-7")
    @pytest.mark.parametrize("how", ["stop", "kill"])
    async def test_calls_are_unavailable_nothing_is_changed_and_it_comes_back_by_itself(
        self, how: str, cluster: Cluster
    ) -> None:
        with team_on(cluster.url()) as team:
            token = team.token("Анна")
            [replica] = team.started(1)
            async with replica.client(NEW, token, Person()) as new, replica.client(OLD, token) as old:
                getattr(cluster, how)()
                replica.wait_until(ready=False)
                for client in (new, old):
                    for name in ("list_segments", "create_segment", "delete_segment", "list_changes"):
                        assert error(await client.call_tool(name, {"name": "Новые", "segment_id": 51})) == AWAY
                assert team.writes() == []
                assert replica.post(INITIALIZE, "amo_000000000000_guess").status_code == 200
                cluster.start()
                await until_ready(replica)
                made = answer(await new.call_tool("create_segment", {"name": "Новые"}))
                [newest] = answer(await old.call_tool("list_changes", {}))["changes"]
                assert newest["change_id"] == made["change_id"]
            assert replica.post(INITIALIZE, "amo_000000000000_guess").status_code == 401

    @pytest.mark.requirement("TEAM-7")
    async def test_a_database_that_can_only_be_read_is_told_as_one_that_is_away(self, cluster: Cluster) -> None:
        with team_on(cluster.url()) as team:
            token = team.token("Анна")
            [replica] = team.started(1)
            await make_read_only(cluster.url(), "on")
            replica.wait_until(ready=False)
            async with replica.client(NEW, token, Person()) as client:
                assert error(await client.call_tool("create_segment", {"name": "Новые"})) == AWAY
            told = amo("team", "doctor", **team.environment)
            assert (told.returncode, told.stderr) == (1, "")
            assert "cannot be used (it is read-only)" in told.stdout
            await make_read_only(cluster.url(), "off")
            await until_ready(replica)
            assert team.writes() == []

    @pytest.mark.requirement("TEAM-6")
    async def test_a_replica_that_begins_before_its_database_is_ready_when_it_is_there(self, cluster: Cluster) -> None:
        with team_on(cluster.url()) as team:
            token = team.token("Анна")
            cluster.stop()
            replica = team.begin()
            replica.wait_until_it_listens()
            assert replica.get("/healthz").status_code == 200
            assert replica.get("/readyz").json() == {"status": "unavailable", "reason": "the database cannot be used"}
            cluster.start()
            await until_ready(replica)
            async with replica.client(NEW, token) as client:
                assert answer(await client.call_tool("list_segments", {}))["total"] > 0

    @pytest.mark.requirement("TEAM-6")
    def test_a_database_that_a_later_release_has_written_is_told_and_nothing_is_served(self, postgres: Cluster) -> None:
        url = anyio.run(new_database, postgres, "tests-later")
        with team_on(url.get_secret_value()) as team:
            team.token("Анна")
            anyio.run(write_as_later_release, url)
            replica = team.begin()
            assert replica.ended() == 2
            said = replica.errors.read_text("utf-8")
        assert said.splitlines()[-2:] == [
            "amo-mcp cannot start:",
            "  AMO_DATABASE_URL: a later version of amo-mcp has written it; update amo-mcp",
        ]

    @pytest.mark.requirement("PG-2")
    def test_an_address_that_cannot_be_read_is_told_once_and_nothing_is_served(self) -> None:
        with team_on("postgresql://amo:pa55#word@127.0.0.1/amo") as team:
            replica = team.begin()
            assert replica.ended() == 2
            said = replica.errors.read_text("utf-8")
        [first, told] = said.splitlines()[-2:]
        assert (first, told.partition(", or ")[0]) == (
            "amo-mcp cannot start:",
            "  AMO_DATABASE_URL: it is no address such as postgresql://user:password@host:port/name",
        )
        assert "pa55" not in said


async def make_read_only(url: str, state: str) -> None:
    """As a standby is; whoever is connected has to connect anew."""
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    try:
        await connection.execute(f"ALTER DATABASE postgres SET default_transaction_read_only = {state}")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
    finally:
        await connection.close()


async def write_as_later_release(url: SecretStr) -> None:
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        await connection.execute("INSERT INTO migrations VALUES (9999, 'later')")
    finally:
        await connection.close()


@pytest.mark.requirement("TEAM-10", "TEAM-9")
async def test_no_secret_is_in_a_log_an_answer_a_figure_or_the_database(database_url: SecretStr) -> None:
    """Whatever is said while a team works, and every row that is kept then."""
    password = "pa55word-canary"
    url = database_url.get_secret_value().replace("amo@", f"amo:{password}@")
    with team_on(url, AMO_LOG_LEVEL="DEBUG") as team:
        token = team.token("Анна", "approver")
        [replica] = team.started(1)
        said: list[str] = []
        for era in ERAS:
            async with replica.client(era, token, Person()) as client:
                calls: list[tuple[str, dict[str, Any]]] = [
                    ("list_segments", {}),
                    ("create_segment", {"name": "Новые"}),
                    ("delete_segment", {"segment_id": 51}),
                    ("get_segment", {"segment_id": 999}),
                    ("list_changes", {}),
                ]
                said += [(await client.call_tool(*call)).model_dump_json() for call in calls]
                said.append((await client.read_resource("amo://account")).model_dump_json())
        said += [replica.post(INITIALIZE, guess).text for guess in ("amo_000000000000_guess", f"{token}x", "x")]
        said.append(replica.get("/metrics").text)
        kept = await rows(database_url)
        assert replica.end() == 0
        logged = replica.lines
    assert {"amo_holds_total", "mcp_server_operation_duration_seconds"} <= {*re.findall(r"\w+", said[-1])}
    assert any(line.get("person") == "Анна" and line.get("client") == "tests 1" for line in logged)
    secrets = [token, token.split("_", 2)[2], KEY.partition(":")[2], ADMIN_TOKEN, password]
    for text in (*said, str(logged), *kept):
        assert [secret for secret in secrets if secret in text] == []


async def rows(url: SecretStr) -> list[str]:
    """Every row of every table, as text."""
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = [await connection.fetch(f'SELECT t::text FROM "{table[0]}" AS t') for table in tables]
        return [row[0] for table in found for row in table]
    finally:
        await connection.close()
