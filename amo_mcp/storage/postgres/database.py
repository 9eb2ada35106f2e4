"""The database that all replicas share, as each of them uses it.

Connections come from a pool, which opens new ones when the database is back after it was away. Nothing outlives a
transaction in them (no session locks, no `SET` but `SET LOCAL`), so none has to be reset before the next use; what
needs a connection for itself takes a `direct` one.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg
from pydantic import SecretStr

from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable
from amo_mcp.storage.postgres.schema import upgrade

if TYPE_CHECKING:
    from asyncpg import Connection, Pool, Record
    from asyncpg.pool import PoolConnectionProxy

    Session = Connection[Record] | PoolConnectionProxy[Record]

logger = logging.getLogger(__name__)

MIN_VERSION = 15

TIMEOUT = 5.0
"""Seconds that connecting, waiting for a connection of the pool, and a statement each may take."""

_SETTINGS = {
    "application_name": "amo-mcp",
    # The locks of a replica whose machine is gone without a word are free after a minute.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

_NO_ADDRESS = (
    "it is no address such as postgresql://user:password@host:port/name, or has an option that there is not; what is "
    "no letter and no digit in a password has to be written as %23 for #, %2F for / and so on"
)

_MAX_DIRECT = 8
"""Direct connections of one replica, so that many at once do not use up what the database allows for all."""


class Database:
    """A PostgreSQL database, open between `open` and `close`.

    Whatever is done in it is finished before a cancellation is heard, and takes a few times `timeout` at most. Every
    method can raise `StorageUnavailable`: the database is away, restarting, too slow, or has no connection left, and
    nothing of the transaction counts. The next call tries anew.

    Args:
        url: `postgresql://user:password@host:port/name`, as libpq reads it.
        max_connections: how many the pool opens at most.
        timeout: see `TIMEOUT`.
    """

    def __init__(self, url: SecretStr, *, max_connections: int = 10, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._max_connections = max_connections
        self._timeout = timeout
        self._direct = anyio.Semaphore(_MAX_DIRECT)
        self._pool: Pool[Record] | None = None
        self._is_away = False

    async def open(self) -> None:
        """Connect, check that the database will do, and bring its tables up to date.

        Raises:
            JournalUnusable: the url cannot be read, its version, its encoding or the rights of its user will not do, or
                a later release has written it.
        """
        async with self.direct() as connection:
            with self.unavailable():
                await check(connection)
                await upgrade(connection)
        limits = {"statement_timeout": self._timeout, "idle_in_transaction_session_timeout": 2 * self._timeout}
        with self.unavailable():
            self._pool = await asyncpg.create_pool(
                self._url.get_secret_value(),
                min_size=0,
                max_size=self._max_connections,
                timeout=self._timeout,
                command_timeout=self._timeout + 1,
                reset=_keep,
                server_settings=_SETTINGS | {name: f"{seconds * 1000:.0f}" for name, seconds in limits.items()},
            )

    async def close(self) -> None:
        """Close every connection, also when the database is away. It may be called more than once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            # Closing politely waits for those that are in use.
            with anyio.move_on_after(self._timeout, shield=True):
                await pool.close()
            pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Session"]:
        """A transaction: committed, and durable, at the end of the context; undone when an exception leaves it."""
        with anyio.CancelScope(shield=True), self.unavailable():
            async with self._opened.acquire(timeout=self._timeout) as connection, connection.transaction():
                yield connection

    async def check_writable(self) -> None:
        """Raise StorageUnavailable also where it can only be read, as a standby that has not taken over yet."""
        if await self.fetchval("SELECT current_setting('transaction_read_only')::boolean"):
            raise StorageUnavailable("it is read-only")

    async def fetch(self, query: str, *args: Any) -> list["Record"]:
        """The rows of one statement, which is a transaction of its own."""
        async with self._connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> "Record | None":
        """The first row of one statement, which is a transaction of its own; None when there is none."""
        async with self._connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first value of one statement, which is a transaction of its own; None when there is none."""
        async with self._connection() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> None:
        """Do one statement, which is a transaction of its own."""
        async with self._connection() as connection:
            await connection.execute(query, *args)

    @asynccontextmanager
    async def direct(self) -> AsyncIterator["Connection[Record]"]:
        """A connection for oneself, outside of the pool and without a limit of time; a cancellation ends it.

        What it is used for belongs into `unavailable()`. It raises `JournalUnusable` where the url cannot be read.
        """
        async with self._direct:
            with self.unavailable():
                try:
                    connection: Connection[Record] = await asyncpg.connect(
                        self._url.get_secret_value(),
                        timeout=self._timeout,
                        server_settings=_SETTINGS,
                    )
                except ValueError:
                    # The library takes what follows an unescaped character of a password for a port, and names it.
                    raise JournalUnusable(_NO_ADDRESS) from None
            try:
                yield connection
            finally:
                connection.terminate()

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Whatever the database or the way to it does, as the one exception that it means to us.

        That it is away, and that it is back, is logged once.
        """
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            # The library's texts can name the host, the user and the data.
            if not self._is_away:
                logger.warning("The database cannot be used: %s", type(error).__name__)
            self._is_away = True
            raise StorageUnavailable(type(error).__name__) from error
        if self._is_away:
            logger.warning("The database can be used again")
            self._is_away = False

    @property
    def _opened(self) -> "Pool[Record]":
        """The pool. While there is none nothing is logged: whoever opens it tells what is wrong, if anything is."""
        if self._pool is None:
            raise StorageUnavailable("it is not open")
        return self._pool

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["Session"]:
        with anyio.CancelScope(shield=True), self.unavailable():
            async with self._opened.acquire(timeout=self._timeout) as connection:
                yield connection


def storable(text: str) -> str:
    """An id that somebody gave, as PostgreSQL takes it: without NUL, which is in no id of ours."""
    return text.replace("\0", "?")


async def check(connection: "Connection[Record]") -> None:
    """Raise JournalUnusable unless the database is new enough and in UTF-8."""
    version, encoding = connection.get_server_version(), connection.get_settings().server_encoding
    if version.major < MIN_VERSION:
        raise JournalUnusable(f"PostgreSQL {MIN_VERSION} or newer is needed, and this is {version.major}")
    if encoding != "UTF8":
        raise JournalUnusable(f"the database has to be in UTF8, and is in {encoding}")


async def _keep(_: "Connection[Record]") -> None:
    """Give a connection back as it is: nothing in it outlives a transaction."""
