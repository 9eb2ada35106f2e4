"""Two servers of one machine share the limit of one account: never faster than it, and not slower than it asks."""

import os
import sys
import time
from math import ceil
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.conftest import answer

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

LIMIT = 7
CALLS = 20
MODES = ("legacy", "auto")
REQUESTS = CALLS * len(MODES)

BOUND = (REQUESTS - LIMIT) / LIMIT
"""Seconds below which nobody can be: the first `LIMIT` go at once, the others at `LIMIT` a second."""

LONGEST = 1.25 * max(BOUND, ceil(REQUESTS / LIMIT) - 1)
"""The bound with requests in bursts of `LIMIT`, the last after so many seconds, and a quarter for everything else."""

KEPT = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}


@pytest.mark.requirement("LIMIT-3")
async def test_two_processes_with_twenty_calls_each_stay_within_the_limit_and_lose_no_time(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    got: list[dict[str, Any]] = []
    messages: dict[str, list[str]] = {mode: [] for mode in MODES}
    versions: set[str] = set()
    began: list[float] = []
    together = anyio.Event()

    async def process(mode: str, url: str) -> None:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "amo_mcp"],
            env={
                **KEPT,
                "AMO_BASE_URL": url,
                "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
                "AMO_RATE_LIMIT": str(LIMIT),
                "AMO_STATE_DIR": str(tmp_path / "state"),
            },
        )

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            await anyio.lowlevel.checkpoint()
            assert (progress, total) == (0, None)
            messages[mode].append(message or "")

        async with Client(server, mode=mode, cache=None) as client:
            versions.add(client.protocol_version)
            if len(versions) == len(MODES):
                began.append(time.monotonic())
                together.set()
            await together.wait()

            async def call() -> None:
                called = await client.call_tool("get_segment", {"segment_id": 51}, progress_callback=on_progress)
                got.append(answer(called))

            async with anyio.create_task_group() as calls:
                for _ in range(CALLS):
                    calls.start_soon(call)

    with running(sandbox) as url, anyio.fail_after(40):
        async with anyio.create_task_group() as processes:
            for mode in MODES:
                processes.start_soon(process, mode, url)

    arrivals = [request.at for request in sandbox.requests]
    assert got == [got[0]] * REQUESTS
    assert got[0]["id"] == 51
    assert [request.status for request in sandbox.requests] == [200] * REQUESTS
    assert sandbox.busiest_second() <= LIMIT
    assert BOUND <= max(arrivals) - began[0] <= LONGEST
    assert versions == {"2025-11-25", "2026-07-28"}
    # Who has at least two seconds' worth of calls of its own process before it is told so.
    waits = [message for several in messages.values() for message in several if message.endswith("request limit")]
    assert set(waits) <= {"Waiting 2 s for amoCRM's request limit", "Waiting 3 s for amoCRM's request limit"}
    assert waits
