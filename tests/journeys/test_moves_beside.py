"""Two processes of ours move the same customers at once: nobody loses a segment, and what was put back is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.changes.journal import Journal, StorageUnavailable
from amo_mcp.changes.plan import PlanStore
from amo_mcp.changes.turns import Turns
from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, answer
from tests.journeys.lives import serving
from tests.storage.backends import open_memory

pytestmark = pytest.mark.anyio

Kept = tuple[Journal, PlanStore]

CUSTOMERS = "/api/v4/customers"
LEV, ANTON = 1299433, 1299435
"""Customers of the sandbox: in the segments 57 and 81, and in 57."""

PUT_BACK = "{} had left segments that they were to stay in, and were put back: {}."


class Held:
    """The way to the sandbox of a process that is held up at one moment of its first write.

    Attributes:
        arrived: set when it is there.
        goes_on: lets it go on.
    """

    def __init__(self, sandbox: Sandbox, *, after_effect: bool = False) -> None:
        self._app = sandbox.app
        self._after_effect = after_effect
        self.arrived, self.goes_on = anyio.Event(), anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" or self.arrived.is_set():
            return await self._app(scope, receive, send)
        if not self._after_effect:
            await self._wait()
        response: list[Message] = []

        async def keep(message: Message) -> None:
            response.append(message)

        await self._app(scope, receive, keep)
        if self._after_effect:
            await self._wait()
        for message in response:
            await send(message)

    async def _wait(self) -> None:
        self.arrived.set()
        await self.goes_on.wait()


@pytest.fixture
async def journal() -> AsyncIterator[Kept]:
    journal, plans = open_memory()
    yield journal, plans
    await journal.close()


@asynccontextmanager
async def process(sandbox: Sandbox, kept: Kept, wire: Any = None) -> AsyncIterator[Client]:
    """A process of its own on a journal that another one shares."""
    async with (
        serving(sandbox, kept[0], kept[1], wire, turns=Turns()) as served,
        served.client("2026-07-28", Person()) as client,
    ):
        yield client


async def both(sandbox: Sandbox, kept: Kept, held: Held, one: dict[str, Any], other: dict[str, Any]) -> list[Any]:
    """What two moves are answered with, of which the other one is made whole while the first is held up."""
    answers: dict[str, Any] = {}

    async def first(client: Client) -> None:
        answers["one"] = answer(await client.call_tool("move_customers", one))

    async with (
        process(sandbox, kept, held) as slow,
        process(sandbox, kept) as quick,
        anyio.create_task_group() as group,
    ):
        group.start_soon(first, slow)
        await held.arrived.wait()
        answers["other"] = answer(await quick.call_tool("move_customers", other))
        held.goes_on.set()
    return [answers["one"], answers["other"]]


def segments(sandbox: Sandbox, *ids: int) -> list[list[int]]:
    return [sandbox.account.customers[one]["segments"] for one in ids]


@pytest.mark.requirement("CUSTOMER-5", "CUSTOMER-6")
async def test_what_another_process_put_a_customer_into_meanwhile_is_put_back_and_told(
    sandbox: Sandbox, journal: Kept
) -> None:
    held = Held(sandbox)
    one, other = await both(
        sandbox, journal, held, {"customer_ids": [LEV], "add_to": [51]}, {"customer_ids": [LEV, ANTON], "add_to": [66]}
    )
    assert segments(sandbox, LEV, ANTON) == [[51, 57, 66, 81], [57, 66]]
    assert (other["moved"], one["moved"]) == ([LEV, ANTON], [LEV])
    assert one["message"] == PUT_BACK.format("1 customer", LEV)


@pytest.mark.requirement("CUSTOMER-5", "CUSTOMER-6")
async def test_who_was_overwritten_before_it_was_read_back_is_sent_once_more(sandbox: Sandbox, journal: Kept) -> None:
    """The other one has read before the first write, and writes after it."""
    held, other_held = Held(sandbox, after_effect=True), Held(sandbox)
    answers: list[Any] = []

    async def move(client: Client, segment: int) -> None:
        arguments = {"customer_ids": [LEV], "add_to": [segment]}
        answers.append(answer(await client.call_tool("move_customers", arguments)))

    async with (
        process(sandbox, journal, held) as one,
        process(sandbox, journal, other_held) as other,
        anyio.create_task_group() as group,
    ):
        group.start_soon(move, other, 66)
        await other_held.arrived.wait()
        group.start_soon(move, one, 51)
        await held.arrived.wait()
        other_held.goes_on.set()
        while not answers:
            await anyio.lowlevel.checkpoint()
        held.goes_on.set()
    assert segments(sandbox, LEV) == [[51, 57, 66, 81]]
    assert [one["moved"] for one in answers] == [[LEV], [LEV]]


@pytest.mark.requirement("CUSTOMER-5")
async def test_what_another_process_took_a_customer_out_of_meanwhile_stays_left(
    sandbox: Sandbox, journal: Kept
) -> None:
    held = Held(sandbox)
    await both(
        sandbox, journal, held, {"customer_ids": [LEV], "add_to": [51]}, {"customer_ids": [LEV], "remove_from": [81]}
    )
    assert segments(sandbox, LEV) == [[51, 57]]


@pytest.mark.requirement("CUSTOMER-6")
@pytest.mark.parametrize("trouble", ["refused", "not read back", "no journal"])
async def test_what_cannot_be_put_back_is_not_told_as_put_back(
    trouble: str, sandbox: Sandbox, journal: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, (kept, _) = Held(sandbox), journal
    if trouble == "refused":
        sandbox.faults.add(Fault("PATCH", CUSTOMERS, skip=2, status=403))
    if trouble == "not read back":
        sandbox.faults.add(Fault("GET", f"{CUSTOMERS}/{LEV}", skip=8, times=0, status=403))

    async def away(*_: Any) -> Any:
        raise StorageUnavailable("it is away")

    answers: list[Any] = []

    async def first(client: Client) -> None:
        answers.append(answer(await client.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [51]})))

    async with (
        process(sandbox, journal, held) as slow,
        process(sandbox, journal) as quick,
        anyio.create_task_group() as group,
    ):
        group.start_soon(first, slow)
        await held.arrived.wait()
        await quick.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [66]})
        if trouble == "no journal":
            monkeypatch.setattr(type(kept), "moves", away)
        held.goes_on.set()
    assert (answers[0]["moved"], "message" in answers[0]) == ([LEV], False)
    assert segments(sandbox, LEV) == [[51, 57, 81] if trouble != "not read back" else [51, 57, 66, 81]]


@pytest.mark.requirement("CUSTOMER-6")
async def test_what_was_taken_away_before_the_customers_were_read_is_not_put_back(
    sandbox: Sandbox, journal: Kept
) -> None:
    async with process(sandbox, journal) as one:
        await one.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [66]})
        sandbox.account.customers[LEV]["segments"] = [57]
        moved = answer(await one.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [51]}))
    assert (segments(sandbox, LEV), "message" in moved) == ([[51, 57]], False)
