"""Fixtures of the contracts of storage."""

from functools import partial
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.storage.backends import Open, open_memory, open_postgres, open_sqlite


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    match request.param:
        case "memory":
            return open_memory
        case "sqlite":
            return partial(open_sqlite, tmp_path)
    return partial(open_postgres, request.getfixturevalue("database"))


@pytest.fixture
def clock() -> Clock:
    return Clock()
