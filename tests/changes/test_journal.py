"""The journal: every change is recorded, with things whole as they were, before anything is sent."""

import json
import re
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from amo_mcp.accounts.account import AmoAccount, tell_progress
from amo_mcp.amocrm.errors import Rejected
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Action, Change, Outcome, Step
from amo_mcp.reorganize.plan import Plan
from amo_mcp.storage.sqlite import database as journal_file
from amo_mcp.storage.sqlite import journal as records
from amo_mcp.storage.sqlite.journal import LONGEST_KEPT, PlanUsed

pytestmark = pytest.mark.anyio

VIP = Segment.model_validate(
    {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "created_at": 1589615328,
        "updated_at": None,
        "unknown": {"of": ["the", "future"]},
        "custom_fields_values": [{"field_id": 7, "field_type": "date", "values": [{"value": 1700000000}]}],
    }
)
RENAME = Step("update", "segment", before=VIP, sent=SegmentPatch(name="Лучшие"))
DONE = RENAME.came("done", VIP)


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A client whose every write first looks into the journal's file, as another process would."""

    root = "https://example.amocrm.ru"

    def __init__(self, file: Path, failure: Exception | None = None) -> None:
        self.file = file
        self.failure = failure
        self.seen: list[tuple[str, list[dict[str, Any]]]] = []

    def look(self) -> None:
        connection = sqlite3.connect(self.file)
        [(status,)] = connection.execute("SELECT status FROM changes").fetchall()
        records = connection.execute("SELECT record FROM steps ORDER BY position").fetchall()
        connection.close()
        self.seen.append((status, [json.loads(record) for (record,) in records]))
        if self.failure:
            raise self.failure

    async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
        self.look()
        return VIP.model_copy(update=patch.to_payload())

    async def delete_segment(self, segment_id: int) -> None:
        self.look()

    async def segments(self) -> list[Segment]:
        return [VIP]

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        self.look()
        return Segment(id=96, name=draft.name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.mark.requirement("CHANGE-3")
async def test_a_change_is_recorded_with_the_thing_whole_before_it_is_sent_and_marked_after(file: Path) -> None:
    client, journal = Watched(file), Journal(file)
    account = AmoAccount(client, journal)  # type: ignore[arg-type]
    changes = [
        await account.update(VIP, SegmentPatch(name="Лучшие")),
        await account.journal.change((await account.journal.changes(1))[0][1].id),
    ]
    journal.close()
    whole = {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "created_at": 1589615328,
        "updated_at": None,
        "unknown": {"of": ["the", "future"]},
        "custom_fields_values": [{"field_id": 7, "field_type": "date", "values": [{"value": 1700000000}]}],
    }
    assert client.seen == [
        (
            "running",
            [
                {
                    "action": "update",
                    "kind": "segment",
                    "before": whole,
                    "sent": {"name": "Лучшие"},
                    "known": [],
                    "after": None,
                    "outcome": "intent",
                    "undoes": None,
                }
            ],
        )
    ]
    after = VIP.model_copy(update={"name": "Лучшие"})
    for change in changes:
        assert change is not None
        assert (change.tool, change.status, change.undoes) == ("update_segment", "done", None)
        assert change.steps == (RENAME.came("done", after),)


async def test_only_what_is_about_to_be_sent_is_an_intent(file: Path) -> None:
    client, journal = Watched(file), Journal(file)
    account = AmoAccount(client, journal)  # type: ignore[arg-type]
    told: list[tuple[float, float, str]] = []

    async def tell(done: float, of: float, what: str) -> None:
        told.append((done, of, what))

    tell_progress.set(tell)

    steps = [
        RENAME,
        Step("create", "segment", sent=SegmentDraft(name="Новые")),
        Step("delete", "segment", before=VIP),
    ]
    change, failure = await account.carry_out("apply_plan", steps)
    journal.close()
    assert [[step["outcome"] for step in steps] for _, steps in client.seen] == [
        ["intent", "planned", "planned"],
        ["done", "intent", "planned"],
        ["done", "done", "intent"],
    ]
    assert (failure, change.status) == (None, "done")
    assert told == [
        (0, 3, "Change segment «VIP» (id 51)"),
        (1, 3, "Create segment «Новые»"),
        (2, 3, "Delete segment «VIP» (id 51)"),
        (3, 3, "Done"),
    ]
    assert [(step.target_id, step.known) for step in change.steps] == [(51, ()), (96, (51,)), (51, ())]


async def test_a_refused_step_is_the_last_and_the_rest_stays_planned(file: Path) -> None:
    refusal = Rejected(400)
    client, journal = Watched(file, refusal), Journal(file)
    account = AmoAccount(client, journal)  # type: ignore[arg-type]
    change, failure = await account.carry_out("apply_plan", [RENAME, RENAME])
    journal.close()
    assert (failure, change.status, len(client.seen)) == (refusal, "failed", 1)
    assert [step.outcome for step in change.steps] == ["failed", "planned"]


async def test_the_file_is_its_owners_alone_and_keeps_a_write_ahead_log(file: Path) -> None:
    journal = Journal(file)
    await journal.begin("update_segment", [RENAME])
    modes = {item.name.rsplit(".", 1)[-1]: stat.S_IMODE(item.stat().st_mode) for item in file.parent.iterdir()}
    assert modes == {"sqlite": 0o600, "sqlite-wal": 0o600, "sqlite-shm": 0o600, "lock": 0o600}
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()
    journal.close()


async def test_closing_releases_everything_and_the_next_reads_what_was_kept(file: Path) -> None:
    first = Journal(file)
    change_id = await first.begin("update_segment", [RENAME.came("intent")])
    assert re.fullmatch("c[0-9a-f]{12}", change_id)
    await first.note(change_id, {0: RENAME.came("done", VIP)}, "done")
    first.close()
    first.close()
    assert [item.name for item in file.parent.iterdir()] == ["journal.sqlite"]
    second = Journal(file)
    change = await second.change(change_id)
    second.close()
    assert change is not None
    assert (change.status, change.steps) == ("done", (RENAME.came("done", VIP),))


async def test_a_journal_that_was_never_used_leaves_nothing(file: Path) -> None:
    Journal(file).close()
    assert list(file.parent.iterdir()) == []


async def test_journals_on_one_file_see_each_others_changes_newest_first(file: Path) -> None:
    clock = Clock()
    one, other = Journal(file, clock=clock), Journal(file, clock=clock)
    ids = [await journal.begin("update_segment", [RENAME]) for journal in (one, other, one)]
    await one.note(ids[1], {0: DONE}, "done")
    expected = [
        (3, Change(ids[2], clock.now, "update_segment", (RENAME,), "running")),
        (2, Change(ids[1], clock.now, "update_segment", (DONE,), "done")),
        (1, Change(ids[0], clock.now, "update_segment", (RENAME,), "running")),
    ]
    assert await one.changes(10) == await other.changes(10) == expected
    assert await other.changes(1, before=3) == expected[1:2]
    assert await other.changes(5, before=1) == []
    assert await other.change("made-up") is None
    one.close()
    other.close()


PROCESS = """
import sys, anyio
from pathlib import Path
from amo_mcp.amocrm.models import Status
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Step

async def main():
    journal = Journal(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(10):
        await journal.begin("delete_status", [Step("delete", "status", before=Status(id=1, name="A"))])
    journal.close()

anyio.run(main)
"""


def test_processes_that_begin_at_the_same_time_lose_nothing(file: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 2
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [(*child.communicate(), child.returncode) for child in children] == [("", "", 0)] * 2

    async def kept() -> tuple[list[int], int]:
        journal = Journal(file)
        numbers = [number for number, _ in await journal.changes(100)]
        unsettled = len(await journal.unsettled())
        journal.close()
        return numbers, unsettled

    assert anyio.run(kept) == (list(range(20, 0, -1)), 20)


async def test_a_journal_opened_by_many_at_once_opens_for_all(file: Path) -> None:
    journals = [Journal(file) for _ in range(8)]
    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(journal.begin, "update_segment", [RENAME])
    assert len(await journals[0].changes(100)) == 8
    for journal in journals:
        journal.close()


async def test_a_journal_that_another_process_is_just_making_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE making (it INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(journal_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    journal = Journal(file)
    await journal.begin("update_segment", [RENAME])
    assert (len(waited), len(await journal.changes(10))) == (1, 1)
    journal.close()
    other.close()


async def test_what_is_too_many_goes_and_what_could_have_been_undone_is_counted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_CHANGES", 3)
    journal = Journal(file)
    ids = [await journal.begin("update_segment", [RENAME]) for _ in range(3)]
    await journal.note(ids[0], {0: DONE}, "done")
    await journal.note(ids[1], {0: RENAME.came("failed")}, "failed")
    await journal.note(ids[2], {0: DONE}, "done")
    assert (await journal.page(1))[1] == 0
    dropped = []
    for _ in range(3):
        await journal.begin("update_segment", [RENAME])
        dropped.append(((await journal.page(1))[1], [number for number, _ in await journal.changes(10)]))
    assert dropped == [(1, [4, 3, 2]), (1, [5, 4, 3]), (2, [6, 5, 4])]
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT count(*) FROM steps").fetchall() == [(3,)]
    connection.close()
    journal.close()


async def test_what_is_too_old_goes_but_never_what_is_under_way() -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    done, running = [await journal.begin("update_segment", [RENAME]) for _ in range(2)]
    await journal.note(done, {0: DONE}, "done")
    clock.now += LONGEST_KEPT
    await journal.begin("update_segment", [RENAME])
    assert ([number for number, _ in await journal.changes(10)], (await journal.page(1))[1]) == ([3, 2, 1], 0)
    clock.now += 1
    await journal.begin("update_segment", [RENAME])
    assert ([number for number, _ in await journal.changes(10)], (await journal.page(1))[1]) == ([4, 3, 2], 1)
    assert (await journal.change(running)) is not None
    journal.close()


async def test_a_living_journals_change_is_left_alone_and_a_gone_ones_is_unsettled(file: Path) -> None:
    one, other = Journal(file), Journal(file)
    change_id = await one.begin("update_segment", [RENAME.came("intent")])
    assert (await one.unsettled(), await other.unsettled()) == ([], [])
    one.close()
    assert [left.change.id for left in await other.unsettled()] == [change_id]
    await other.note(change_id, {0: DONE}, "done")
    assert await other.unsettled() == []
    other.close()


async def test_a_change_that_was_broken_off_here_is_looked_at_and_comes_to_rest_after_a_minute() -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    broken, unknown = [await journal.begin("update_segment", [RENAME.came("intent")]) for _ in range(2)]
    await journal.note(broken, {}, "interrupted")
    await journal.note(unknown, {0: RENAME.came("unknown")}, "interrupted")
    told = []
    for seconds in (60, 1):
        clock.now += seconds
        await journal.settle(broken, {})
        told.append([(left.change.id, left.at_rest) for left in await journal.unsettled()])
    assert told == [[(broken, False)], [(broken, True)]]
    journal.close()


async def test_a_record_that_is_begun_is_finished_though_its_caller_is_cancelled(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(file)
    scope = anyio.CancelScope()
    begin = journal._records.begin

    def cancelled_meanwhile(*arguments: Any) -> str:
        anyio.from_thread.run_sync(scope.cancel)
        return begin(*arguments)

    monkeypatch.setattr(journal._records, "begin", cancelled_meanwhile)
    with scope:
        await journal.begin("update_segment", [RENAME])
        await anyio.lowlevel.checkpoint()
        pytest.fail("the cancellation was lost")
    assert [change.steps for _, change in await journal.changes(10)] == [(RENAME,)]
    journal.close()


async def test_a_cancelled_change_finishes_the_step_that_was_sent_and_is_recorded_as_interrupted(file: Path) -> None:
    scope = anyio.CancelScope()

    class Cancelled(Watched):
        async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            return await super().update_segment(segment_id, patch)

    client, journal = Cancelled(file), Journal(file)
    with scope:
        await AmoAccount(client, journal).carry_out("apply_plan", [RENAME, RENAME])  # type: ignore[arg-type]
        pytest.fail("the cancellation was lost")
    [(_, change)] = await journal.changes(10)
    assert ([step.outcome for step in change.steps], len(client.seen)) == (["done", "planned"], 1)
    assert change.status == "interrupted"
    assert await journal.unsettled() == []
    journal.close()


async def test_a_record_that_fails_leaves_nothing_half_written(file: Path) -> None:
    journal = Journal(file)
    odd = Step("update", "segment", before=Segment.model_validate({"id": 1, "name": "A", "odd": object()}))
    with pytest.raises(TypeError):
        await journal.begin("update_segment", [RENAME, odd])
    assert await journal.changes(10) == []
    await journal.begin("update_segment", [RENAME])
    assert len(await journal.changes(10)) == 1
    journal.close()


async def recorded(journal: Journal, *steps: Step, undoes: str | None = None, status: str = "done") -> str:
    change_id = await journal.begin("undo_change" if undoes else "apply_plan", steps, undoes=undoes)
    await journal.note(change_id, {}, status)  # type: ignore[arg-type]
    return change_id


async def told(journal: Journal, change_id: str) -> tuple[str, list[str], list[str]]:
    change = await journal.change(change_id)
    assert change is not None
    after = [step.after.name if step.after else "" for step in change.steps]
    return change.status, [step.outcome for step in change.steps], after


def named(action: Action, name: str, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    after = None if action == "delete" else VIP.model_copy(update={"name": name})
    return Step(action, "segment", before=VIP, sent=None, after=after, outcome=outcome, undoes=undoes)


async def test_what_an_undo_took_back_is_undone_and_its_own_undo_brings_it_again() -> None:
    journal = Journal()
    plan = await recorded(journal, named("create", "A"), named("update", "B"), named("delete", ""))
    undo = await recorded(
        journal,
        named("create", "C", undoes=2),
        named("update", "D", undoes=1),
        named("delete", "", undoes=0, outcome="failed"),
        undoes=plan,
        status="failed",
    )
    assert await told(journal, plan) == ("done", ["done", "undone", "undone"], ["A", "D", "C"])
    rest = await recorded(journal, named("delete", "", undoes=0), undoes=plan)
    assert await told(journal, plan) == ("undone", ["undone"] * 3, ["A", "D", "C"])
    assert await told(journal, undo) == ("failed", ["done", "done", "failed"], ["C", "D", ""])
    redo = await recorded(journal, named("create", "E", undoes=0), undoes=rest)
    assert await told(journal, rest) == ("undone", ["undone"], ["E"])
    assert await told(journal, plan) == ("done", ["done", "undone", "undone"], ["E", "D", "C"])
    await recorded(journal, named("delete", "", undoes=0), undoes=redo)
    assert await told(journal, plan) == ("undone", ["undone"] * 3, ["E", "D", "C"])
    journal.close()


async def test_an_undo_that_is_done_leaves_nothing_to_undo_even_where_there_was_nothing_to_take_away() -> None:
    journal = Journal()
    plan = await recorded(journal, named("create", "A"), named("create", "B"), named("update", "C", outcome="failed"))
    await recorded(journal, named("delete", "", undoes=0), undoes=plan)
    assert await told(journal, plan) == ("undone", ["undone", "undone", "failed"], ["A", "B", "C"])
    journal.close()


PLAN = Plan("p1", 1_800_000_000.0, "me", (RENAME,), ())


@pytest.mark.parametrize(
    ("outcome", "status", "again"),
    [("failed", "failed", True), ("done", "done", False), ("unknown", "interrupted", False)],
)
async def test_a_plan_is_used_up_unless_nothing_came_of_it(outcome: Outcome, status: Any, again: bool) -> None:
    journal = Journal(clock=Clock())
    await journal.keep_plan(PLAN)
    change_id = await journal.begin("apply_plan", [RENAME.came("intent")], plan_id="p1")
    with pytest.raises(PlanUsed):
        await journal.begin("apply_plan", [RENAME.came("intent")], plan_id="p1")
    await journal.note(change_id, {0: RENAME.came(outcome)}, status)
    assert (await journal.plan("p1", "me")) == (PLAN if again else None)
    assert len(await journal.changes(10)) == 1
    journal.close()
