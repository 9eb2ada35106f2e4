"""Servers on a sandbox in process, with a journal of the test's: some live and die on one journal file."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from amo_mcp.amocrm.http import HttpTransport, Response
from amo_mcp.amocrm.ratelimit import UNLIMITED, Slot
from amo_mcp.amocrm.session import Session
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.plan import PlanStore
from amo_mcp.changes.turns import Turns
from amo_mcp.sandbox import Sandbox
from tests.bodies import receiving, whole_body
from tests.conftest import Person, Served, served_on, session_at
from tests.journeys.mortal import KillSwitch, MortalJournal
from tests.storage.backends import open_memory, open_sqlite

AT_REST = 61.0
"""Seconds after which a request that was broken off does not arrive any more."""

EXPECTED = {
    *("target_changed", "conflict", "unavailable", "outcome_unknown", "rejected", "rate_limited", "limit_reached"),
    "not_found",
}
"""Codes of errors that a random story may meet."""

_MOVE = re.compile(r"(Put|Take|Move) \d+ customer")
_SUMMARY = re.compile(r"(Create|Change|Delete) (?:segment|status) «.*?»(?: \(id (\d+)\))?(?:: .*)?", re.DOTALL)
_NOT_SET_BY_A_PERSON = {"id", "created_at", "updated_at", "customers_count", "conditions", "sort"}

Json = dict[str, Any]
StepOutcome = tuple[str, int, str]
"""What a step does, to which id (0 while it is not known), and what came of it."""


@dataclass
class MortalWire:
    """The way to the sandbox of a process that can be killed before and after every write.

    Attributes:
        app: the sandbox, or what stands before it.
    """

    app: ASGIApp
    switch: KillSwitch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its response back, if the process is alive by then."""
        if scope["method"] == "GET":
            self.switch.check()
            await self.app(scope, receive, send)
            return
        body = await whole_body(receive)
        self.switch.reach(lambda: self.app(scope, receiving(body), _to_nobody))
        response: list[Message] = []

        async def keep(message: Message) -> None:
            response.append(message)

        await self.app(scope, receiving(body), keep)
        self.switch.reach()
        for message in response:
            await send(message)


@dataclass
class Interruption:
    """The way to the sandbox, on which something else happens between the requests.

    Attributes:
        on_request: is called before every request.
        on_write: is called after the effect of every write and before its answer, with the path; what it returns is
            awaited, unless that is None.
        writes: how many writes there have been.
    """

    app: ASGIApp
    on_request: Callable[[], None] = lambda: None
    on_write: Callable[[str], Awaitable[None] | None] = lambda _: None
    writes: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        self.on_request()
        if scope["method"] == "GET":
            await self.app(scope, receive, send)
            return
        response: list[Message] = []

        async def keep(message: Message) -> None:
            response.append(message)

        await self.app(scope, receive, keep)
        self.writes += 1
        interrupting = self.on_write(scope["path"])
        if interrupting is not None:
            await interrupting
        for message in response:
            await send(message)


class Paced(HttpTransport):
    """A transport in process whose requests take their slots, as those over the network do."""

    @override
    async def send(self, *arguments: Any, slot: Slot = UNLIMITED, **named: Any) -> Response:
        await slot.acquire()
        try:
            return await super().send(*arguments, **named)
        finally:
            await slot.release()


@dataclass
class Life:
    """A process from its start to its end, and its one client."""

    client: Client
    journal: Journal
    switch: KillSwitch


@asynccontextmanager
async def living(
    sandbox: Sandbox,
    folder: Path,
    era: str,
    person: Person,
    clock: Callable[[], float],
    app: ASGIApp | None = None,
    monotonic: Callable[[], float] | None = None,
    session: Callable[[HttpTransport], Session] = lambda http: session_at("http://127.0.0.1", http),
) -> AsyncIterator[Life]:
    """A server on the journal in a folder, with a client; it ends in peace, or as a killed process does.

    Args:
        clock: gives the Unix seconds of the journal and the plans.
        app: the sandbox, or what stands before it.
        monotonic: gives the seconds by which what was read of the account grows old, and those since the machine was
            started; by default both pass as the time does, the latter with `clock`.
        session: makes the session; by default an unpaced one, in which waiting takes no time.
    """
    switch = KillSwitch()
    journal = MortalJournal(folder, switch, clock, monotonic or clock)
    wire = MortalWire(app or sandbox.app, switch)
    try:
        async with (
            serving(sandbox, journal, journal.plans, wire, monotonic or time.monotonic, session) as served,
            served.client(era, person) as client,
        ):
            yield Life(client, journal, switch)
    finally:
        await journal.close()


