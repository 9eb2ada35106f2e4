"""A PostgreSQL of these tests' own, which they may stop and kill; and what they say while they work.

`REPLICAS_KILLS` is how often replicas are killed in each size of a fleet, `REPLICAS_SEED` what happens again.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import anyio
import pytest
from pydantic import SecretStr

from scripts.postgres import Cluster, running
from tests.postgres import new_database

KILLS = int(os.environ.get("REPLICAS_KILLS", "75"))
SEED = int(os.environ.get("REPLICAS_SEED", secrets.randbelow(1_000_000)))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


@pytest.fixture
def url(cluster: Cluster) -> SecretStr:
    """The address of a new database."""
    return anyio.run(new_database, cluster, "replicas")


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Writes a line to the terminal, whatever pytest captures."""
    writer = request.config.get_terminal_writer()

    def said(line: str) -> None:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            writer.line(f"\n{line}")

    said(f"REPLICAS_SEED={SEED} REPLICAS_KILLS={KILLS}")
    return said
