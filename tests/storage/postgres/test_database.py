"""The database of the replicas: its tables, and what becomes of it when the server stops, dies, or is too slow."""

import pytest
from pydantic import SecretStr

from amo_mcp.storage.postgres.database import Database

pytestmark = pytest.mark.anyio


async def test_smoke(database_url: SecretStr) -> None:
    database = Database(database_url)
    await database.open()
    assert await database.fetchval("SELECT count(*) FROM plans") == 0
    await database.close()