@asynccontextmanager
async def serving(
    sandbox: Sandbox,
    journal: Journal,
    plans: PlanStore,
    app: ASGIApp | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    session: Callable[[HttpTransport], Session] = lambda http: session_at("http://127.0.0.1", http),
    turns: Turns | None = None,
) -> AsyncIterator[Served]:
    """A server on a sandbox in process, on a journal of the test's.

    Args:
        app: the sandbox, or what stands before it.
        monotonic: gives the seconds by which what was read of the account grows old.
        session: makes the session; by default an unpaced one, in which waiting takes no time.
    """
    http = Paced(timeout=20, app=app or sandbox.app)
    try:
        yield served_on(sandbox, session(http), journal=journal, plans=plans, clock=monotonic, turns=turns)
    finally:
        await http.aclose()


@asynccontextmanager
async def planning(
    sandbox: Sandbox, folder: Path | None = None, clock: Callable[[], float] = time.time
) -> AsyncIterator[Served]:
    """A server on a sandbox in process, with a journal in memory or in a folder that is closed with it.

    Args:
        clock: gives the Unix seconds of the journal and the plans.
    """
    journal, plans = open_memory(clock=clock) if folder is None else open_sqlite(folder, clock=clock)
    try:
        async with serving(sandbox, journal, plans) as served:
            yield served
    finally:
        await journal.close()


def settings(sandbox: Sandbox, *, without: Iterable[int] = ()) -> list[Json]:
    """What a person set in the account; ids, times, customers, conditions and positions left out."""
    account, left_out = sandbox.account, {*without}
    entities = [*account.segments.values(), *account.statuses.values()]
    found = [
        {key: value or None for key, value in entity.items() if key not in _NOT_SET_BY_A_PERSON}
        for entity in entities
        if entity["id"] not in left_out
    ]
    return sorted(found, key=str)


def step_outcomes(change: Json) -> list[StepOutcome]:
    """What `list_changes` says of each step of a change, of moves of customers aside; "unknown" while nobody knows."""
    steps = change.get("steps") or [{"summary": change["summary"], "status": change["status"]}]
    not_known = {"interrupted", "pending"}
    return [
        (*verb_and_id(step["summary"]), "unknown" if step["status"] in not_known else step["status"])
        for step in steps
        if not is_about_customers(step["summary"])
    ]


def is_about_customers(summary: str) -> bool:
    """Whether a step moves customers, and neither creates, changes nor deletes a segment or a status."""
    return _MOVE.match(summary) is not None


def verb_and_id(summary: str) -> tuple[str, int]:
    """What the summary of a step says is done, and to which id (0 while it is not known)."""
    found = _SUMMARY.fullmatch(summary)
    assert found, summary
    return found[1], int(found[2] or 0)


def differences(before: dict[int, Json], now: dict[int, Json]) -> set[tuple[str, int]]:
    """What was done to the entities between two moments, positions and times left out."""

    def compared(entity: Json) -> Json:
        return {key: value for key, value in entity.items() if key not in ("sort", "updated_at")}

    return {
        *(("Create", entity_id) for entity_id in now.keys() - before.keys()),
        *(("Delete", entity_id) for entity_id in before.keys() - now.keys()),
        *(
            ("Change", entity_id)
            for entity_id in now.keys() & before.keys()
            if compared(before[entity_id]) != compared(now[entity_id])
        ),
    }


async def _to_nobody(_: Message) -> None:
    """Nobody is there any more to whom it could be sent."""
