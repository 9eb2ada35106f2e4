"""PostgreSQL is stopped, or killed with -9, while replicas work: what is answered stays true, and no run is lost."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr

from scripts.postgres import Cluster
from tests.replicas.conftest import SEED
from tests.replicas.crowd import Json, Person
from tests.replicas.stage import SEGMENTS, Stage, as_it_is, lived, own_segments, staged

pytestmark = pytest.mark.anyio

_AWAY_SECONDS = 3.0
_WORK_SECONDS = 1.0


@dataclass
class Renaming:
    """Somebody who renames one segment again and again, and asks nobody what came of it.

    Attributes:
        answers: what was answered, by the name that was to be given.
    """

    person: Person
    segment: int
    answers: dict[str, Json] = field(default_factory=dict)

    async def go_on(self) -> None:
        """Rename until this is cancelled; each time from what is there."""
        for number in itertools.count():
            name = f"Имя {number}"
            answer = await self.person.call("update_segment", {"segment_id": self.segment, "name": name})
            if answer is not None:
                self.answers[name] = answer

    def check(self, stage: Stage) -> list[str]:
        """Whether every answer was true; the codes of the errors."""
        path = f"{SEGMENTS}/{self.segment}"
        made = {one.body["name"] for one in stage.world.effects if one.path == path and one.method == "PATCH"}
        codes = []
        for name, answer in self.answers.items():
            match answer:
                case {"error": {"code": code, "message": str(message)}}:
                    codes.append(code)
                    if message.endswith("Nothing was changed."):
                        assert name not in made, answer
                case _:
                    assert name in made, answer
        return codes


@pytest.mark.requirement("RUN-3", "TEAM-7")
async def test_while_the_database_is_away_calls_say_so_and_change_nothing_and_when_it_is_back_every_run_goes_on(
    cluster: Cluster, url: SecretStr, tmp_path: Path, say: Callable[[str], None]
) -> None:
    async with staged(url, 2, tmp_path, SEED) as stage:
        stage.fury.rests = True
        renaming = Renaming(
            Person(stage.fleet, stage.people[0].token, stage.people[0].host, stage.people[0].chance), 51
        )
        away = []
        async with anyio.create_task_group() as others:
            others.start_soon(renaming.go_on)
            for number, leave in enumerate([cluster.stop, cluster.kill, cluster.stop, cluster.kill]):
                segments = own_segments(stage.world.sandbox)
                async with anyio.create_task_group() as group:
                    for place, person in enumerate(stage.people):
                        person.said.clear()
                        group.start_soon(lived, stage, person, number, place, segments)
                    await anyio.sleep(_WORK_SECONDS)
                    began = time.monotonic()
                    await anyio.to_thread.run_sync(leave)
                    await anyio.sleep(_AWAY_SECONDS)
                    await anyio.to_thread.run_sync(cluster.start)
                    away.append(round(time.monotonic() - began, 1))
            others.cancel_scope.cancel()
        codes = renaming.check(stage)
        model = stage.world.sandbox.account.segments[51]
        model["name"] = "VIP"
        assert as_it_is(stage.world.sandbox) == stage.before
        ready = [one.lives for one in stage.fleet.replicas]
    say(f"away for {away} s: {len(renaming.answers)} renamings, {len(codes)} refused")
    assert "unavailable" in codes
    assert {*codes} <= {"unavailable", "outcome_unknown", "target_changed"}
    assert ready == [True, True]
