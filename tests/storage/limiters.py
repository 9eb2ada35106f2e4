"""A rate limiter as a process of its own opens it, wherever the slots are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from amo_mcp.storage.rate_limit import SharedRateLimiter
from amo_mcp.storage.slot_limiter import SlotRateLimiter


@asynccontextmanager
async def limiter_at(place: str) -> AsyncIterator[SlotRateLimiter]:
    """Seven requests a second that fail after one; `place` is a file, or the address of a database."""
    if "://" not in place:
        yield SharedRateLimiter(Path(place), 7, timeout=1.0)
        return
    database = Database(SecretStr(place))
    await database.open()
    try:
        yield PostgresRateLimiter(database, "https://example.amocrm.ru", 7, timeout=1.0)
    finally:
        await database.close()
