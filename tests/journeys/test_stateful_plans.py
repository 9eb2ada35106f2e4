"""Many plans one after the other, with faults, foreign edits and undoing in between: the journal never lies.

Each run makes 32 plans and undos in one account, and there are 12 runs: 384 of them, which make over 1,000 changes.
"""

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import pytest
from mcp import Client
from pydantic import SecretStr

from amo_mcp.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import Http
from amo_mcp.amocrm.pace import Unpaced
from amo_mcp.amocrm.palette import SEGMENT_COLORS
from amo_mcp.amocrm.transport import LongLivedToken, Transport
from amo_mcp.confirmation.approvals import Approvals
from amo_mcp.confirmation.ask import Serving
from amo_mcp.reorganize.journal import Journal
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.server import AmoServer
from tests.conftest import ERAS, Person, Served, answer, no_sleep

pytestmark = pytest.mark.anyio

STEPS = 32
RUNS = 12
SUMMARY = re.compile(r"(Create|Change|Delete) (?:segment|status) «.*?»(?: \(id (\d+)\))?(?:: .*)?", re.DOTALL)
EXPECTED = {
    "target_changed",
    "conflict",
    "unavailable",
    "outcome_unknown",
    "rejected",
    "rate_limited",
    "limit_reached",
    "not_found",
}


@asynccontextmanager
async def planning(sandbox: Sandbox, journal: Journal | None = None) -> AsyncIterator[Served]:
    """A server on a sandbox in process, on a journal of the test's."""
    http = Http(timeout=20, app=sandbox.app)
    transport = Transport("http://127.0.0.1", LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unpaced(), sleep=no_sleep)
    journal, approvals = journal or Journal(), Approvals()
    try:
        serving = Serving(AmoAccount(AmoClient(transport), journal), approvals, two_step=True)
        yield Served(AmoServer(serving, read_only=False), sandbox, approvals)
    finally:
        journal.close()
        await http.aclose()


