"""The journal of the first release, which was named after the host, is taken over by the account behind that host."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Create, Delete, Update
from amo_mcp.storage.sqlite.process_lock import ProcessLock
from tests.clock import Clock
from tests.storage.backends import FILE, LEGACY_FILE, open_sqlite
from tests.storage.examples import RENAME, change_of
from tests.storage.processes import at_once

pytestmark = pytest.mark.anyio

WRITTEN = Path(__file__).with_name("first_release.sql").read_text("utf-8")

BEST = Segment.model_validate(
    {
        "id": 51,
        "name": "Лучшие",
        "color": "ae003f",
        "customers_count": 48,
        "created_at": 1589615328,
        "updated_at": None,
        "account_id": 28805383,
        "custom_fields_values": [
            {
                "field_id": 272429,
                "field_name": "Скидка",
                "field_code": None,
                "field_type": "numeric",
                "values": [{"value": "15"}],
            },
            {
                "field_id": 269473,
                "field_name": "Любимый помол",
                "field_type": "select",
                "values": [{"value": "В зёрнах", "enum_id": 381857, "enum_code": "beans"}],
            },
            {
                "field_id": 272433,
                "field_name": "Начало акции",
                "field_type": "date",
                "values": [{"value": 1700000000}],
            },
        ],
        "available_products_price_types": [288891],
        "unknown": {"of": ["the", "future"]},
    }
)
VIP = BEST.model_copy(update={"name": "VIP", "color": "6610f2"})
WARM = Status.model_validate(
    {
        "id": 4740013,
        "name": "Тёплые",
        "sort": 2,
        "color": "#fff000",
        "type": 0,
        "is_default": False,
        "conditions": [["x"]],
        "account_id": 28805383,
    }
)
NEW_STATUS = StatusDraft(name="Новые", sort=1, color="#fffd7f")
HOT = Update(WARM, StatusPatch(name="Горячие", sort=5))
DELETION = Delete(WARM)
FIELDS = [{"field_id": 272429, "values": [{"value": "20"}]}, {"field_id": 272441, "values": None}]

CHANGES = [
    (
        7,
        ChangeRecord(
            "c0c7dfb629b8c",
            1790000023.0,
            "delete_status",
            (DELETION.with_outcome("pending"), DELETION),
            "running",
        ),
    ),
    (
        6,
        ChangeRecord("ce16f869050cb", 1790000020.0, "delete_status", (DELETION.with_outcome("failed"),), "failed"),
    ),
    (
        5,
        ChangeRecord(
            "cae4f6be5d250",
            1790000015.0,
            "apply_plan",
            (
                Create(NEW_STATUS, (4740013,)).done(Status(id=4740099, name="Новые", sort=1, color="#fffd7f")),
                HOT.with_outcome("unknown"),
            ),
            "interrupted",
        ),
    ),
    (
        4,
        ChangeRecord(
            "c8ab5e0fe7a36",
            1790000010.0,
            "undo_change",
            (
                Create(
                    SegmentDraft(name="Лучшие", color="ae003f"),
                    (66, 67),
                    after=BEST.model_copy(update={"id": 96}),
                    outcome="done",
                    undoes=0,
                ),
            ),
            "done",
            undoes="c36664d2a3a64",
        ),
    ),
    (
        3,
        ChangeRecord("c36664d2a3a64", 1790000007.0, "delete_segment", (Delete(BEST, outcome="undone"),), "undone"),
    ),
    (
        2,
        ChangeRecord(
            "c1d7ec8d59d85",
            1790000004.0,
            "update_segment",
            (Update(VIP, SegmentPatch(name="Лучшие", color="ae003f", custom_fields_values=FIELDS)).done(BEST),),
            "done",
        ),
    ),
]
"""What the first release wrote, as it is read now."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder in which a process of the first release was killed: its log was not brought into its file."""
    away, folder = tmp_path / "away", tmp_path / "state"
    away.mkdir()
    folder.mkdir()
    connection = sqlite3.connect(away / LEGACY_FILE, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(WRITTEN)
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(away / (LEGACY_FILE + suffix), folder)
    connection.close()
    (folder / f"{Path(LEGACY_FILE).stem}-5a6231426f07f1ff.lock").touch()
    return folder


def names(folder: Path) -> list[str]:
    """Every file but the one that keeps which account it is."""
    return sorted(item.name for item in folder.iterdir() if not item.name.startswith("account-id-"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but locks and what SQLite shares in memory, which each reader marks."""
    left_out = (".lock", "-shm")
    return {name: (folder / name).read_bytes() for name in names(folder) if not name.endswith(left_out)}


def empty(folder: Path) -> None:
    for item in folder.iterdir():
        item.unlink()


async def test_every_change_of_the_first_release_is_read_and_its_file_has_the_accounts_name_now(folder: Path) -> None:
    journal, _ = open_sqlite(folder)
    assert await journal.page(10) == (CHANGES, 1)
    assert [left.record.id for left in await journal.unsettled()] == ["c0c7dfb629b8c"]
    assert (await journal.recreated_ids()).current_id("segment", 51) == 96
    await journal.close()
    assert names(folder) == [FILE]


async def test_the_journal_of_an_account_that_was_renamed_before_the_upgrade_is_found_by_the_account_in_its_records(
    folder: Path,
) -> None:
    for item in folder.iterdir():
        item.rename(folder / item.name.replace("example.amocrm.ru", "former.kommo.com"))
    (folder / "journal-garbage.amocrm.ru.sqlite").write_bytes(b"not a journal" * 100)
    journal, _ = open_sqlite(folder)
    assert await journal.page(10) == (CHANGES, 1)
    await journal.close()
    assert names(folder) == [FILE, "journal-garbage.amocrm.ru.sqlite"]


async def test_the_journal_of_another_account_that_had_the_same_host_is_left_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / LEGACY_FILE)) as connection, connection:
        connection.execute("UPDATE steps SET record = replace(record, '28805383', '28805384')")
    journal, _ = open_sqlite(folder)
    assert await journal.page(10) == ([], 0)
    await journal.close()
    assert LEGACY_FILE in names(folder)


async def test_a_journal_that_does_not_say_whose_it_is_belongs_to_the_account_behind_its_host(folder: Path) -> None:
    with closing(sqlite3.connect(folder / LEGACY_FILE)) as connection, connection:
        connection.execute("UPDATE steps SET record = replace(record, '28805383', 'null')")
    journal, _ = open_sqlite(folder)
    assert len(await journal.changes(10)) == len(CHANGES)
    await journal.close()
    assert names(folder) == [FILE]


async def test_a_journal_that_was_taken_over_goes_on_with_the_next_number_and_is_read_by_the_next_process(
    folder: Path,
) -> None:
    journal, _ = open_sqlite(folder)
    lease = await journal.begin("update_segment", change_of([RENAME]))
    await journal.settle("c0c7dfb629b8c", {0: DELETION.with_outcome("failed")})
    await journal.close()
    again, _ = open_sqlite(folder)
    [(number, newest), (_, settled), *rest] = await again.changes(10)
    assert (number, newest, settled.status, rest) == (8, lease.record, "failed", CHANGES[1:])
    await again.close()


async def test_plans_of_the_first_release_can_still_be_applied_once(folder: Path) -> None:
    journal, plans = open_sqlite(folder, clock=Clock(1790000015.0))
    assert await plans.plan("p0123456789ab", "me") is None
    plan = await plans.plan("pfedcba987654", "me")
    assert plan is not None
    assert (plan.steps, plan.fields) == ((Delete(BEST),), ())
    await journal.begin("apply_plan", change_of(plan.steps, plan_id=plan.id))
    assert await plans.plan("pfedcba987654", "me") is None
    await journal.close()


async def test_what_the_first_release_found_out_before_an_undo_began_counts_as_known_then(folder: Path) -> None:
    journal, _ = open_sqlite(folder)
    await journal.changes(1)
    await journal.close()
    connection = sqlite3.connect(folder / FILE)
    assert connection.execute("SELECT number, noted_after FROM changes ORDER BY number").fetchall() == [
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 5),
        (6, 6),
        (7, 7),
    ]
    connection.close()


async def test_while_a_server_of_the_first_release_runs_its_journal_is_not_touched_and_nothing_is_changed(
    folder: Path,
) -> None:
    before = contents(folder)
    running = ProcessLock(folder / LEGACY_FILE, "0123456789abcdef")
    journal, _ = open_sqlite(folder)
    for _ in range(2):
        with pytest.raises(JournalUnusable, match="a server of an older version is still running and uses it; end it"):
            await journal.begin("update_segment", change_of([RENAME]))
    assert contents(folder) == before
    running.release()
    assert len(await journal.changes(10)) == 6
    await journal.close()
    assert names(folder) == [FILE]


async def test_an_account_that_has_a_journal_already_leaves_that_of_the_first_release_alone(folder: Path) -> None:
    aside = folder.parent / "aside"
    (folder / LEGACY_FILE).rename(aside)
    journal, _ = open_sqlite(folder)
    lease = await journal.begin("update_segment", change_of([RENAME]))
    await journal.close()
    aside.rename(folder / LEGACY_FILE)
    again, _ = open_sqlite(folder)
    assert [change.id for _, change in await again.changes(10)] == [lease.id]
    await again.close()
    assert (folder / LEGACY_FILE).exists()


async def test_a_journal_of_the_first_release_that_is_no_database_is_unusable_and_stays(folder: Path) -> None:
    empty(folder)
    (folder / LEGACY_FILE).write_bytes(b"not a journal" * 100)
    journal, _ = open_sqlite(folder)
    with pytest.raises(JournalUnusable, match="file is not a database"):
        await journal.changes(10)
    assert (folder / LEGACY_FILE).read_bytes() == b"not a journal" * 100
    assert not (folder / FILE).exists()
    await journal.close()


async def test_processes_that_take_a_journal_over_at_once_end_with_one_in_which_nothing_is_lost(folder: Path) -> None:
    assert at_once("begin ten", folder, 4) == [("", "", 0)] * 4
    journal, _ = open_sqlite(folder)
    changes = await journal.changes(100)
    assert [number for number, _ in changes] == [*range(47, 1, -1)]
    assert changes[40:] == CHANGES
    await journal.close()
    assert names(folder) == [FILE]
