from collections.abc import AsyncIterator

import pytest

from amo_mcp.storage.postgres.database import Database
from tests.team.authorization.world import World, open_world


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with open_world(database) as world:
        yield world
