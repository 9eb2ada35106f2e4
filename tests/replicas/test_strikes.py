"""Replicas are killed and held up at any point of many plans at once: nothing is lost, doubled or falsely told."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from tests.replicas.conftest import KILLS, SEED
from tests.replicas.stage import AT_ONCE, as_it_is, lived, own_segments, staged
from tests.replicas.struck import MAX_TAKE_OVER

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("RUN-3")
@pytest.mark.parametrize("size", [2, 4])
async def test_whatever_strikes_the_replicas_every_run_is_carried_out_once_and_its_undo_is_exact(
    size: int, url: SecretStr, tmp_path: Path, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    async with staged(url, size, tmp_path, SEED) as stage:
        number = 0
        while stage.fury.killed < KILLS:
            number += 1
            segments = own_segments(stage.world.sandbox)
            async with anyio.create_task_group() as group:
                for place, person in enumerate(stage.people):
                    person.said.clear()
                    group.start_soon(lived, stage, person, number, place, segments)
            assert as_it_is(stage.world.sandbox) == stage.before
        taken = sorted(stage.watch.taken)
    figures: dict[str, Any] = {
        "replicas": size,
        "runs": 2 * number * AT_ONCE,
        "kills": dict(stage.fury.kills),
        "held up": dict(stage.fury.holds),
        "taken over": len(taken),
        "median": round(taken[len(taken) // 2], 2),
        "max": round(taken[-1], 2),
        "late": round(stage.watch.late, 2),
        "seconds": round(time.monotonic() - began),
    }
    say(str(figures))
    assert taken[-1] <= MAX_TAKE_OVER + stage.watch.late
