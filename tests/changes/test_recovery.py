"""What was left unfinished is found out by looking: nothing is claimed too early, and nothing is taken back twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Change, Step
from amo_mcp.reorganize.plan import Plan
from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, answer
from tests.journeys.lives import Life, living, told_of

pytestmark = pytest.mark.anyio

REST = 61.0
NEW = [{"action": "create", "kind": "segment", "name": name} for name in ("Один", "Два")]
RENAME = Step("update", "segment", before=Segment(id=51, name="VIP"), sent=SegmentPatch(name="A"), outcome="intent")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@asynccontextmanager
async def process(sandbox: Sandbox, file: Path, later: float = 0.0) -> AsyncIterator[Life]:
    async with living(sandbox, file, "2026-07-28", Person(), lambda: later) as life:
        yield life


async def listed(life: Life) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """Every change: its status, and what is told of its steps."""
    changes = answer(await life.client.call_tool("list_changes", {}))["changes"]
    return [(change["status"], told_of(change)) for change in changes]


async def undo(life: Life) -> list[str]:
    """Take the oldest change back."""
    changes = answer(await life.client.call_tool("list_changes", {}))["changes"]
    undone = answer(await life.client.call_tool("undo_change", {"change_id": changes[-1]["change_id"]}))
    return list(undone["done"])


async def test_a_request_that_arrives_after_its_process_was_killed_is_not_denied_before_and_told_after(
    sandbox: Sandbox, file: Path
) -> None:
    async with process(sandbox, file) as life:
        planned = answer(await life.client.call_tool("plan_changes", {"changes": NEW}))
        # The first record, the first request, its answer's record and the second intent are two moments each.
        life.fate.begin(8, late=True)
        await life.client.call_tool("apply_plan", {"plan_id": planned["plan_id"]})
    assert life.fate.late is not None
    async with process(sandbox, file) as soon:
        told = [await listed(soon)]
        done = await undo(soon)
        told.append(await listed(soon))
    await life.fate.late()
    async with process(sandbox, file, REST) as later:
        told.append(await listed(later))
        done += await undo(later)
        told.append(await listed(later))
    taken, rest = [("done", [("Delete", thing_id, "done")]) for thing_id in (96, 99)]
    assert told == [
        [("interrupted", [("Create", 96, "done"), ("Create", 0, "unknown")])],
        [taken, ("interrupted", [("Create", 96, "undone"), ("Create", 0, "unknown")])],
        [taken, ("done", [("Create", 96, "undone"), ("Create", 99, "done")])],
        [rest, taken, ("undone", [("Create", 96, "undone"), ("Create", 99, "undone")])],
    ]
    assert done == ["Delete segment «Один» (id 96)", "Delete segment «Два» (id 99)"]
    assert sandbox.account.segments.keys() == Sandbox().account.segments.keys()


async def test_what_was_to_come_back_when_the_undo_was_killed_is_not_made_a_second_time(
    sandbox: Sandbox, file: Path
) -> None:
    async with process(sandbox, file) as life:
        await life.client.call_tool("delete_segment", {"segment_id": 51})
        [change] = answer(await life.client.call_tool("list_changes", {}))["changes"]
        life.fate.begin(2, late=True)
        await life.client.call_tool("undo_change", {"change_id": change["change_id"]})
    assert life.fate.late is not None
    async with process(sandbox, file) as soon:
        refused = answer(await soon.client.call_tool("undo_change", {"change_id": change["change_id"]}))
    await life.fate.late()
    async with process(sandbox, file, REST) as later:
        told = await listed(later)
    assert refused["error"]["message"] == ("This change is interrupted; there is nothing to undo. Nothing was changed.")
    assert told == [("done", [("Create", 96, "done")]), ("undone", [("Delete", 51, "undone")])]
    assert [thing["name"] for thing in sandbox.account.segments.values()].count("VIP") == 1


async def test_whoever_finds_out_later_does_not_contradict_who_found_out_first(file: Path) -> None:
    one, other = Journal(file), Journal(file)
    await one.keep_plan(Plan("p", 2e9, "me", (RENAME,), ()))
    change_id = await one.begin("apply_plan", [RENAME], plan_id="p")
    one.close()
    assert [left.change.id for left in await other.unsettled()] == [change_id]
    third = Journal(file)
    await other.settle(change_id, {0: RENAME.came("done", Segment(id=51, name="A"))})
    await third.settle(change_id, {0: RENAME.came("failed")})
    change = await third.change(change_id)
    assert isinstance(change, Change)
    assert (change.status, [step.outcome for step in change.steps]) == ("done", ["done"])
    assert await third.plan("p", "me") is None
    other.close()
    third.close()


async def test_a_plan_of_which_nothing_came_can_be_applied_by_the_next_process(file: Path) -> None:
    one, other = Journal(file), Journal(file)
    await one.keep_plan(Plan("p", 2e9, "me", (RENAME,), ()))
    change_id = await one.begin("apply_plan", [RENAME], plan_id="p")
    one.close()
    assert await other.plan("p", "me") is None
    await other.settle(change_id, {0: RENAME.came("failed")})
    assert await other.plan("p", "me") is not None
    other.close()


async def test_looking_in_vain_does_not_put_off_the_moment_from_which_nothing_can_arrive() -> None:
    now = 1_800_000_000.0
    journal = Journal(clock=lambda: now)
    change_id = await journal.begin(
        "create_segment", [Step("create", "segment", sent=SegmentDraft(name="A"), outcome="intent")]
    )
    await journal.note(change_id, {}, "interrupted")
    at_rest = []
    for _ in range(4):
        now += 20.5
        await journal.settle(change_id, {})
        at_rest += [left.at_rest for left in await journal.unsettled()]
    assert at_rest == [False, False, True, True]
    journal.close()
