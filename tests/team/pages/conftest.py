from collections.abc import AsyncIterator

import pytest

from amo_mcp.storage.postgres.database import Database
from tests.team.pages.office import Office, open_office


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    async with open_office(database) as office:
        yield office
