"""A process is killed at every point of a write; the next one tells the truth about it, and can take it back."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from time import time
from typing import Any

import pytest
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Change
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.tools.changes import UndoChange, plan_undo
from tests.conftest import no_sleep
from tests.journeys.lives import settings

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="the writers are forked, and killed by signal"),
]

Point = tuple[str, str, int]
Kill = Callable[..., None]

POINTS: dict[str, tuple[Point, list[str]]] = {
    "before the intent is recorded": (("record", "before", 0), []),
    "after the intent": (("record", "after", 0), ["failed"]),
    "after the effect": (("request", "after", 0), ["done"]),
    "after the answer is recorded": (("record", "after", 1), ["done"]),
    "after the end": (("record", "after", 2), ["done"]),
}
"""Where the process is killed, and what is to be said of the change in the end; nothing when there is none."""

REST = 61.0
"""Seconds after which a request that had just been sent does not arrive any more."""


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Let a process of its own write, and be killed at a point of it."""
    command = [sys.executable, "-m", "tests.journeys.writer"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:

        def killed(url: str, file: Path, what: str, point: Point, changes: Any = ()) -> None:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps([url, str(file), what, [*changes], point]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{int(signal.SIGKILL)}\n"

        yield killed


@asynccontextmanager
async def next_process(url: str, file: Path, *, later: float = 0.0) -> AsyncIterator[AmoAccount]:
    """The process that comes after one that was killed, soon or so many seconds later."""
    http, journal = HttpTransport(timeout=20), Journal(file, clock=lambda: time() + later)
    transport = Session(url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited(), sleep=no_sleep)
    try:
        yield AmoAccount(AmoClient(transport), journal)
    finally:
        journal.close()
        await http.aclose()


async def told(url: str, file: Path, *, later: float = 0.0) -> list[Change]:
    """What the next process says of the changes, the newest first."""
    async with next_process(url, file, later=later) as account:
        await account.settle()
        return [change for _, change in await account.journal.changes(10)]


async def undo(url: str, file: Path, change_id: str) -> None:
    """Take back what is left to be taken back of a change."""
    async with next_process(url, file, later=REST) as account:
        change = await account.journal.change(change_id)
        assert change is not None
        taking = await plan_undo(account, change)
        assert taking.conflicts == []
        if taking.steps:
            assert (await UndoChange(change, taking).write(account)).not_done is None


def outcomes(change: Change) -> list[str]:
    return [step.outcome for step in change.steps]


def again(sandbox: Sandbox) -> None:
    """Let the account be as it was at the start."""
    vars(sandbox.account).update(vars(Sandbox(mode=sandbox.account.mode).account))


WRITES = [
    "create_segment",
    "update_segment",
    "delete_segment",
    "create_status",
    "create_statuses",
    "update_status",
    "delete_status",
]


@pytest.mark.requirement("CHANGE-2")
@pytest.mark.parametrize("write", WRITES)
async def test_whenever_the_process_is_killed_the_journal_tells_the_truth_and_undo_takes_back_just_that(
    write: str, kill: Kill, tmp_path: Path
) -> None:
    sandbox = Sandbox(mode="periodicity" if "status" in write else "segments")
    untouched = settings(sandbox)
    with running(sandbox) as url:
        for number, (name, (point, expected)) in enumerate(POINTS.items()):
            file = tmp_path / f"{number}.sqlite"
            kill(url, file, write, point)
            assert (name, settings(sandbox) != untouched) == (name, expected == ["done"])
            soon = [change.status for change in await told(url, file)]
            assert (name, soon) == (name, ["interrupted" if word == "failed" else word for word in expected])
            changes = await told(url, file, later=REST)
            assert (name, [change.status for change in changes]) == (name, expected)
            for change in changes:
                await undo(url, file, change.id)
            assert (name, settings(sandbox)) == (name, untouched)
            again(sandbox)


PLANS: dict[str, tuple[str, list[dict[str, Any]], list[int]]] = {
    "segments": (
        "segments",
        [
            {"action": "delete", "kind": "segment", "id": 66},
            {"action": "create", "kind": "segment", "name": "Гости", "color": "10599d"},
            {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"},
            {"action": "create", "kind": "segment", "name": "Соседи"},
        ],
        [1, 1, 1, 1],
    ),
    "statuses": (
        "periodicity",
        [
            {"action": "update", "kind": "status", "id": 4740013, "name": "Помол"},
            {"action": "create", "kind": "status", "name": "Новые", "sort": 1, "color": "#fffd7f"},
            {"action": "create", "kind": "status", "name": "Тёплые", "sort": 2},
            {"action": "create", "kind": "status", "name": "Горячие", "sort": 3},
            {"action": "delete", "kind": "status", "id": 4740019},
        ],
        [1, 3, 1],
    ),
}
"""Plans of every kind of step: the mode, the changes, and how many of them go together in one request each."""


def points(batches: list[int]) -> Iterator[tuple[str, Point, list[str], list[str]]]:
    """Every point of a change: its name, where it is, and what is to be said of the steps at once and in the end.

    The first record is the change itself with its first intent; then come the answer of a batch, the intent of the
    next, and so on; the last is the end.
    """
    total = sum(batches)
    yield "before the first intent", ("record", "before", 0), [], []
    done = 0
    for number, size in enumerate(batches):
        rest = ["planned"] * (total - done - size)
        intent, failed, made = (["done"] * done + [word] * size + rest for word in ("intent", "failed", "done"))
        yield f"after the intent of {number}", ("record", "after", 2 * number), intent, failed
        yield f"after the effect of {number}", ("request", "after", number), made, made
        yield f"after the answer of {number} is recorded", ("record", "after", 2 * number + 1), made, made
        done += size
    yield "after the end", ("record", "after", 2 * len(batches)), ["done"] * total, ["done"] * total


@pytest.mark.parametrize("plan", PLANS)
async def test_whenever_a_plan_is_killed_what_was_made_is_told_step_by_step_and_undo_takes_back_just_that(
    plan: str, kill: Kill, tmp_path: Path
) -> None:
    mode, changes, batches = PLANS[plan]
    sandbox = Sandbox(mode=mode)
    untouched = settings(sandbox)
    with running(sandbox) as url:
        for number, (name, point, soon, late) in enumerate(points(batches)):
            file = tmp_path / f"{number}.sqlite"
            kill(url, file, "apply_plan", point, changes)
            assert (name, [outcomes(change) for change in await told(url, file)]) == (name, [soon] if soon else [])
            listed = await told(url, file, later=REST)
            assert (name, [outcomes(change) for change in listed]) == (name, [late] if late else [])
            made = {step.target_id for change in listed for step in change.steps if step.outcome == "done"}
            writes = [item for item in sandbox.requests if item.method != "GET"]
            assert (name, len(made)) == (name, late.count("done"))
            assert (name, len(writes)) == (name, len([end for end in accumulate(batches) if end <= len(made)]))
            for change in listed:
                await undo(url, file, change.id)
            assert (name, settings(sandbox)) == (name, untouched)
            again(sandbox)
            sandbox.requests.clear()


UNDOS = {"segments": [1, 1, 1, 1], "statuses": [1, 1, 1, 1, 1]}
"""How many steps of the plans' undos go together in one request each."""


@pytest.mark.parametrize("plan", PLANS)
async def test_whenever_the_undo_of_a_plan_is_killed_the_rest_can_be_taken_back_and_nothing_comes_twice(
    plan: str, kill: Kill, tmp_path: Path
) -> None:
    mode, changes, batches = PLANS[plan]
    sandbox = Sandbox(mode=mode)
    untouched = settings(sandbox)
    with running(sandbox) as url:
        for number, (name, point, soon, late) in enumerate(points(UNDOS[plan])):
            file = tmp_path / f"{number}.sqlite"
            kill(url, file, "apply_plan", ("record", "after", 2 * len(batches)), changes)
            kill(url, file, "undo_change", point)
            *undos, applied = await told(url, file)
            assert (name, [outcomes(change) for change in undos]) == (name, [soon] if soon else [])
            unsure = [step.undoes for change in undos for step in change.steps if step.outcome == "intent"]
            taken = [step.undoes for change in undos for step in change.steps if step.outcome == "done"]
            assert [
                (position, step.outcome)
                for position, step in enumerate(applied.steps)
                if step.outcome != ("undone" if position in taken else "done")
            ] == [(position, "unknown") for position in unsure if applied.steps[position or 0].action == "delete"]
            *undos, applied = await told(url, file, later=REST)
            assert (name, [outcomes(change) for change in undos]) == (name, [late] if late else [])
            assert outcomes(applied).count("undone") == late.count("done")
            await undo(url, file, applied.id)
            assert (name, settings(sandbox)) == (name, untouched)
            *_, applied = await told(url, file, later=REST)
            assert (name, set(outcomes(applied))) == (name, {"undone"})
            again(sandbox)


async def test_while_the_account_cannot_be_read_nothing_is_claimed_and_later_it_is(
    kill: Kill, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "journal.sqlite"
    statuses = []
    with running(sandbox) as url:
        kill(url, file, "delete_segment", POINTS["after the effect"][0])
        for mode in ("periodicity", "segments"):
            sandbox.account.mode = mode
            statuses += [change.status for change in await told(url, file, later=REST)]
    assert statuses == ["interrupted", "done"]
    assert 51 not in sandbox.account.segments
