"""Servers that live and die on one journal: a kill, simulated in process, at any moment of a write.

A server that was killed does nothing any more: its requests do not leave, and its journal is not written. The system
frees its lock, and closes its file without having the open transaction written.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from mcp import Client
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session
from amo_mcp.changes.journal import Journal
from amo_mcp.confirmation.ask import AppState
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.server.app import AmoServer
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.memory.rate_limit import Unlimited
from tests.conftest import Person, Served, no_sleep

SUMMARY = re.compile(r"(Create|Change|Delete) (?:segment|status) «.*?»(?: \(id (\d+)\))?(?:: .*)?", re.DOTALL)


class Killed(Exception):
    """The process is dead; whoever catches this can neither send nor record anything any more."""


@dataclass
class Fate:
    """When a process is killed: at a moment of its writing, counted from `begin` on.

    Before and after each record, and before and after each request that writes, is a moment.

    Attributes:
        dead: whether it was killed.
        late: brings the request that had just been sent to its end, when that arrives after the death.
    """

    dead: bool = False
    late: Callable[[], Awaitable[None]] | None = None
    _left: int | None = None
    _arrives: bool = False

    def begin(self, moment: int | None, *, late: bool = False) -> None:
        """Let it be killed at the `moment`-th moment from now, if there are so many; its last request may be late."""
        self._left, self._arrives = moment, late

    def end(self) -> None:
        """Whoever is alive now stays so."""
        self._left = None

    def meet(self, request: Callable[[], Awaitable[None]] | None = None) -> None:
        """Come to a moment; `request` is what is just being sent.

        Raises:
            Killed: it was the last, or is past.
        """
        if self._left == 0:
            self.dead = True
            self.late = request if self._arrives else None
        if self.dead:
            self._left = None
            raise Killed
        if self._left is not None:
            self._left -= 1


class Mortal(Journal):
    """A journal whose process can be killed before and after every record."""

    def __init__(self, file: Path, fate: Fate, clock: Callable[[], float]) -> None:
        super().__init__(file, clock=clock)
        self._fate = fate

    async def _run(self, work: Any, *arguments: Any) -> Any:
        writes = work.__name__ in ("begin", "note", "settle")
        if writes or self._fate.dead:
            self._fate.meet()
        done = await super()._run(work, *arguments)
        if writes:
            self._fate.meet()
        return done

    def die(self) -> None:
        """What the system does with what a dead process held."""
        held = self._records._file
        if held._connection is not None:
            held._connection.close()
        if held._alive is not None:
            held._alive._lock.release()


@dataclass
class Wire:
    """The way to the sandbox of a process that can be killed before and after every write."""

    sandbox: Sandbox
    fate: Fate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET" and not self.fate.dead:
            await self.sandbox.app(scope, receive, send)
            return
        again = await _whole(receive)

        async def nobody(_: Any) -> None:
            pass

        self.fate.meet(lambda: self.sandbox.app(scope, again, nobody))
        answered: list[Any] = []

        async def keep(message: Any) -> None:
            answered.append(message)

        await self.sandbox.app(scope, again, keep)
        self.fate.meet()
        for message in answered:
            await send(message)


async def _whole(receive: Any) -> Callable[[], Awaitable[Any]]:
    """The whole body, as something that can be received later."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)

    async def again() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return again


@dataclass
class Life:
    """A process from its start to its end, and its one client."""

    client: Client
    journal: Mortal
    fate: Fate = field(default_factory=Fate)


@asynccontextmanager
async def living(
    sandbox: Sandbox, file: Path, era: str, person: Person, later: Callable[[], float]
) -> AsyncIterator[Life]:
    """A server on a journal file, with a client; it ends in peace, or as a killed process does."""
    fate = Fate()
    journal = Mortal(file, fate, lambda: time() + later())
    try:
        async with serving(sandbox, journal, Wire(sandbox, fate)) as served, served.client(era, person) as client:
            yield Life(client, journal, fate)
    finally:
        if fate.dead:
            journal.die()
        else:
            journal.close()


@asynccontextmanager
async def serving(sandbox: Sandbox, journal: Journal, app: Any = None) -> AsyncIterator[Served]:
    """A server on a sandbox in process, on a journal of the test's."""
    http = HttpTransport(timeout=20, app=app or sandbox.app)
    transport = Session("http://127.0.0.1", LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited(), sleep=no_sleep)
    approvals = MemoryApprovalStore()
    try:
        server = AmoServer(
            AppState(AmoAccount(AmoClient(transport), journal), approvals, two_step=True), read_only=False
        )
        yield Served(server, sandbox, approvals)
    finally:
        await http.aclose()


@asynccontextmanager
async def planning(sandbox: Sandbox, journal: Journal | None = None) -> AsyncIterator[Served]:
    """A server on a sandbox in process, whose journal is closed with it."""
    journal = journal or Journal()
    try:
        async with serving(sandbox, journal) as served:
            yield served
    finally:
        journal.close()


def settings(sandbox: Sandbox, *, without: Iterable[int] = ()) -> list[dict[str, Any]]:
    """What a person set in the account; ids, times, customers, conditions and places left out."""
    account = sandbox.account
    left_out = {"id", "created_at", "updated_at", "customers_count", "conditions", "sort"}
    things = [thing for kept in (account.segments, account.statuses) for thing in kept.values()]
    told = [
        {key: value or None for key, value in thing.items() if key not in left_out}
        for thing in things
        if thing["id"] not in {*without}
    ]
    return sorted(told, key=str)


def told_of(change: dict[str, Any]) -> list[tuple[str, int, str]]:
    """What is told of each step of a change: what it does, to which id, what came of it; "unknown" while it is open."""
    steps = change.get("steps") or [{"summary": change["summary"], "status": change["status"]}]
    told = {"interrupted": "unknown", "intent": "unknown"}
    return [(*_parsed(step["summary"]), told.get(step["status"], step["status"])) for step in steps]


def _parsed(summary: str) -> tuple[str, int]:
    found = SUMMARY.fullmatch(summary)
    assert found, summary
    return found[1], int(found[2] or 0)


def happened(before: dict[int, Any], now: dict[int, Any]) -> set[tuple[str, int]]:
    """What is different in the account, places and times left out."""

    def told(thing: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in thing.items() if key not in ("sort", "updated_at")}

    return {
        *(("Create", thing_id) for thing_id in now.keys() - before.keys()),
        *(("Delete", thing_id) for thing_id in before.keys() - now.keys()),
        *(
            ("Change", thing_id)
            for thing_id in now.keys() & before.keys()
            if told(before[thing_id]) != told(now[thing_id])
        ),
    }
