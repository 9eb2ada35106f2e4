"""The tables, made by numbered files of SQL: forward only, each in one transaction, by one replica at a time."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import asyncpg

from amo_mcp.changes.journal import JournalUnusable

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LOCK = 0x616D6F2D6D6370
"""The key of the advisory lock: "amo-mcp"."""

_APPLIED = """
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now()
)
"""

_NO_RIGHTS = "its user may not make the tables: GRANT CREATE ON SCHEMA public TO the user"


@cache
def migrations() -> dict[int, tuple[str, str]]:
    """Name and text of every file of `migrations/`, by number, in order. A file that was released never changes."""
    found = [file for file in files(__package__).joinpath("migrations").iterdir() if file.name.endswith(".sql")]
    named = {int(file.name.partition("_")[0]): (file.name, file.read_text("utf-8")) for file in found}
    assert len(named) == len(found), "no two files have the same number"
    return dict(sorted(named.items()))


async def upgrade(connection: "Connection[Record]") -> None:
    """Apply the files that were not applied yet. Of several replicas that begin at once one does, and the rest wait.

    A user of the database who may not make tables will do where all of them are there.

    Raises:
        JournalUnusable: a later release has written the database; or its tables are not there, and may not be made.
    """
    if await pending(connection):
        try:
            await _upgrade(connection)
        except asyncpg.InsufficientPrivilegeError:
            raise JournalUnusable(_NO_RIGHTS) from None


async def _upgrade(connection: "Connection[Record]") -> None:
    for number, (name, text) in migrations().items():
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await connection.execute(_APPLIED)
            if number in await _missing(connection):
                await connection.execute(text)
                await connection.execute("INSERT INTO migrations VALUES ($1, $2)", number, name)


async def pending(connection: "Connection[Record]") -> list[str]:
    """The names of the files that `upgrade` would apply; raises as it does."""
    if await connection.fetchval("SELECT to_regclass('migrations')") is None:
        return [name for name, _ in migrations().values()]
    return [migrations()[number][0] for number in await _missing(connection)]


async def _missing(connection: "Connection[Record]") -> list[int]:
    applied = {row["number"] for row in await connection.fetch("SELECT number FROM migrations")}
    if max(applied, default=0) > max(migrations()):
        raise JournalUnusable("a later version of amo-mcp has written it; update amo-mcp")
    return [number for number in migrations() if number not in applied]
