"""Moves in trouble: requests lost, answers that lie, a process killed at every moment, and what an undo brings back."""

from collections.abc import AsyncIterator
from math import ceil
from pathlib import Path
from time import time
from typing import Any

import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.storage.rate_limit import SharedRateLimiter
from amo_mcp.text import counted
from tests.clock import Clock
from tests.conftest import Person, Serve, answer, no_sleep
from tests.journeys.lives import AT_REST, Interruption, living, serving
from tests.journeys.lossy import Bench, ToolCall, opened
from tests.journeys.test_faults import ODD, ODD_BEFORE, TROUBLES, Table, Trouble
from tests.storage.backends import open_memory

pytestmark = pytest.mark.anyio

CUSTOMERS = "/api/v4/customers"
LEV, ANTON, YURI = 1299433, 1299435, 1299437
MOVE = ToolCall("move_customers", {"customer_ids": [LEV], "add_to": [51]}, "PATCH", CUSTOMERS)
Segments = dict[int, frozenset[int]]


def segments(sandbox: Sandbox) -> Segments:
    return {one["id"]: frozenset(one["segments"]) for one in sandbox.account.customers.values()}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with opened("2026-07-28") as bench:
        yield bench


@pytest.mark.requirement("CUSTOMER-5", "ERROR-8")
@pytest.mark.parametrize("stays", [False, True])
async def test_a_move_has_its_effect_once_or_not_at_all_and_says_which(bench: Bench, stays: bool) -> None:
    table, wrong = Table(bench), list[tuple[Any, ...]]()

    async def check(trouble: Trouble, expected: str) -> None:
        outcome = await table.tried(MOVE, trouble, stays=stays)
        if outcome != (expected, True):
            wrong.append((trouble.name, *outcome))

    for trouble in (*TROUBLES, *ODD):
        await check(trouble, trouble.expected(MOVE, stays=stays))
    for trouble in ODD_BEFORE:
        # Whatever is answered, who is read back where they were was not moved.
        await check(trouble, "outcome_unknown" if trouble.fault == {"body": "null"} else "rejected")
    assert wrong == []


@pytest.mark.requirement("CUSTOMER-5", "ERROR-8")
@pytest.mark.parametrize("path", [CUSTOMERS, f"{CUSTOMERS}/{LEV}"])
async def test_what_cannot_be_read_back_is_not_claimed(path: str, sandbox: Sandbox, serve: Serve) -> None:
    def fail(_: str) -> None:
        sandbox.faults.add(Fault("GET", f"{CUSTOMERS}*", times=0, status=503))

    sandbox.app = Interruption(sandbox.app, on_write=fail)
    async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
        answered = answer(await client.call_tool("move_customers", {"customer_ids": [LEV], "add_to": [51]}))
    assert answered["error"]["code"] == "outcome_unknown"
    assert segments(sandbox)[LEV] == {51, 57, 81}


MANY: dict[str, Any] = {"add_to": [51], "remove_from": [57]}
"""What is asked for sixty customers, who go in batches of 1, 50 and 9."""


async def call(
    sandbox: Sandbox, folder: Path, tool: str, *, moment: int | None = None, later: float = 0.0, **more: Any
) -> Any:
    """The answer of a process that lives on the journal in a folder; None when it was killed at a moment of it."""
    async with living(sandbox, folder, "2026-07-28", Person(), Clock(time() + later)) as life:
        life.switch.arm(moment)
        answered = answer(await life.client.call_tool(tool, more))
        return None if life.switch.dead else answered


@pytest.mark.requirement("CUSTOMER-5", "CUSTOMER-7", "CHANGE-2")
async def test_whenever_a_move_is_killed_nobody_is_lost_the_journal_knows_who_was_moved_and_undo_brings_them_back(
    tmp_path: Path,
) -> None:
    pristine = Sandbox()
    ids = sorted(one for one, held in segments(pristine).items() if 57 in held)[:60]
    moments = 0
    for moment in range(40):
        sandbox = Sandbox()
        before = segments(sandbox)
        folder = tmp_path / f"{moment}"
        folder.mkdir()
        answered = await call(sandbox, folder, "move_customers", moment=moment, customer_ids=ids, **MANY)
        moved = {one for one, held in segments(sandbox).items() if held != before[one]}
        assert all(segments(sandbox)[one] == before[one] - {57} | {51} for one in moved)
        listed = (await call(sandbox, folder, "list_changes", later=AT_REST))["changes"]
        steps = [step for change in listed for step in change.get("steps", [change])]
        done = [step["summary"] for step in steps if step["status"] == "done"]
        told = f"Move {counted(len(moved), 'customer')} out of «Постоянные покупатели» into «VIP»"
        assert (moment, done) == (moment, [told] if moved else [])
        if done:
            undone = await call(sandbox, folder, "undo_change", later=AT_REST, change_id=listed[0]["change_id"])
            assert (moment, undone.get("status"), undone.get("not_restored")) == (moment, "done", None)
        assert (moment, segments(sandbox)) == (moment, before)
        if answered is not None:
            break
        moments += 1
    assert moments > 12


