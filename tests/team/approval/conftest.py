from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from amo_mcp.storage.postgres.database import Database
from tests.team.approval.team import Team, open_team


@pytest.fixture
async def team(database: Database, database_url: SecretStr) -> AsyncIterator[Team]:
    async with open_team(database, database_url) as team:
        yield team


@pytest.fixture
async def strict(database: Database, database_url: SecretStr) -> AsyncIterator[Team]:
    """A team where another one has to agree than who asked."""
    async with open_team(database, database_url, "second") as team:
        yield team
