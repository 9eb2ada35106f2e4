"""Every change is in the journal, with entities whole as they were, before anything is sent."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import Rejected
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.executor import Executor
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.language import Message
from amo_mcp.storage.memory.events import MemoryChangeEvents
from tests.storage.backends import FILE, open_sqlite
from tests.storage.examples import RENAME, VIP

pytestmark = pytest.mark.anyio


class Watched:
    """A client whose every write first looks into the journal's file, as another process would.

    Attributes:
        seen: at each write, the status of the one change and its steps as they are recorded.
    """

    def __init__(self, folder: Path, failure: Exception | None = None) -> None:
        self._file = folder / FILE
        self._failure = failure
        self._segments = {VIP.id: VIP}
        self.seen: list[tuple[str, list[dict[str, Any]]]] = []

    def look(self) -> None:
        connection = sqlite3.connect(self._file)
        [(status,)] = connection.execute("SELECT status FROM changes").fetchall()
        records = connection.execute("SELECT record FROM steps ORDER BY position").fetchall()
        connection.close()
        self.seen.append((status, [json.loads(record) for (record,) in records]))
        if self._failure:
            raise self._failure

    def hooked(self, **_: object) -> "Watched":
        return self

    async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
        self.look()
        return self._segments[segment_id].model_copy(update=patch.to_payload())

    async def delete_segment(self, segment_id: int) -> None:
        self.look()

    async def segment(self, segment_id: int) -> Segment:
        return self._segments[segment_id]

    async def segments(self) -> Listing[Segment]:
        return Listing(self._segments.values())

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        self.look()
        return Segment(id=96, name=draft.name)


def executor(client: Watched, folder: Path, progress: list[tuple[float, float | None, str]] | None = None) -> Executor:
    async def report(done: float, total: float | None, message: Message) -> None:
        assert progress is not None
        progress.append((done, total, str(message)))

    journal, _ = open_sqlite(folder)
    return Executor(cast("AmoClient", client), journal, MemoryChangeEvents(), None if progress is None else report)


@pytest.mark.requirement("CHANGE-3")
async def test_a_change_is_recorded_with_the_entity_whole_before_it_is_sent_and_marked_after(tmp_path: Path) -> None:
    client = Watched(tmp_path)
    execution = await executor(client, tmp_path).execute("update_segment", PendingChange((RENAME,)))
    assert client.seen == [
        (
            "running",
            [
                {
                    "action": "update",
                    "kind": "segment",
                    "before": {
                        "id": 51,
                        "name": "VIP",
                        "color": "6610f2",
                        "customers_count": 48,
                        "created_at": 1589615328,
                        "updated_at": None,
                        "unknown": {"of": ["the", "future"]},
                        "custom_fields_values": [
                            {"field_id": 7, "field_type": "date", "values": [{"value": 1700000000}]}
                        ],
                    },
                    "payload": {"name": "Лучшие"},
                    "after": None,
                    "outcome": "pending",
                    "undoes": None,
                }
            ],
        )
    ]
    journal, _ = open_sqlite(tmp_path)
    record = execution.record
    assert await journal.change(record.id) == record
    assert (record.tool, record.status, record.undoes) == ("update_segment", "done", None)
    assert record.steps == (RENAME.done(VIP.model_copy(update={"name": "Лучшие"})),)
    await journal.close()


async def test_only_what_is_about_to_be_sent_is_pending(tmp_path: Path) -> None:
    client, progress = Watched(tmp_path), list[tuple[float, float | None, str]]()
    steps: list[Step] = [RENAME, Create(SegmentDraft(name="Новые")), Delete(VIP)]
    execution = await executor(client, tmp_path, progress).execute("apply_plan", PendingChange(tuple(steps)))
    assert [[step["outcome"] for step in recorded] for _, recorded in client.seen] == [
        ["pending", "planned", "planned"],
        ["done", "pending", "planned"],
        ["done", "done", "pending"],
    ]
    assert (execution.failure, execution.record.status) == (None, "done")
    assert progress == [
        (0, 3, "Change segment «VIP» (id 51)"),
        (1, 3, "Create segment «Новые»"),
        (2, 3, "Delete segment «VIP» (id 51)"),
        (3, 3, "Done"),
    ]
    assert [step.target_id for step in execution.record.steps] == [51, 96, 51]
    assert [step.existing_ids for step in execution.record.steps if isinstance(step, Create)] == [(51,)]


async def test_a_refused_step_is_the_last_and_the_rest_stays_planned(tmp_path: Path) -> None:
    refusal = Rejected(400)
    client = Watched(tmp_path, refusal)
    with pytest.raises(Rejected) as caught:
        await executor(client, tmp_path).execute("apply_plan", PendingChange((RENAME, RENAME)))
    assert (caught.value, len(client.seen)) == (refusal, 1)
    journal, _ = open_sqlite(tmp_path)
    [(_, change)] = await journal.changes(10)
    assert (change.status, [step.outcome for step in change.steps]) == ("failed", ["failed", "planned"])
    await journal.close()


async def test_a_cancelled_change_finishes_the_step_that_was_sent_and_is_recorded_as_interrupted(
    tmp_path: Path,
) -> None:
    scope = anyio.CancelScope()

    class Cancelled(Watched):
        async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            return await super().update_segment(segment_id, patch)

    client = Cancelled(tmp_path)
    journal, _ = open_sqlite(tmp_path)
    running = Executor(cast("AmoClient", client), journal, MemoryChangeEvents())
    other: Update = replace(RENAME, patch=SegmentPatch(color="ae003f"))
    with scope:
        await running.execute("apply_plan", PendingChange((RENAME, other)))
        pytest.fail("the cancellation was lost")
    [(_, change)] = await journal.changes(10)
    assert ([step.outcome for step in change.steps], len(client.seen)) == (["done", "planned"], 1)
    assert change.status == "interrupted"
    assert await journal.unsettled() == []
    await journal.close()