def settings(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What a person set in the account; ids, times and customers left out."""
    account = sandbox.account
    left_out = {"id", "created_at", "updated_at", "customers_count", "conditions"}
    things = [*account.segments.values(), *account.statuses.values()]
    told = [{key: value or None for key, value in thing.items() if key not in left_out} for thing in things]
    return sorted(told, key=str)


class Run:
    """One account, what is done to it, and what is checked after everything that is done."""

    def __init__(self, seed: int, client: Client, sandbox: Sandbox) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a test's choices, not a secret
        self.client = client
        self.sandbox = sandbox
        self.kind = "segment" if sandbox.account.mode == "segments" else "status"
        self.foreign = seed % 4 >= 2
        self.number = 0
        self.done: list[tuple[str, set[int]]] = []
        self.certain = True

    @property
    def things(self) -> dict[int, Any]:
        account = self.sandbox.account
        return account.segments if self.kind == "segment" else account.statuses

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return answer(await self.client.call_tool(tool, arguments))

    def name(self) -> str:
        self.number += 1
        return f"Имя {self.number}"

    def changes(self) -> list[dict[str, Any]]:
        touched = {thing_id for _, ids in self.done for thing_id in ids}
        found = []
        for thing_id in self.chance.sample(sorted(self.things), min(4, len(self.things))):
            removable = not self.things[thing_id].get("is_default") and (self.foreign or thing_id not in touched)
            if removable and self.chance.random() < 0.3:
                found.append({"action": "delete", "kind": self.kind, "id": thing_id})
            elif self.chance.random() < 0.5:
                color = {"color": self.chance.choice(SEGMENT_COLORS)} if self.kind == "segment" else {}
                found.append({"action": "update", "kind": self.kind, "id": thing_id, "name": self.name(), **color})
        room = 26 - len(self.things)
        for _ in range(min(self.chance.randint(0, 3), room)):
            sort = {} if self.kind == "segment" else {"sort": self.chance.randint(0, 9)}
            found.append({"action": "create", "kind": self.kind, "name": self.name(), **sort})
        self.chance.shuffle(found)
        return found or [{"action": "update", "kind": self.kind, "id": min(self.things), "name": self.name()}]

    def break_something(self) -> None:
        times, skip = self.chance.choice([1, 2, 5, 5]), self.chance.choice([0, 0, 1])
        method = self.chance.choice(["POST", "PATCH", "DELETE"])
        kinds: list[dict[str, Any]] = [
            {"drop": "before"},
            {"drop": "after"},
            {"status": 500},
            {"status": 503},
            {"status": 400},
            {"status": 429, "retry_after": 1},
            {"status": 500, "after_effect": True},
        ]
        if self.foreign:
            kinds += [{"status": 504}, {"status": 504, "after_effect": True}]
        self.sandbox.faults.add(Fault(method, times=times, skip=skip, **self.chance.choice(kinds)))

    def meddle(self) -> None:
        """What somebody else does in the account."""
        thing_id = self.chance.choice(sorted(self.things))
        if self.chance.random() < 0.3 and not self.things[thing_id].get("is_default"):
            del self.things[thing_id]
        else:
            self.things[thing_id]["name"] = self.name()

    async def one_step(self) -> None:
        undoing = self.done and self.chance.random() < 0.3
        planned = None if undoing else await self.call("plan_changes", changes=self.changes())
        if self.foreign and self.chance.random() < 0.2:
            self.meddle()
        if self.chance.random() < 0.7 and (self.foreign or not undoing):
            self.break_something()
        before = deepcopy(self.things)
        if planned is None:
            undone = self.chance.choice(self.done) if self.foreign else self.done[-1]
            said = await self.call("undo_change", change_id=undone[0])
        else:
            said = await self.call("apply_plan", plan_id=planned["plan_id"])
        self.sandbox.faults.clear()
        touched = await self.check(before, said)
        if planned is None:
            if "error" not in said and "reason" not in said:
                self.done.remove(undone)
        elif touched:
            self.done.append((touched[0], touched[1]))

    async def check(self, before: dict[int, Any], said: dict[str, Any]) -> tuple[str, set[int]] | None:
        """What the journal tells of the newest change is what is different in the sandbox."""
        listed = (await self.call("list_changes", limit=1))["changes"]
        happened = differences(before, self.things)
        if "error" in said:
            assert said["error"]["code"] in EXPECTED, said
            if said["error"]["code"] != "outcome_unknown":
                assert happened == set()
                return None
            self.certain = self.certain and not happened
        change = listed[0]
        if "error" not in said:
            assert said["change_id"] == change["change_id"]
        steps = change.get("steps") or [{"summary": change["summary"], "status": change["status"]}]
        told = [(*parsed(step["summary"]), step["status"]) for step in steps]
        made = {(verb, thing_id) for verb, thing_id, status in told if status == "done"}
        if any(status in ("unknown", "interrupted") for *_, status in told):
            self.certain = self.certain and made == happened
            assert made <= happened
        else:
            assert made == happened
        assert (change["status"] == "done") == all(status == "done" for *_, status in told)
        return change["change_id"], {thing_id for _, thing_id in made}

    async def undo_the_rest(self) -> None:
        for change_id, _ in reversed(self.done):
            undone = await self.call("undo_change", change_id=change_id)
            assert "error" not in undone, undone


def parsed(summary: str) -> tuple[str, int]:
    found = SUMMARY.fullmatch(summary)
    assert found, summary
    return found[1], int(found[2] or 0)


def differences(before: dict[int, Any], now: dict[int, Any]) -> set[tuple[str, int]]:
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


def without_places(sandbox: Sandbox) -> list[dict[str, Any]]:
    told = [{key: value for key, value in thing.items() if key != "sort"} for thing in settings(sandbox)]
    return sorted(told, key=str)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_the_journal_tells_what_happened_and_undoing_everything_brings_the_account_back(seed: int) -> None:
    sandbox = Sandbox(mode="segments" if seed % 2 else "periodicity")
    before = without_places(sandbox)
    era = list(ERAS)[seed // 4 % 2]
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        run = Run(seed, client, sandbox)
        for _ in range(STEPS):
            await run.one_step()
        if not run.foreign:
            assert run.certain
            await run.undo_the_rest()
            assert without_places(sandbox) == before
