"""A change that was left unfinished is looked for in the account: nothing is claimed too early or taken back twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time

import pytest

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.plan import Plan
from amo_mcp.changes.recovery import recover
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.sandbox import Fault, Sandbox
from tests.clock import Clock
from tests.conftest import Person, answer, session_at
from tests.journeys.lives import AT_REST, Life, StepOutcome, living, step_outcomes
from tests.storage.backends import open_memory, open_sqlite
from tests.storage.examples import change_of

pytestmark = pytest.mark.anyio

NEW = [{"action": "create", "kind": "segment", "name": name} for name in ("Один", "Два")]
RENAME = Update(Segment(id=51, name="VIP"), SegmentPatch(name="A"), outcome="pending")


@asynccontextmanager
async def process(
    sandbox: Sandbox, folder: Path, later: float = 0.0, *, ahead: float = 0.0, boot: float = 0.0
) -> AsyncIterator[Life]:
    """A server on the journal in a folder, so many seconds later.

    Args:
        ahead: how far the clock on the wall has been set ahead.
        boot: when the machine was started.
    """
    clock, uptime = Clock(time() + later + ahead), Clock(time() + later - boot)
    async with living(sandbox, folder, "2026-07-28", Person(), clock, monotonic=uptime) as life:
        yield life


async def listed(life: Life) -> list[tuple[str, list[StepOutcome]]]:
    """Every change: its status, and the outcomes of its steps."""
    changes = answer(await life.client.call_tool("list_changes", {}))["changes"]
    return [(change["status"], step_outcomes(change)) for change in changes]


async def undo(life: Life) -> list[str]:
    """Take the oldest change back."""
    changes = answer(await life.client.call_tool("list_changes", {}))["changes"]
    undone = answer(await life.client.call_tool("undo_change", {"change_id": changes[-1]["change_id"]}))
    return list(undone["done"])


async def test_a_request_that_arrives_after_its_process_was_killed_is_unknown_until_then_and_done_after(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(sandbox, tmp_path) as life:
        planned = answer(await life.client.call_tool("plan_changes", {"changes": NEW}))
        # The first record, the first request, its answer's record and the record of the second are two moments each.
        life.switch.arm(8, late=True)
        await life.client.call_tool("apply_plan", {"plan_id": planned["plan_id"]})
    assert life.switch.late is not None
    async with process(sandbox, tmp_path) as soon:
        changes = [await listed(soon)]
        done = await undo(soon)
        changes.append(await listed(soon))
    await life.switch.late()
    async with process(sandbox, tmp_path, AT_REST) as later:
        changes.append(await listed(later))
        done += await undo(later)
        changes.append(await listed(later))
    taken, rest = [("done", [("Delete", segment_id, "done")]) for segment_id in (96, 99)]
    assert changes == [
        [("interrupted", [("Create", 96, "done"), ("Create", 0, "unknown")])],
        [taken, ("interrupted", [("Create", 96, "undone"), ("Create", 0, "unknown")])],
        [taken, ("done", [("Create", 96, "undone"), ("Create", 99, "done")])],
        [rest, taken, ("undone", [("Create", 96, "undone"), ("Create", 99, "undone")])],
    ]
    assert done == ["Delete segment «Один» (id 96)", "Delete segment «Два» (id 99)"]
    assert sandbox.account.segments.keys() == Sandbox().account.segments.keys()


@pytest.mark.requirement("CHANGE-2")
@pytest.mark.parametrize("jump", [3600.0, -3600.0, 400 * 86_400.0])
async def test_a_request_that_arrives_late_is_not_given_up_because_the_clock_was_set(
    jump: float, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(sandbox, tmp_path) as life:
        life.switch.arm(2, late=True)
        await life.client.call_tool("create_segment", {"name": "Один"})
    assert life.switch.late is not None
    async with process(sandbox, tmp_path, 1.0, ahead=jump) as soon:
        changes = [await listed(soon)]
    await life.switch.late()
    async with process(sandbox, tmp_path, AT_REST, ahead=jump) as later:
        changes.append(await listed(later))
    assert changes == [[("interrupted", [("Create", 0, "unknown")])], [("done", [("Create", 96, "done")])]]


@pytest.mark.parametrize(("started", "status"), [(0.0, "interrupted"), (30.0, "interrupted"), (61.5, "failed")])
async def test_once_the_machine_was_started_anew_what_was_not_made_has_failed_a_minute_after_that(
    started: float, status: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(sandbox, tmp_path) as life:
        life.switch.arm(2)
        await life.client.call_tool("create_segment", {"name": "Один"})
    async with process(sandbox, tmp_path, 3600.0, boot=time() + 3600.0 - started) as next_life:
        assert [found for found, _ in await listed(next_life)] == [status]


async def test_an_entity_that_an_undo_was_creating_when_it_was_killed_is_not_created_a_second_time(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(sandbox, tmp_path) as life:
        await life.client.call_tool("delete_segment", {"segment_id": 66})
        [change] = answer(await life.client.call_tool("list_changes", {}))["changes"]
        life.switch.arm(2, late=True)
        await life.client.call_tool("undo_change", {"change_id": change["change_id"]})
    assert life.switch.late is not None
    async with process(sandbox, tmp_path) as soon:
        refused = answer(await soon.client.call_tool("undo_change", {"change_id": change["change_id"]}))
    await life.switch.late()
    async with process(sandbox, tmp_path, AT_REST) as later:
        changes = await listed(later)
    assert refused["error"]["message"] == ("This change is interrupted; there is nothing to undo. Nothing was changed.")
    assert changes == [("done", [("Create", 96, "done")]), ("undone", [("Delete", 66, "undone")])]
    assert [segment["name"] for segment in sandbox.account.segments.values()].count("новички") == 1


@dataclass
class Left:
    """A change that a process left unfinished, on an account in process.

    Attributes:
        later: how many seconds ago it was recorded as pending.
    """

    sandbox: Sandbox
    step: Step
    later: float = 0.0

    async def recovered(self) -> tuple[str, list[str]]:
        """The status that it is found to have, and the outcomes of its steps."""
        clock = Clock()
        journal, _ = open_memory(clock=clock)
        lease = await journal.begin("tool", change_of([self.step.with_outcome("pending")]))
        await journal.note(lease, {}, "interrupted")
        clock.now += self.later
        http = HttpTransport(timeout=20, app=self.sandbox.app)
        await recover(AmoClient(session_at("http://127.0.0.1", http)), journal)
        await http.aclose()
        found = await journal.change(lease.id)
        assert found is not None
        return found.status, [step.outcome for step in found.steps]


@pytest.mark.parametrize("later", [0.0, AT_REST])
async def test_a_step_that_was_made_is_found_at_once(later: float, sandbox: Sandbox) -> None:
    sandbox.account.segments[51]["name"] = "A"
    assert await Left(sandbox, RENAME, later).recovered() == ("done", ["done"])


async def test_a_step_that_was_not_made_stays_pending_until_its_request_cannot_arrive_any_more(
    sandbox: Sandbox,
) -> None:
    step = Update(Segment.model_validate(sandbox.account.segments[51]), SegmentPatch(name="A"))
    assert await Left(sandbox, step).recovered() == ("interrupted", ["pending"])
    assert await Left(sandbox, step, AT_REST).recovered() == ("failed", ["failed"])


async def test_a_step_of_which_the_account_shows_neither_stays_pending_and_is_unknown_in_the_end(
    sandbox: Sandbox,
) -> None:
    step = Update(Segment.model_validate(sandbox.account.segments[51]), SegmentPatch(name="A"))
    sandbox.account.segments[51]["color"] = "ae003f"
    assert await Left(sandbox, step).recovered() == ("interrupted", ["pending"])
    assert await Left(sandbox, step, AT_REST).recovered() == ("interrupted", ["unknown"])


async def test_a_step_whose_account_cannot_be_read_stays_pending_however_old_it_is(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("GET", times=0, status=403))
    assert await Left(sandbox, RENAME, AT_REST).recovered() == ("interrupted", ["pending"])


async def test_a_deletion_of_what_is_gone_was_made(sandbox: Sandbox) -> None:
    deleted = Segment.model_validate(sandbox.account.segments.pop(51))
    assert await Left(sandbox, Delete(deleted)).recovered() == ("done", ["done"])


async def test_of_two_processes_that_find_out_about_a_change_the_first_is_heard(tmp_path: Path) -> None:
    (one, plans), (other, _), (third, later_plans) = (open_sqlite(tmp_path) for _ in range(3))
    await plans.keep(Plan("p", time(), "me", (RENAME,)))
    lease = await one.begin("apply_plan", change_of([RENAME], plan_id="p"))
    await one.close()
    assert [left.record.id for left in await other.unsettled()] == [lease.id]
    await other.settle(lease.id, {0: RENAME.done(Segment(id=51, name="A"))})
    await third.settle(lease.id, {0: RENAME.with_outcome("failed")})
    change = await third.change(lease.id)
    assert change is not None
    assert (change.status, [step.outcome for step in change.steps]) == ("done", ["done"])
    assert await later_plans.plan("p", "me") is None
    await other.close()
    await third.close()


async def test_a_plan_of_which_nothing_came_can_be_applied_by_the_next_process(tmp_path: Path) -> None:
    (one, plans), (other, later_plans) = open_sqlite(tmp_path), open_sqlite(tmp_path)
    await plans.keep(Plan("p", time(), "me", (RENAME,)))
    lease = await one.begin("apply_plan", change_of([RENAME], plan_id="p"))
    await one.close()
    assert await later_plans.plan("p", "me") is None
    await other.settle(lease.id, {0: RENAME.with_outcome("failed")})
    assert await later_plans.plan("p", "me") is not None
    await other.close()


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
async def test_looking_in_vain_does_not_put_off_the_moment_from_which_nothing_can_arrive(
    backend: str, tmp_path: Path
) -> None:
    clock = Clock()
    journal, _ = open_memory(clock=clock) if backend == "memory" else open_sqlite(tmp_path, clock=clock)
    lease = await journal.begin("create_segment", change_of([Create(SegmentDraft(name="A"), outcome="pending")]))
    await journal.note(lease, {}, "interrupted")
    at_rest = []
    for _ in range(4):
        clock.now += 20.5
        await journal.settle(lease.id, {})
        at_rest += [left.at_rest for left in await journal.unsettled()]
    assert at_rest == [False, False, True, True]
    await journal.close()