@pytest.mark.requirement("CUSTOMER-7")
@pytest.mark.parametrize("moment", range(14))
async def test_an_undo_that_is_killed_can_be_gone_on_with_and_brings_everybody_back_once(
    moment: int, tmp_path: Path
) -> None:
    sandbox = Sandbox()
    before = segments(sandbox)
    ids = sorted(one for one, held in before.items() if 57 in held)[:60]
    change_id = (await call(sandbox, tmp_path, "move_customers", customer_ids=ids, **MANY))["change_id"]
    await call(sandbox, tmp_path, "undo_change", moment=moment, change_id=change_id)
    again = await call(sandbox, tmp_path, "undo_change", later=AT_REST, change_id=change_id)
    assert segments(sandbox) == before
    assert "error" not in again or again["error"]["code"] == "conflict"
    *_, oldest = (await call(sandbox, tmp_path, "list_changes", later=AT_REST))["changes"]
    assert oldest["status"] == "undone"


@pytest.mark.requirement("CUSTOMER-6", "CUSTOMER-7")
async def test_an_undo_tells_by_number_who_does_not_come_back(sandbox: Sandbox, serve: Serve) -> None:
    before = segments(sandbox)
    async with serve(sandbox) as served, served.client("2026-07-28", person := Person()) as client:
        arguments = {"customer_ids": [LEV, ANTON, YURI], "add_to": [51], "remove_from": [57]}
        change_id = answer(await client.call_tool("move_customers", arguments))["change_id"]
        del sandbox.account.customers[ANTON]
        sandbox.account.customers[YURI]["segments"] = [75]
        undone = answer(await client.call_tool("undo_change", {"change_id": change_id}))
    told = [
        "1 customer is no longer in the account.",
        "1 customer was moved on since, by a rule of the account or by somebody, and stays there.",
    ]
    assert (undone["status"], undone["not_restored"]) == ("done", told)
    assert person.asked[-1].message.splitlines()[1:3] == told
    assert segments(sandbox)[LEV] == before[LEV]
    assert segments(sandbox)[YURI] == before[YURI]


@pytest.mark.requirement("CUSTOMER-7")
async def test_of_a_status_everybody_goes_back_to_the_one_that_they_had(periodicity: Sandbox, serve: Serve) -> None:
    before = {one["id"]: one["status_id"] for one in periodicity.account.customers.values()}
    async with serve(periodicity) as served, served.client("2026-07-28", Person()) as client:
        ids = [*before][:30]
        moved = answer(await client.call_tool("move_customers", {"customer_ids": ids, "to_status": 4740013}))
        assert {periodicity.account.customers[one]["status_id"] for one in ids} == {4740013}
        periodicity.account.customers[ids[0]]["status_id"] = 4740016
        undone = answer(await client.call_tool("undo_change", {"change_id": moved["change_id"]}))
    now = {one["id"]: one["status_id"] for one in periodicity.account.customers.values()}
    assert undone["status"] == "done"
    assert {one for one in before if now[one] != before[one]} == {ids[0]}


@pytest.mark.requirement("CUSTOMER-8", "LIMIT-3")
async def test_250_customers_are_moved_at_the_pace_that_the_account_allows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Answers begin after 20 ms; the first seven requests go at once, and then seven a second."""
    passing = Clock(0.0)

    async def pass_by(seconds: float) -> None:
        passing.now += seconds
        await no_sleep(seconds)

    limiter = SharedRateLimiter(tmp_path / "pace.json", 7, sleep=pass_by, clock=passing)
    arrivals: list[float] = []

    def arrive() -> None:
        arrivals.append(passing.now)
        passing.now += 0.02

    journal, plans = open_memory()
    wire = Interruption(sandbox.app, on_request=arrive)
    token = LongLivedToken(SecretStr(ADMIN_TOKEN))
    ids = [*sandbox.account.customers][:250]
    async with (
        serving(
            sandbox,
            journal,
            plans,
            wire,
            passing,
            lambda http: Session("http://127.0.0.1", token, http, limiter, sleep=pass_by, clock=passing),
        ) as served,
        served.client("2026-07-28", Person()) as client,
    ):
        answered = answer(await client.call_tool("move_customers", {"customer_ids": ids, "add_to": [66]}))
    await journal.close()
    assert (sorted(answered["moved"]), answered["not_moved"]) == (ids, [])
    assert max(len([one for one in arrivals if at <= one < at + 1]) for at in arrivals) <= 7
    quickest = ceil(len(arrivals) / 7) - 1
    assert quickest / (arrivals[-1] - arrivals[0]) >= 0.95
    assert 20 < len(arrivals) < 60
