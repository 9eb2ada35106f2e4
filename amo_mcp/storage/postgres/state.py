"""What whoever checks a database finds in it, without changing anything."""

import time
from dataclasses import dataclass

from amo_mcp.storage.postgres.database import Database, check
from amo_mcp.storage.postgres.schema import pending


@dataclass(frozen=True)
class State:
    """A database that will do.

    Attributes:
        version: of PostgreSQL, such as "16.4".
        pending: the migrations that the next replica applies.
        may_apply: whether its user may make tables.
        ahead: seconds that the database's clock is ahead of this machine's.
    """

    version: str
    pending: list[str]
    may_apply: bool
    ahead: float


async def look(database: Database) -> State:
    """What is found in a database, which need not be open.

    Raises:
        JournalUnusable: it will not do, or a later release has written it.
        StorageUnavailable: it cannot be reached.
    """
    async with database.direct() as connection:
        with database.unavailable():
            await check(connection)
            left = await pending(connection)
            may_apply = await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            now = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::double precision")
            version = connection.get_server_version()
    return State(f"{version.major}.{version.minor}", left, bool(may_apply), now - time.time())
