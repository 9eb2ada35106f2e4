"""Fixtures of the contracts of storage."""

from functools import partial
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.storage.backends import Open, open_memory, open_sqlite


@pytest.fixture(params=["memory", "sqlite"])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return open_memory if request.param == "memory" else partial(open_sqlite, tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()
