"""Fixtures of replicas in one process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.postgres.database import Database
from tests.runs.life import Gate, Open, Replica, replica


@pytest.fixture
async def open_replica(sandbox: Sandbox, database: Database) -> AsyncIterator[Open]:
    """Opens a replica, which is closed with the test."""
    events = MemoryChangeEvents()
    async with AsyncExitStack() as stack:

        async def opened(**how: Any) -> Replica:
            return await stack.enter_async_context(replica(sandbox, database, events, **how))

        yield opened


@pytest.fixture
async def serving(sandbox: Sandbox, database: Database) -> AsyncIterator[Open]:
    """Serves a replica as long as a context lasts."""
    events = MemoryChangeEvents()

    @asynccontextmanager
    async def served(**how: Any) -> AsyncIterator[Replica]:
        async with replica(sandbox, database, events, **how) as opened, opened.serving():
            yield opened

    yield served


@pytest.fixture
def gate(sandbox: Sandbox) -> Gate:
    return Gate(sandbox)
