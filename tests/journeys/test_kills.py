"""A process is killed at every point of a write; the next one knows what came of it, and can take it back."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from time import time
from typing import Any

import pytest

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.failures.failure import Failure
from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.tools.changes import Undone, undo_change
from amo_mcp.tools.runtime.tool import Confirm
from tests.clock import Clock
from tests.conftest import account_on, session_at
from tests.journeys.lives import AT_REST, settings
from tests.storage.backends import open_sqlite

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="the writers are forked, and killed by signal"),
]

Point = tuple[str, str, int]
Kill = Callable[..., None]

POINTS: dict[str, tuple[Point, list[str]]] = {
    "before it is recorded": (("record", "before", 0), []),
    "after it is recorded as pending": (("record", "after", 0), ["failed"]),
    "after the effect": (("request", "after", 0), ["done"]),
    "after the answer is recorded": (("record", "after", 1), ["done"]),
    "after the end": (("record", "after", 2), ["done"]),
}
"""Where the process is killed, and the status of the change in the end; none when there is no change."""


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Let a process of its own write, and be killed at a point of it."""
    command = [sys.executable, "-m", "tests.journeys.writer"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:

        def killed(url: str, folder: Path, what: str, point: Point, changes: Iterable[Any] = ()) -> None:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps([url, str(folder), what, [*changes], point]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{int(signal.SIGKILL)}\n"

        yield killed


@asynccontextmanager
async def next_process(url: str, folder: Path, *, later: float = 0.0) -> AsyncIterator[AmoAccount]:
    """The process that comes after one that was killed, soon or so many seconds later."""
    http = HttpTransport(timeout=20)
    journal, plans = open_sqlite(folder, clock=Clock(time() + later))
    try:
        yield account_on(session_at(url, http), journal, plans)
    finally:
        await journal.close()
        await http.aclose()


async def recovered(url: str, folder: Path, *, later: float = 0.0) -> list[ChangeRecord]:
    """What the next process finds out of the changes, the newest first."""
    async with next_process(url, folder, later=later) as account:
        await account.recover()
        return [record for _, record in await account.journal.changes(10)]


async def undo(url: str, folder: Path, change_id: str) -> None:
    """Take back what is left to be taken back of a change, if there is anything."""
    async with next_process(url, folder, later=AT_REST) as account:
        try:
            asked: Confirm[Undone] = await undo_change.fn(change_id, account)
        except Failure as failure:
            assert str(failure).endswith("there is nothing to undo. Nothing was changed.")
            return
        undone = await account.execute("undo_change", asked.change)
        assert undone.failure is None


def outcomes(record: ChangeRecord) -> list[str]:
    return [step.outcome for step in record.steps]


def reset(sandbox: Sandbox) -> None:
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
async def test_whenever_a_writing_process_is_killed_the_journal_knows_what_was_made_and_undo_takes_back_just_that(
    write: str, kill: Kill, tmp_path: Path
) -> None:
    sandbox = Sandbox(mode="periodicity" if "status" in write else "segments")
    untouched = settings(sandbox)
    with running(sandbox) as url:
        for number, (name, (point, expected)) in enumerate(POINTS.items()):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            kill(url, folder, write, point)
            assert (name, settings(sandbox) != untouched) == (name, expected == ["done"])
            soon = [change.status for change in await recovered(url, folder)]
            assert (name, soon) == (name, ["interrupted" if word == "failed" else word for word in expected])
            changes = await recovered(url, folder, later=AT_REST)
            assert (name, [change.status for change in changes]) == (name, expected)
            for change in changes:
                await undo(url, folder, change.id)
            assert (name, settings(sandbox)) == (name, untouched)
            reset(sandbox)


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
    """Every point of a change: its name, where it is, and the outcomes of the steps at once and in the end.

    The first record is the change itself, its first batch pending; then come the answer of a batch, the next batch as
    pending, and so on; the last is the end.
    """
    total = sum(batches)
    yield "before the change is recorded", ("record", "before", 0), [], []
    done = 0
    for number, size in enumerate(batches):
        rest = ["planned"] * (total - done - size)
        pending, failed, made = (["done"] * done + [word] * size + rest for word in ("pending", "failed", "done"))
        yield f"after {number} is recorded as pending", ("record", "after", 2 * number), pending, failed
        yield f"after the effect of {number}", ("request", "after", number), made, made
        yield f"after the answer of {number} is recorded", ("record", "after", 2 * number + 1), made, made
        done += size
    yield "after the end", ("record", "after", 2 * len(batches)), ["done"] * total, ["done"] * total


@pytest.mark.parametrize("plan", PLANS)
async def test_whenever_a_plan_is_killed_the_journal_knows_the_steps_that_were_made_and_undo_takes_back_just_those(
    plan: str, kill: Kill, tmp_path: Path
) -> None:
    mode, changes, batches = PLANS[plan]
    sandbox = Sandbox(mode=mode)
    untouched = settings(sandbox)
    with running(sandbox) as url:
        for number, (name, point, soon, late) in enumerate(points(batches)):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            kill(url, folder, "apply_plan", point, changes)
            at_once = [outcomes(change) for change in await recovered(url, folder)]
            assert (name, at_once) == (name, [soon] if soon else [])
            listed = await recovered(url, folder, later=AT_REST)
            assert (name, [outcomes(change) for change in listed]) == (name, [late] if late else [])
            made = {step.target_id for change in listed for step in change.steps if step.outcome == "done"}
            writes = [item for item in sandbox.requests if item.method != "GET"]
            assert (name, len(made)) == (name, late.count("done"))
            assert (name, len(writes)) == (name, len([end for end in accumulate(batches) if end <= len(made)]))
            for change in listed:
                await undo(url, folder, change.id)
            assert (name, settings(sandbox)) == (name, untouched)
            reset(sandbox)
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
            folder = tmp_path / f"{number}"
            folder.mkdir()
            kill(url, folder, "apply_plan", ("record", "after", 2 * len(batches)), changes)
            kill(url, folder, "undo_change", point)
            *undos, applied = await recovered(url, folder)
            assert (name, [outcomes(change) for change in undos]) == (name, [soon] if soon else [])
            unsure = [step.undoes for change in undos for step in change.steps if step.outcome == "pending"]
            taken = [step.undoes for change in undos for step in change.steps if step.outcome == "done"]
            assert [
                (position, step.outcome)
                for position, step in enumerate(applied.steps)
                if step.outcome != ("undone" if position in taken else "done")
            ] == [(position, "unknown") for position in unsure if applied.steps[position or 0].action == "delete"]
            *undos, applied = await recovered(url, folder, later=AT_REST)
            assert (name, [outcomes(change) for change in undos]) == (name, [late] if late else [])
            assert outcomes(applied).count("undone") == late.count("done")
            await undo(url, folder, applied.id)
            assert (name, settings(sandbox)) == (name, untouched)
            *_, applied = await recovered(url, folder, later=AT_REST)
            assert (name, set(outcomes(applied))) == (name, {"undone"})
            reset(sandbox)


async def test_while_the_account_cannot_be_read_a_change_of_a_killed_process_stays_interrupted_and_is_done_later(
    kill: Kill, sandbox: Sandbox, tmp_path: Path
) -> None:
    statuses = []
    with running(sandbox) as url:
        kill(url, tmp_path, "delete_segment", POINTS["after the effect"][0])
        for mode in ("periodicity", "segments"):
            sandbox.account.mode = mode
            statuses += [change.status for change in await recovered(url, tmp_path, later=AT_REST)]
    assert statuses == ["interrupted", "done"]
    assert 51 not in sandbox.account.segments
