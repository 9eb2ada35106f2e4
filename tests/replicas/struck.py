"""Strikes replicas while they work, and keeps the times in which their runs were taken over."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
import asyncpg

from tests.replicas.fleet import Fleet, Replica
from tests.replicas.world import Point

LEASE = 1.0
TIMEOUT = 0.6
"""Seconds of a lease, and of a request, of the replicas that are struck."""

MAX_TAKE_OVER = LEASE + 2.0

_LOOK_SECONDS = 0.03

_RUNNING = "SELECT id, epoch, holder, lease_until FROM changes WHERE status = 'running' OR at > unix_now() - 60"


@dataclass
class Fury:
    """Strikes at chosen and at random points.

    Args:
        often: how probable a strike is at each point of a write.

    Attributes:
        kills: how often a replica was killed, by where it was.
        holds: how often one was held up for longer than a lease.
        struck: when each process was struck last, in Unix seconds.
        rests: whether it leaves everybody alone.
    """

    fleet: Fleet
    chance: random.Random
    often: float = 0.12
    kills: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    struck: dict[int, float] = field(default_factory=dict)
    rests: bool = True

    def strike(self, process: int, point: Point) -> str | None:
        """See `world.Strike`; it is called in the thread of the sandbox."""
        weight = 0.25 if point == "reading" else 1.0
        if self.rests or self.chance.random() > self.often * weight:
            return None
        replica = self.fleet.of(process)
        if replica is None or not self._is_spare(replica):
            return None
        if self.chance.random() < 0.2:
            return self._hold(replica, point)
        return self._kill(replica, point)

    async def strike_at_random(self) -> None:
        """Strike now and then, whatever a replica is at; until this is cancelled."""
        while True:
            await anyio.sleep(self.chance.uniform(0.3, 1.2))
            replicas = self.fleet.callable()
            if self.rests or not replicas or not self._is_spare(replica := self.chance.choice(replicas)):
                continue
            match self.chance.choice(["kill", "kill", "hold", "end"]):
                case "kill":
                    self._kill(replica, "any moment")
                case "hold":
                    self._hold(replica, "any moment")
                case _:
                    self.fleet.end(replica)
                    self.kills["SIGTERM"] += 1

    async def keep_complete(self) -> None:
        """Replace those that are dead, and let go on those that were held up; until this is cancelled."""
        while True:
            await self.fleet.complete()
            await anyio.sleep(0.05)

    @property
    def killed(self) -> int:
        """How many replicas were killed with -9."""
        return self.kills.total() - self.kills["SIGTERM"]

    def _is_spare(self, replica: Replica) -> bool:
        """Whether another one can go on with its runs."""
        return not replica.held_until and len(self.fleet.callable()) > 1

    def _kill(self, replica: Replica, where: str) -> str:
        self.struck[replica.process] = time.time()
        self.fleet.kill(replica)
        self.kills[where] += 1
        return "kill"

    def _hold(self, replica: Replica, where: str) -> str:
        self.struck[replica.process] = time.time()
        self.fleet.hold_up(replica, self.chance.uniform(LEASE + 0.2, LEASE + 1.5))
        self.holds[where] += 1
        return "hold"


class Holder(NamedTuple):
    """Who holds a run, and when its lease was taken or renewed last, in Unix seconds."""

    epoch: int
    process: int
    renewed: float


@dataclass
class Watch:
    """Who holds which run, as the database has it.

    Attributes:
        taken: seconds from a strike to the take-over, of every run whose process was struck. Where it renewed its
            lease after the strike, it was only held up, and what it lost or gave back later is not counted.
        late: by how many seconds more than it was to be the machine slept at most; nobody can be faster.
    """

    fury: Fury
    taken: list[float] = field(default_factory=list)
    late: float = 0.0
    _holders: dict[str, Holder] = field(default_factory=dict)

    async def look(self, url: str) -> None:
        """Look again and again, also when the database was away meanwhile; until this is cancelled."""
        while True:
            try:
                connection = await asyncpg.connect(url)
            except (OSError, asyncpg.PostgresError):
                await anyio.sleep(0.2)
                continue
            try:
                while True:
                    for row in await connection.fetch(_RUNNING):
                        process, renewed = int(row["holder"].split("-")[0]), row["lease_until"] - LEASE
                        self.note(row["id"], Holder(row["epoch"], process, renewed))
                    before = time.monotonic()
                    await anyio.sleep(_LOOK_SECONDS)
                    self.late = max(self.late, time.monotonic() - before - _LOOK_SECONDS)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                continue
            finally:
                connection.terminate()

    def note(self, change_id: str, holder: Holder) -> None:
        """Keep who holds a run now."""
        previous = self._holders.get(change_id, holder)
        if previous.epoch == holder.epoch:
            # Who gives a lease back makes it shorter.
            self._holders[change_id] = holder._replace(renewed=max(previous.renewed, holder.renewed))
            return
        self._holders[change_id] = holder
        at = self.fury.struck.get(previous.process, 0.0)
        if at > previous.renewed:
            # Nobody can take anything over while nobody is there.
            since = min([time.time(), *(one.available_since for one in self.fury.fleet.callable())])
            self.taken.append(time.time() - max(at, since))


def chances(seed: int) -> Iterator[random.Random]:
    """Sources of chance that do not disturb each other."""
    return (random.Random(f"{seed} {number}") for number in itertools.count())
