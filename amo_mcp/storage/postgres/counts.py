"""How much there is of what a team's operator watches, at all replicas together."""

from typing import NamedTuple

from amo_mcp.storage.postgres.database import Database

_COUNTS = """
SELECT (SELECT count(*) FROM approvals WHERE used_at IS NULL AND answer IS NULL AND expires > unix_now()) AS pending,
    (SELECT count(*) FROM changes WHERE status = 'running') AS running
"""
_KEY_USE = "SELECT key_id, count(*) AS count FROM credentials GROUP BY key_id ORDER BY key_id"


class Counts(NamedTuple):
    """What is going on now.

    Attributes:
        pending: questions that wait for an answer.
        running: changes that are being carried out.
    """

    pending: int
    running: int


async def counts(database: Database) -> Counts:
    """What is going on now; raises `StorageUnavailable`."""
    row = await database.fetchrow(_COUNTS)
    assert row is not None, "it has no FROM"
    return Counts(row["pending"], row["running"])


async def key_use(database: Database) -> dict[str, int]:
    """How much each key has encrypted, by its id; raises `StorageUnavailable`."""
    return {row["key_id"]: row["count"] for row in await database.fetch(_KEY_USE)}
