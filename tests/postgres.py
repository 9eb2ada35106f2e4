"""One PostgreSQL for a whole session of tests, started by the first that needs it, with a database for each worker."""

import os
from pathlib import Path

import asyncpg
from filelock import FileLock
from pydantic import SecretStr

from amo_mcp.storage.postgres.database import Database
from scripts.postgres import Cluster, new_folder

_FOLDER = "TEST_POSTGRES_FOLDER"
"""The environment variable in which the workers find the folder of the session."""

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")

_EMPTY = """
DO $$
BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid() AND backend_type = 'client backend';
    -- No trigger speaks against it, as that of the audit does.
    SET LOCAL session_replication_role = replica;
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(format('%I', tablename), ', ') || ' RESTART IDENTITY CASCADE'
        FROM pg_tables WHERE schemaname = 'public' AND tablename != 'migrations'
    );
END $$
"""


class PostgresSession:
    """The server of a session of tests, as the process that began the session holds it."""

    def __init__(self) -> None:
        folder = new_folder()
        os.environ[_FOLDER] = str(folder)
        self._cluster = Cluster(folder)
        self._cluster.lock.acquire()

    def end(self) -> None:
        """End the server, if one was started."""
        self._cluster.end()


def session_cluster() -> Cluster:
    """The server of this session, which is started when it was not."""
    folder = Path(os.environ[_FOLDER])
    cluster = Cluster(folder)
    with FileLock(folder / "start.lock"):
        if not cluster.is_made:
            cluster.create()
    return cluster


async def new_database(cluster: Cluster, name: str, options: str = "") -> SecretStr:
    """The address of a new, quite empty database."""
    connection = await asyncpg.connect(cluster.url())
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')
    finally:
        await connection.close()
    return SecretStr(cluster.url(name))


async def worker_database(cluster: Cluster) -> SecretStr:
    """The address of this worker's database, which has its tables."""
    url = await new_database(cluster, f"tests-{_WORKER}")
    database = Database(url)
    await database.open()
    await database.close()
    return url


async def empty(url: SecretStr) -> None:
    """Leave nothing in the tables, and nobody connected."""
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        await connection.execute(_EMPTY)
    finally:
        await connection.close()
