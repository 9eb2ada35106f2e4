"""What the shared rate limiter promises between processes, tried with processes; time here is real."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.storage.rate_limit import SharedRateLimiter

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

LIMIT = 7
STARTED = 1.5
"""Seconds after which several processes have surely started."""

WORKER = """
import json, os, random, sys, time
from pathlib import Path

import anyio

from amo_mcp.storage.rate_limit import SharedRateLimiter

file, begin, requests, shortest, longest, death = sys.argv[1], *map(float, sys.argv[2:])
limiter = SharedRateLimiter(Path(file), 7, timeout=1.0)
spans = []


async def request():
    async with limiter.reserve() as slot:
        await slot.acquire()
        sent = time.time()
        await anyio.sleep(random.uniform(shortest, longest))
        if death:
            os._exit(9)
        answered = time.time()
        await slot.release()
        spans.append([sent, answered])


async def main():
    await anyio.sleep(max(0.0, begin - time.time()))
    async with anyio.create_task_group() as group:
        for _ in range(int(requests)):
            group.start_soon(request)


anyio.run(main)
print(json.dumps(spans))
"""


async def run(
    file: Path, *, processes: int, requests: int, answers: tuple[float, float], death: bool = False
) -> list[tuple[float, float]]:
    """When the requests of several processes that begin together were sent, and when their answers began."""
    spans: list[tuple[float, float]] = []
    begin = time.time() + STARTED

    async def process() -> None:
        arguments = [file, begin, requests, *answers, int(death)]
        command = [sys.executable, "-c", WORKER, *map(str, arguments)]
        done = await anyio.run_process(command, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (9 if death else 0, b"")
        spans.extend((sent, released) for sent, released in json.loads(done.stdout or b"[]"))

    async with anyio.create_task_group() as group:
        for _ in range(processes):
            group.start_soon(process)
    return sorted(spans)


def busiest_second(spans: Sequence[tuple[float, float]]) -> int:
    """The most requests that can have arrived in one second, each at any moment between sending and answer."""
    return max(sum(sent < end + 1 and released >= end for sent, released in spans) for _, end in spans)


@pytest.mark.requirement("LIMIT-3")
async def test_two_processes_never_let_more_than_the_limit_into_a_second_and_keep_95_percent_of_the_pace(
    tmp_path: Path,
) -> None:
    paces = []
    for attempt in range(3):
        file = tmp_path / f"rate-limit-{attempt}.json"
        spans = await run(file, processes=2, requests=14, answers=(0.02, 0.02))
        assert len(spans) == 28
        assert busiest_second(spans) <= LIMIT
        # The first 7 go at once, and each further 7 take a second at best.
        paces.append(3 / (spans[-1][0] - spans[0][0]))
        if paces[-1] >= 0.95:
            break
    # A machine that is busy with something else is given three tries.
    assert max(paces) >= 0.95


async def test_slow_answers_of_two_processes_never_let_more_than_the_limit_into_a_second(tmp_path: Path) -> None:
    spans = await run(tmp_path / "rate-limit.json", processes=2, requests=14, answers=(0.0, 0.4))
    assert len(spans) == 28
    assert busiest_second(spans) <= LIMIT


async def test_the_slots_of_a_killed_process_are_free_a_second_after_the_timeout(tmp_path: Path) -> None:
    file = tmp_path / "rate-limit.json"
    began = time.time() + STARTED
    await run(file, processes=1, requests=LIMIT, answers=(0.5, 0.5), death=True)
    limiter = SharedRateLimiter(file, LIMIT, timeout=1.0)
    with anyio.fail_after(2.5):
        for _ in range(LIMIT):
            async with limiter.reserve() as slot:
                await slot.acquire()
    # A slot was taken after `began`, and its request may still arrive until the timeout.
    assert time.time() >= began + 2.0


@pytest.mark.requirement("LIMIT-4")
async def test_a_long_pause_is_kept_by_a_process_that_starts_later(tmp_path: Path) -> None:
    file: Any = tmp_path / "rate-limit.json"
    code = f"""
import anyio
from pathlib import Path
from amo_mcp.storage.rate_limit import SharedRateLimiter
limiter = SharedRateLimiter(Path({str(file)!r}), 7)
anyio.run(limiter.pause, 300.0)
"""
    await anyio.run_process([sys.executable, "-c", code])
    limiter = SharedRateLimiter(file, LIMIT)
    with pytest.raises(RateLimited) as caught:
        async with limiter.reserve():
            await anyio.lowlevel.checkpoint()
    assert caught.value.retry_after is not None
    assert 290 < caught.value.retry_after <= 300
