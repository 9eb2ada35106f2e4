"""amoCRM's tokens in the database: read by nobody else, refreshed by one replica at a time."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr

from amo_mcp.addresses import allowed_base_url
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.keys import Keys, new_key
from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.postgres.credentials import PostgresCredentialStore, reencrypt
from amo_mcp.storage.postgres.database import Database
from tests.cli.machine import sign_in_to
from tests.storage.test_credentials import FIRST, SECOND

pytestmark = pytest.mark.anyio

OLD, NEW = new_key("old"), new_key("new")
ME, YOU = "28805383:1", "28805383:2"

HOLDER = """
import sys

import anyio
from pydantic import SecretStr

from amo_mcp.keys import Keys
from amo_mcp.storage.postgres.credentials import PostgresCredentialStore
from amo_mcp.storage.postgres.database import Database

async def main():
    database = Database(SecretStr(sys.argv[1]))
    await database.open()
    async with PostgresCredentialStore(database, Keys.parse(SecretStr(sys.argv[2])), "28805383:1").exclusive():
        print("inside", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def ring(*keys: str) -> Keys:
    return Keys.parse(SecretStr(",".join(keys)))


def store(database: Database, owner: str = ME, keys: Keys | None = None) -> PostgresCredentialStore:
    return PostgresCredentialStore(database, keys or ring(OLD), owner)


@pytest.mark.requirement("PG-6")
async def test_no_token_and_no_secret_is_in_the_table_as_it_is(database: Database) -> None:
    await store(database).begin(FIRST)
    row = await database.fetchrow("SELECT * FROM credentials")
    assert row is not None
    assert (row["owner"], row["key_id"]) == (ME, "old")
    for secret in (FIRST.access_token, FIRST.refresh_token, FIRST.client_secret):
        assert secret.get_secret_value().encode() not in row["ciphertext"]


@pytest.mark.requirement("PG-6")
async def test_what_was_put_into_the_row_of_another_person_is_no_sign_in_of_theirs(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await store(database).begin(FIRST)
    await database.execute("UPDATE credentials SET owner = $1", YOU)
    assert await store(database, YOU).load() is None
    assert caplog.messages == ["what is kept of a sign-in cannot be read: CannotDecrypt"]


@pytest.mark.requirement("PG-6")
async def test_what_an_older_key_encrypted_is_read_and_encrypted_anew_and_then_needs_that_key_no_more(
    database: Database,
) -> None:
    await store(database, ME).begin(FIRST)
    await store(database, YOU).begin(SECOND)
    await store(database, "28805383:3", ring(new_key("lost"))).begin(SECOND)
    both, new = ring(NEW, OLD), ring(NEW)
    assert await store(database, ME, both).load() == FIRST
    assert await store(database, ME, new).load() is None
    assert await reencrypt(database, both) == (2, 1)
    assert [await store(database, owner, new).load() for owner in (ME, YOU)] == [FIRST, SECOND]
    assert await reencrypt(database, both) == (0, 1)


@pytest.mark.requirement("PG-6", "PG-7")
async def test_a_rotation_of_keys_brings_back_no_pair_that_a_replica_has_refreshed_meanwhile(
    database: Database, database_url: SecretStr
) -> None:
    """One replica encrypts with the new key already, the other one still with the old one."""
    other, both = Database(database_url), ring(NEW, OLD)
    await other.open()
    people = [f"28805383:{number}" for number in range(1, 5)]
    refreshes = dict.fromkeys(people, 0)
    renewed = []

    async def refresh(owner: str, replica: PostgresCredentialStore) -> None:
        for _ in range(20):
            async with replica.exclusive():
                kept = await replica.load()
                assert kept is not None
                assert kept.refresh_token.get_secret_value() == f"refresh-{refreshes[owner]}"
                refreshes[owner] += 1
                token = SecretStr(f"refresh-{refreshes[owner]}")
                await replica.save(kept.model_copy(update={"refresh_token": token}))

    async def rotate() -> None:
        while min(refreshes.values()) < 40:
            await anyio.lowlevel.checkpoint()
            renewed.append(await reencrypt(database, both))

    try:
        for owner in people:
            await store(database, owner).begin(FIRST.model_copy(update={"refresh_token": SecretStr("refresh-0")}))
        async with anyio.create_task_group() as group:
            group.start_soon(rotate)
            for owner in people:
                group.start_soon(refresh, owner, store(database, owner, both))
                group.start_soon(refresh, owner, store(other, owner, ring(OLD, NEW)))
        await reencrypt(database, both)
        last = [await store(other, owner, ring(NEW)).load() for owner in people]
    finally:
        await other.close()
    assert [one and one.refresh_token.get_secret_value() for one in last] == ["refresh-40"] * 4
    # More than the first pairs: the rotation met refreshes that used the old key.
    assert sum(count for count, _ in renewed) > 4
    assert {unreadable for _, unreadable in renewed} == {0}


@pytest.mark.requirement("PG-7")
async def test_a_pair_that_is_saved_while_others_are_shut_out_is_committed_at_once(
    database: Database, database_url: SecretStr
) -> None:
    other = Database(database_url)
    await other.open()
    async with store(database).exclusive():
        await store(database).begin(FIRST)
        assert await store(other).load() == FIRST
        async with store(other, YOU).exclusive():
            await store(other, YOU).begin(SECOND)
    await other.close()


@pytest.mark.requirement("PG-7")
async def test_a_replica_that_is_killed_while_it_shuts_others_out_is_in_nobodys_way(
    database: Database, database_url: SecretStr
) -> None:
    command = [sys.executable, "-c", HOLDER, database_url.get_secret_value(), OLD]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL) as holder:
        try:
            assert holder.stdout is not None
            assert (await holder.stdout.receive()).startswith(b"inside")
            with anyio.move_on_after(0.3) as waited:
                async with store(database).exclusive():
                    await anyio.lowlevel.checkpoint()
            assert waited.cancelled_caught
        finally:
            holder.kill()
        with anyio.fail_after(5):
            async with store(database).exclusive():
                await anyio.lowlevel.checkpoint()


@pytest.mark.requirement("PG-7")
async def test_three_replicas_with_four_calls_each_refresh_once(
    sandbox: Sandbox, database: Database, database_url: SecretStr
) -> None:
    tokens: list[str] = []

    async def ask(source: OAuthTokenSource) -> None:
        tokens.append((await source.token()).get_secret_value())

    async with AsyncExitStack() as stack:
        url, sources = stack.enter_context(running(sandbox)), []
        await store(database).begin(sign_in_to(sandbox, url, expired=True))
        for _ in range(3):
            http, replica = HttpTransport(timeout=5.0, direct=True), Database(database_url)
            stack.push_async_callback(http.aclose)
            stack.push_async_callback(replica.close)
            await replica.open()
            allowed = partial(allowed_base_url, allowed_hosts=())
            sources.append(OAuthTokenSource(store(replica), http, allowed=allowed))
        async with anyio.create_task_group() as group:
            for source in sources * 4:
                group.start_soon(ask, source)
        kept = await store(database).load()
    assert kept is not None
    assert tokens == [kept.access_token.get_secret_value()] * 12
    assert (sandbox.oauth.refreshes, sandbox.oauth.live_refresh_tokens) == (1, 1)


@pytest.mark.requirement("PG-3")
@pytest.mark.parametrize("what", ["load", "save", "delete", "exclusive"])
async def test_while_the_database_is_away_nothing_is_asked_of_amocrm(what: str) -> None:
    nowhere = store(Database(SecretStr("postgresql://amo:secret@127.0.0.1:1/amo")))

    async def enter() -> None:
        async with nowhere.exclusive():
            await anyio.lowlevel.checkpoint()

    uses: dict[str, Callable[[], Awaitable[Any]]] = {
        "load": nowhere.load,
        "save": lambda: nowhere.save(FIRST),
        "delete": nowhere.delete,
        "exclusive": enter,
    }
    with pytest.raises(Unavailable) as caught:
        await uses[what]()
    assert str(caught.value) == "was not asked, because the server's database cannot be used"
