"""What the journal promises of its file, and between processes."""

import os
import shutil
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.changes.journal import Journal, JournalUnusable, UndoneMeanwhile
from amo_mcp.paths import StateDir
from amo_mcp.storage.sqlite import database
from amo_mcp.storage.sqlite.database import Database
from amo_mcp.storage.sqlite.journal import SqliteJournal
from tests.clock import Clock
from tests.storage.backends import ACCOUNT_ID, BASE_URL, FILE, open_sqlite
from tests.storage.disk import Disk
from tests.storage.examples import DONE, GONE, PENDING, RENAME, change_of
from tests.storage.processes import Process

pytestmark = pytest.mark.anyio


Open = Callable[..., Journal]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the journal in a folder, as another process would; what a test leaves open is closed."""
    journals: list[Journal] = []

    def open_journal(folder: Path = tmp_path, *, clock: Callable[[], float] = time.time) -> Journal:
        journals.append(open_sqlite(folder, clock=clock)[0])
        return journals[-1]

    yield open_journal
    for journal in journals:
        await journal.close()


def names(folder: Path) -> list[str]:
    """Every file but the one that keeps which account it is."""
    return sorted(item.name for item in folder.iterdir() if not item.name.startswith("account-id-"))


def locks(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".lock")]


def modes(folder: Path) -> dict[str, int]:
    """The permissions of each file in a folder, by the end of its name."""
    return {item.name.rsplit(".", 1)[-1]: stat.S_IMODE(item.stat().st_mode) for item in folder.iterdir()}


async def test_the_file_is_its_owners_alone_and_keeps_a_write_ahead_log(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    await journal.begin("update_segment", change_of([RENAME]))
    assert modes(tmp_path) == dict.fromkeys(["ru", "sqlite", "sqlite-wal", "sqlite-shm", "lock"], 0o600)
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()


async def test_closing_leaves_the_file_and_the_next_process_reads_what_was_kept(opened: Open, tmp_path: Path) -> None:
    first = opened()
    lease = await first.begin("update_segment", change_of([PENDING]))
    await first.note(lease, {0: DONE}, "done")
    await first.close()
    assert names(tmp_path) == [FILE]
    second = opened()
    change = await second.change(lease.id)
    await second.close()
    assert change is not None
    assert (change.status, change.steps) == ("done", (DONE,))


async def test_a_journal_that_was_never_used_leaves_nothing(opened: Open, tmp_path: Path) -> None:
    await opened().close()
    assert names(tmp_path) == []


async def test_journals_on_one_file_see_each_others_changes(opened: Open) -> None:
    one, other = opened(), opened()
    records = [await journal.begin("update_segment", change_of([RENAME])) for journal in (one, other, one)]
    await one.note(records[1], {0: DONE}, "done")
    assert await one.changes(10) == await other.changes(10)
    assert [(number, change.id, change.status) for number, change in await other.changes(10)] == [
        (3, records[2].id, "running"),
        (2, records[1].id, "done"),
        (1, records[0].id, "running"),
    ]


async def test_a_change_of_a_process_that_lives_is_left_alone_and_one_that_is_gone_leaves_it_unsettled(
    opened: Open,
) -> None:
    one, other = opened(), opened()
    lease = await one.begin("update_segment", change_of([PENDING]))
    assert (await one.unsettled(), await other.unsettled()) == ([], [])
    await one.close()
    assert [left.record for left in await other.unsettled()] == [lease.record]
    await other.note(lease, {0: DONE}, "done")
    assert await other.unsettled() == []


async def test_a_change_that_was_broken_off_before_its_next_step_is_interrupted_when_it_is_settled(
    opened: Open,
) -> None:
    one, other = opened(), opened()
    lease = await one.begin("apply_plan", change_of([DONE, RENAME]))
    await one.close()
    assert [left.record for left in await other.unsettled()] == [lease.record]
    await other.settle(lease.id, {})
    assert await other.change(lease.id) == replace(lease.record, status="interrupted")
    assert await other.unsettled() == []


async def test_a_file_that_many_open_at_once_opens_for_all(opened: Open) -> None:
    journals = [opened() for _ in range(8)]
    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(journal.begin, "update_segment", change_of([RENAME]))
    assert len(await journals[0].changes(100)) == 8


async def test_a_file_that_another_process_is_just_making_is_waited_for(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE making (it INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(database, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    journal = opened()
    await journal.begin("update_segment", change_of([RENAME]))
    assert (len(waited), len(await journal.changes(10))) == (1, 1)
    await journal.close()
    other.close()


async def test_a_record_that_is_begun_is_finished_though_its_caller_is_cancelled(opened: Open) -> None:
    scope = anyio.CancelScope()

    def cancelling_clock() -> float:
        """A clock that is read in the middle of writing."""
        anyio.from_thread.run_sync(scope.cancel)
        return 1_800_000_000.0

    journal = opened(clock=cancelling_clock)
    with scope:
        await journal.begin("update_segment", change_of([RENAME]))
        await anyio.lowlevel.checkpoint()
        pytest.fail("the cancellation was lost")
    assert [change.steps for _, change in await journal.changes(10)] == [(RENAME,)]


def vanish(folder: Path) -> None:
    for item in folder.iterdir():
        item.unlink()


def database_vanishes(folder: Path) -> None:
    (folder / FILE).unlink()


def log_vanishes(folder: Path) -> None:
    (folder / f"{FILE}-wal").unlink()


def is_replaced(folder: Path) -> None:
    vanish(folder)
    connection = sqlite3.connect(folder / FILE)
    connection.execute("CREATE TABLE others (it INTEGER)")
    connection.close()


@pytest.mark.parametrize("spoil", [vanish, database_vanishes, is_replaced])
async def test_a_change_is_recorded_in_the_file_that_is_at_the_path_whatever_became_of_the_one_that_was_open(
    opened: Open, spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    journal, other = opened(), opened()
    await journal.begin("update_segment", change_of([RENAME]))
    await other.begin("update_segment", change_of([RENAME]))
    spoil(tmp_path)
    lease = await journal.begin("update_segment", change_of([PENDING]))
    assert [change.id for _, change in await journal.changes(10)] == [lease.id]
    third = opened()
    assert await third.unsettled() == []
    second = await other.begin("update_segment", change_of([PENDING]))
    for reader in (journal, other, third):
        assert [change.id for _, change in await reader.changes(10)] == [second.id, lease.id]
        await reader.close()
    assert names(tmp_path) == [FILE]


async def test_what_was_recorded_is_kept_when_the_write_ahead_log_is_removed(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    first = await journal.begin("update_segment", change_of([RENAME]))
    log_vanishes(tmp_path)
    second = await journal.begin("update_segment", change_of([RENAME]))
    other = opened()
    assert [change.id for _, change in await other.changes(10)] == [second.id, first.id]


async def test_a_change_whose_record_was_removed_cannot_be_noted_so_that_nothing_more_is_sent(
    opened: Open, tmp_path: Path
) -> None:
    journal = opened()
    lease = await journal.begin("update_segment", change_of([PENDING, RENAME]))
    vanish(tmp_path)
    with pytest.raises(JournalUnusable, match="the change that is being made is not in it any more") as caught:
        await journal.note(lease, {0: DONE})
    assert caught.value.begun


@pytest.mark.requirement("CHANGE-3")
async def test_a_change_whose_file_was_replaced_by_an_older_copy_cannot_be_noted(
    opened: Open, tmp_path: Path, clock: Clock
) -> None:
    journal = opened(clock=clock)
    lease = await journal.begin("update_segment", change_of([PENDING, RENAME]))
    copy = tmp_path.with_name(f"{tmp_path.name}-copy")
    with closing(sqlite3.connect(tmp_path / FILE)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    clock.now += 0.1
    await journal.note(lease, {0: DONE})
    vanish(tmp_path)
    copy.rename(tmp_path / FILE)
    with pytest.raises(JournalUnusable, match="or not as it was left") as caught:
        await journal.note(lease, {1: PENDING})
    assert caught.value.begun
    assert await journal.change(lease.id) == lease.record


@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_an_earlier_version_is_brought_up_to_date(version: int, opened: Open, tmp_path: Path) -> None:
    journal = opened()
    lease = await journal.begin("update_segment", change_of([RENAME]))
    await journal.close()
    if version == 1:
        with closing(sqlite3.connect(tmp_path / FILE)) as connection:
            connection.executescript("ALTER TABLE changes DROP COLUMN uptime; PRAGMA user_version = 1;")
    later = opened()
    assert await later.change(lease.id) == lease.record
    assert (await later.begin("update_segment", change_of([RENAME]))).record.status == "running"


async def test_a_change_of_a_clock_that_is_beyond_all_dates_can_be_dated(opened: Open) -> None:
    journal = opened(clock=lambda: 1e15)
    record = (await journal.begin("update_segment", change_of([PENDING]))).record
    years = [datetime.fromtimestamp(seconds, UTC).year for seconds in (record.at, journal.kept_until(record))]
    assert years == [9987, 9988]


async def test_without_its_folder_nothing_begins_and_with_it_everything_goes_on(opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    journal = opened(folder)
    lease = await journal.begin("update_segment", change_of([RENAME]))
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    with pytest.raises(JournalUnusable, match="File exists") as caught:
        await journal.begin("update_segment", change_of([RENAME]))
    assert not caught.value.begun
    with pytest.raises(JournalUnusable):
        await journal.changes(10)
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    assert [change.id for _, change in await journal.changes(10)] == [lease.id]


async def test_a_folder_that_was_removed_is_made_anew_for_its_owner_alone(opened: Open, tmp_path: Path) -> None:
    journal = opened(tmp_path / "state")
    await journal.begin("update_segment", change_of([RENAME]))
    shutil.rmtree(tmp_path / "state")
    assert await journal.changes(10) == []
    lease = await journal.begin("update_segment", change_of([RENAME]))
    assert [change.id for _, change in await journal.changes(10)] == [lease.id]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_file_that_is_removed_while_a_change_begins_lets_it_fail(opened: Open, tmp_path: Path) -> None:
    def removing_clock() -> float:
        (tmp_path / FILE).unlink(missing_ok=True)
        return 1_800_000_000.0

    journal = opened(clock=removing_clock)
    with pytest.raises(JournalUnusable, match="its file was removed while it was being written"):
        await journal.begin("update_segment", change_of([RENAME]))


def is_a_folder(file: Path) -> None:
    file.mkdir()


def is_no_database(file: Path) -> None:
    file.write_bytes(b"not a journal" * 100)


def is_of_the_future(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def has_an_odd_table(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE changes (it INTEGER)")
    connection.close()


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "unable to open database file": is_a_folder,
    "file is not a database": is_no_database,
    "a later version of amo-mcp has written it; update amo-mcp": is_of_the_future,
    "no such column": has_an_odd_table,
}

USES: dict[str, Callable[[Journal], Awaitable[object]]] = {
    "begin": lambda journal: journal.begin("update_segment", change_of([RENAME])),
    "note": lambda journal: journal.note(GONE, {}, "done"),
    "settle": lambda journal: journal.settle("c000000000000", {}),
    "changes": lambda journal: journal.changes(10),
    "page": lambda journal: journal.page(10),
    "change": lambda journal: journal.change("c000000000000"),
    "unsettled": lambda journal: journal.unsettled(),
    "recreated_ids": lambda journal: journal.recreated_ids(),
}


@pytest.mark.parametrize("reason", UNUSABLE)
@pytest.mark.parametrize("use", USES)
async def test_a_file_that_cannot_be_used_is_an_unusable_journal_for_every_use(
    opened: Open, use: str, reason: str, tmp_path: Path
) -> None:
    UNUSABLE[reason](tmp_path / FILE)
    journal = opened()
    with pytest.raises(JournalUnusable, match=reason) as caught:
        await USES[use](journal)
    assert (reason in caught.value.reason, caught.value.begun) == (True, use == "note")


async def test_a_file_that_was_mended_is_used_at_once(opened: Open, tmp_path: Path) -> None:
    is_no_database(tmp_path / FILE)
    journal = opened()
    with pytest.raises(JournalUnusable):
        await journal.begin("update_segment", change_of([RENAME]))
    (tmp_path / FILE).unlink()
    await journal.begin("update_segment", change_of([RENAME]))
    await journal.close()
    assert names(tmp_path) == [FILE]


async def test_on_a_full_disk_nothing_begins_and_once_there_is_room_everything_goes_on(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, journal = Disk(monkeypatch), opened()
    await journal.begin("update_segment", change_of([RENAME]))
    disk.fill()
    failures: list[JournalUnusable] = []
    for _ in range(100):
        try:
            await journal.begin("update_segment", change_of([RENAME] * 10))
        except JournalUnusable as error:
            failures.append(error)
    begun = 101 - len(failures)
    assert {(error.reason, error.begun) for error in failures} == {("database or disk is full", False)}
    assert [number for number, _ in await journal.changes(1000)] == [*range(begun, 0, -1)]
    disk.free()
    await journal.begin("update_segment", change_of([RENAME]))
    assert [number for number, _ in await journal.changes(1)] == [begun + 1]


@pytest.mark.parametrize(
    "record", ["{", "[]", "{}", '{"kind": "segment", "action": "update", "outcome": "done", "undoes": null}']
)
async def test_a_record_that_cannot_be_read_is_an_unusable_journal(opened: Open, record: str, tmp_path: Path) -> None:
    journal = opened()
    change = await journal.begin("update_segment", change_of([RENAME]))
    connection = sqlite3.connect(tmp_path / FILE)
    with connection:
        connection.execute("UPDATE steps SET record = ?", (record,))
    connection.close()
    with pytest.raises(JournalUnusable):
        await journal.change(change.id)


async def test_lock_files_of_killed_processes_are_removed_and_others_stay(opened: Open, tmp_path: Path) -> None:
    living = opened()
    await living.changes(1)
    [kept] = locks(tmp_path)
    dead = f"journal-{ACCOUNT_ID}-0123456789abcdef.lock"
    others = ["journal-2-0123456789abcdef.lock", "sign-in-example.amocrm.ru.lock"]
    for name in (dead, *others):
        (tmp_path / name).touch()
    journal = opened()
    await journal.changes(1)
    assert dead not in locks(tmp_path)
    assert {kept, *others} < {*locks(tmp_path)}
    await journal.close()
    await living.close()
    assert locks(tmp_path) == others


async def test_each_account_behind_the_address_has_its_own_file_and_a_change_ends_where_it_began(
    tmp_path: Path,
) -> None:
    account = 1

    async def account_id() -> int:
        return account

    journal = SqliteJournal(Database(StateDir(tmp_path), BASE_URL, account_id))
    first = await journal.begin("update_segment", change_of([PENDING]))
    account = 2
    assert await journal.changes(10) == []
    with pytest.raises(UndoneMeanwhile):
        await journal.begin("undo_change", change_of([RENAME], undoes=first.id))
    await journal.note(first, {0: DONE}, "done")
    second = await journal.begin("update_segment", change_of([PENDING]))
    account = 1
    assert [(change.id, change.status) for _, change in await journal.changes(10)] == [(first.id, "done")]
    await journal.note(second, {0: DONE}, "done")
    await journal.close()
    assert names(tmp_path) == ["journal-1.sqlite", "journal-2.sqlite"]


async def test_a_change_ends_in_the_journal_even_when_the_account_cannot_be_asked_for_its_id(tmp_path: Path) -> None:
    fails = False

    async def account_id() -> int:
        if fails:
            raise ConnectionError
        return ACCOUNT_ID

    journal = SqliteJournal(Database(StateDir(tmp_path), BASE_URL, account_id))
    lease = await journal.begin("update_segment", change_of([PENDING]))
    fails = True
    with pytest.raises(ConnectionError):
        await journal.begin("update_segment", change_of([PENDING]))
    await journal.note(lease, {0: DONE}, "done")
    fails = False
    assert [(change.id, change.status) for _, change in await journal.changes(10)] == [(lease.id, "done")]
    await journal.close()


async def test_a_database_that_is_removed_while_two_processes_have_it_open_is_made_anew_for_both(
    opened: Open,
    tmp_path: Path,
) -> None:
    process, journal = Process("begin twice", tmp_path), opened()
    await journal.begin("update_segment", change_of([RENAME]))
    process.go_on()
    process.line()
    database_vanishes(tmp_path)
    ids = [(await journal.begin("update_segment", change_of([RENAME]))).id]
    process.go_on()
    ids.append(process.line())
    ids.append((await journal.begin("update_segment", change_of([RENAME]))).id)
    assert [change.id for _, change in await journal.changes(10)] == ids[::-1]
    process.go_on()
    assert process.end() == ("", "", 0)
    await journal.close()
    assert names(tmp_path) == [FILE]


@pytest.mark.skipif(sys.platform == "win32", reason="killed by signal")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
async def test_what_a_killed_process_left_unfinished_is_found_by_those_that_live_and_its_lock_goes(
    opened: Open, name: str, tmp_path: Path
) -> None:
    process = Process("begin and wait", tmp_path)
    process.go_on()
    change_id = process.line()
    journal = opened()
    assert await journal.unsettled() == []
    os.kill(process.popen.pid, getattr(signal, name))
    assert process.end()[2] == -getattr(signal, name)
    assert len(locks(tmp_path)) == 2
    assert [left.record.id for left in await journal.unsettled()] == [change_id]
    await journal.close()
    last = opened()
    await last.changes(1)
    assert len(locks(tmp_path)) == 1
    await last.close()
    assert names(tmp_path) == [FILE]


async def test_the_journal_can_be_read_but_not_written_while_the_account_that_was_known_cannot_be_reached(
    tmp_path: Path,
) -> None:
    reachable = True

    async def account_id() -> int:
        if not reachable:
            raise Unauthorized(401)
        return ACCOUNT_ID

    def opened() -> SqliteJournal:
        return SqliteJournal(Database(StateDir(tmp_path), BASE_URL, account_id))

    journal, other = opened(), opened()
    lease = await journal.begin("update_segment", change_of([DONE]))
    await journal.note(lease, {}, "done")
    reachable = False
    assert [change.id for _, change in await journal.changes(10)] == [lease.id]
    assert (await journal.unsettled(), await journal.change("c")) == ([], None)
    assert [change.id for _, change in await other.changes(10)] == [lease.id]
    for one in (journal, other):
        with pytest.raises(Unauthorized):
            await one.begin("update_segment", change_of([RENAME]))
    await journal.close()
    await other.close()


async def test_a_process_that_cannot_ask_which_account_it_is_records_only_that_nobody_works_on_a_change(
    tmp_path: Path,
) -> None:
    async def account_id() -> int:
        raise Unauthorized(401)

    (known, _), unknown = open_sqlite(tmp_path), SqliteJournal(Database(StateDir(tmp_path), BASE_URL, account_id))
    lease = await known.begin("update_segment", change_of([PENDING]))
    await known.close()
    assert [left.record.id for left in await unknown.unsettled()] == [lease.id]
    with pytest.raises(Unauthorized):
        await unknown.settle(lease.id, {0: DONE})
    await unknown.settle(lease.id, {})
    [(_, change)] = await unknown.changes(1)
    await unknown.close()
    assert (change.status, change.steps) == ("interrupted", (PENDING,))
