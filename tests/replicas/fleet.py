"""Replicas as processes of their own, on one PostgreSQL; each can be killed, held up and begun anew."""

import math
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import anyio

from tests.forked import begin

_SERVES = re.compile(r"amo-mcp serves at (http://\S+)")
_START_SECONDS = 60.0


@dataclass
class Replica:
    """One process.

    Attributes:
        url: its MCP endpoint; empty until it serves.
        held_until: monotonic seconds until which it is stopped.
        available_since: Unix seconds since which it can take something over; in the far future, while it cannot.
    """

    process: int
    log: Path
    url: str = ""
    held_until: float = 0.0
    available_since: float = math.inf

    @property
    def lives(self) -> bool:
        """Whether it is there; a process that is only held up is."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        return True

    def serves(self) -> bool:
        """Whether it can be called, as it says itself."""
        if not self.url and (found := _SERVES.search(self.log.read_text("utf-8"))):
            self.url = found[1]
            self.available_since = time.time()
        return bool(self.url)


@dataclass
class Fleet:
    """So many replicas; one that has died is replaced.

    Args:
        env: what they are given.
        size: how many there are at any time.
        folder: where their logs are.
    """

    env: Mapping[str, str]
    size: int
    folder: Path
    replicas: list[Replica] = field(default_factory=list)
    _by_process: dict[int, Replica] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def running(cls, env: Mapping[str, str], size: int, folder: Path) -> Iterator[Self]:
        """A fleet as long as the context; no process of it is left after it."""
        fleet = cls(env, size, folder)
        try:
            yield fleet
        finally:
            for replica in fleet.replicas:
                fleet.kill(replica)

    def begin(self) -> Replica:
        """Begin a replica."""
        log = self.folder / f"replica-{len(self._by_process)}.log"
        process = begin(["serve", "--team", "--port", "0"], {**os.environ, **self.env}, log)
        assert process.pid is not None
        replica = Replica(process.pid, log)
        self.replicas.append(replica)
        self._by_process[replica.process] = replica
        return replica

    async def complete(self) -> None:
        """Replace those that have died, and let go on those that were held up long enough; until all can be called."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self.replicas = [replica for replica in self.replicas if replica.lives]
            while len(self.replicas) < self.size:
                self.begin()
            self.let_go_on()
            if all(replica.serves() for replica in self.replicas):
                return
            assert time.monotonic() < deadline, [replica.log.read_text("utf-8")[-2000:] for replica in self.replicas]
            await anyio.sleep(0.02)

    def callable(self) -> list[Replica]:
        """Those that answer, as far as is known."""
        return [one for one in self.replicas if one.lives and one.serves() and not one.held_until]

    def of(self, process: int) -> Replica | None:
        """A replica by its process."""
        return self._by_process.get(process)

    def kill(self, replica: Replica) -> None:
        """Kill -9."""
        with suppress(ProcessLookupError):
            os.kill(replica.process, signal.SIGKILL)

    def end(self, replica: Replica) -> None:
        """SIGTERM; from now on it takes nothing over."""
        with suppress(ProcessLookupError):
            replica.available_since = math.inf
            os.kill(replica.process, signal.SIGTERM)

    def hold_up(self, replica: Replica, seconds: float) -> None:
        """SIGSTOP, until `let_go_on` finds that so many seconds have passed."""
        with suppress(ProcessLookupError):
            replica.held_until = time.monotonic() + seconds
            replica.available_since = math.inf
            os.kill(replica.process, signal.SIGSTOP)

    def let_go_on(self, *, all_of_them: bool = False) -> None:
        """SIGCONT for those whose time is over."""
        for replica in self.replicas:
            if replica.held_until and (all_of_them or time.monotonic() >= replica.held_until):
                replica.held_until = 0.0
                replica.available_since = time.time()
                with suppress(ProcessLookupError):
                    os.kill(replica.process, signal.SIGCONT)
