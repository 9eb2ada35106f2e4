"""At most so many requests in any second, in the order of asking, for all who share the file; time here is made up."""

import logging
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing as closing_connection
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.storage.sqlite.rate_limit import SLACK_MS, SharedRateLimiter, Unlimited, tell_wait

pytestmark = pytest.mark.anyio

NEXT = 1001
"""Milliseconds after which the place of an answered turn is free again."""

UNANSWERED = NEXT + SLACK_MS
"""The same for one whose answer was not seen."""


@dataclass
class Timestamp:
    """Milliseconds that pass when they are told to, and while somebody sleeps."""

    now: int = 1_750_000_000_000
    during_sleep: Callable[[], None] = field(default=lambda: None)

    def clock_ms(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + round(seconds * 1000)
        await anyio.lowlevel.checkpoint()
        self.during_sleep()
        self.now = max(self.now, until)


class Paces:
    """Processes that share a file, as far as the file can tell: each has a connection of its own."""

    def __init__(self) -> None:
        self.time = Timestamp()
        self.began = self.time.now
        self.given: list[int] = []
        self._opened: list[SharedRateLimiter] = []

    def open(self, file: Path, per_second: int) -> SharedRateLimiter:
        self._opened.append(SharedRateLimiter(file, per_second, sleep=self.time.sleep, clock_ms=self.time.clock_ms))
        return self._opened[-1]

    async def turn(self, pace: SharedRateLimiter, *, answered_after: int | None = 0) -> None:
        async with pace.queue() as turn:
            await turn.take()
            self.given.append(self.time.now - self.began)
            if answered_after is not None:
                self.time.now += answered_after
                turn.answered()

    def close(self) -> None:
        for pace in self._opened:
            if pace._bucket is not None:
                pace._bucket.close()


@contextmanager
def closing() -> Iterator[Paces]:
    paces = Paces()
    try:
        yield paces
    finally:
        paces.close()


@pytest.fixture
def paces() -> Iterator[Paces]:
    with closing() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pace.sqlite"


def most(turns: list[int], window: int) -> int:
    """The largest number of turns within `window` milliseconds, wherever it begins."""
    return max(sum(begin <= turn < begin + window for turn in turns) for begin in turns)


async def test_no_second_has_more_turns_than_the_limit_and_none_waits_longer_than_that(
    paces: Paces, file: Path
) -> None:
    pace = paces.open(file, 3)
    for _ in range(8):
        await paces.turn(pace)
    assert paces.given == [0, 0, 0, NEXT, NEXT, NEXT, 2 * NEXT, 2 * NEXT]
    assert pace.shared


@pytest.mark.requirement("LIMIT-3")
async def test_two_processes_share_the_limit(paces: Paces, file: Path) -> None:
    one, other = paces.open(file, 2), paces.open(file, 2)
    for pace in (one, other, one, other, one):
        await paces.turn(pace)
    assert paces.given == [0, 0, NEXT, NEXT, 2 * NEXT]


@pytest.mark.parametrize(
    ("answered_after", "next_turn"),
    [
        (0, NEXT),
        (80, NEXT + 80),
        (SLACK_MS, UNANSWERED),
        (SLACK_MS + 1, UNANSWERED),
        (900, UNANSWERED),
        (None, UNANSWERED),
    ],
)
async def test_a_turn_counts_from_its_answer_but_not_from_one_that_is_long_in_coming(
    answered_after: int | None, next_turn: int, paces: Paces, file: Path
) -> None:
    one, other = paces.open(file, 1), paces.open(file, 1)
    await paces.turn(one, answered_after=answered_after)
    await paces.turn(one)
    assert paces.given == [0, next_turn]
    await paces.turn(other)
    assert paces.given == [0, next_turn, next_turn + UNANSWERED]


async def test_an_answer_that_comes_while_the_next_waits_lets_it_go_earlier(paces: Paces, file: Path) -> None:
    pace = paces.open(file, 1)
    async with pace.queue() as first:
        await first.take()
    paces.time.during_sleep = first.answered
    await paces.turn(pace)
    assert paces.given == [NEXT]


async def test_no_more_get_ready_than_a_second_has_turns(paces: Paces, file: Path) -> None:
    pace, ready = paces.open(file, 2), []
    opened = anyio.Event()

    async def ask(number: int) -> None:
        async with pace.queue() as turn:
            ready.append(number)
            await opened.wait()
            await turn.take()

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        assert ready == [0, 1]
        opened.set()
    assert ready == [0, 1, 2, 3]


async def test_a_connection_that_does_not_open_keeps_nobody_back(paces: Paces, file: Path) -> None:
    pace = paces.open(file, 2)
    async with pace.queue():
        await paces.turn(pace)
        await paces.turn(pace)
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with pace.queue():
                await anyio.lowlevel.checkpoint()
        await paces.turn(pace)
    assert paces.given == [0, 0, NEXT]


async def test_turns_are_given_in_the_order_of_asking(paces: Paces, file: Path) -> None:
    pace, order = paces.open(file, 2), []

    async def ask(number: int) -> None:
        async with pace.queue() as turn:
            await turn.take()
            order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(9):
            group.start_soon(ask, number)
            await anyio.lowlevel.checkpoint()
    assert order == list(range(9))


async def test_who_gives_up_takes_no_turn(paces: Paces, file: Path) -> None:
    pace = paces.open(file, 1)
    await paces.turn(pace)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await paces.turn(pace)
    await paces.turn(pace)
    assert paces.given == [0, NEXT]


@settings(max_examples=40)
@given(pauses=st.lists(st.integers(0, 1500), min_size=1, max_size=30), per_second=st.integers(1, 5))
def test_whenever_they_come_no_second_has_too_many_and_nobody_waits_for_nothing(
    pauses: list[int], per_second: int
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder, closing() as paces:
            pace = paces.open(Path(folder) / "pace.sqlite", per_second)
            for number, pause in enumerate(pauses):
                paces.time.now += pause
                asked = paces.time.now - paces.began
                await paces.turn(pace)
                free = paces.given[number - per_second] + NEXT if number >= per_second else 0
                assert paces.given[number] == max(asked, free)
            assert most(paces.given, 1000) <= per_second

    anyio.run(run)


async def test_a_hold_keeps_every_process_back_and_forgets_no_turn(paces: Paces, file: Path) -> None:
    one, other = paces.open(file, 2), paces.open(file, 2)
    await paces.turn(one)
    await one.hold(0.5)
    for pace in (other, one, other):
        await paces.turn(pace)
    assert paces.given == [0, 501, NEXT, 501 + NEXT]


async def test_a_clock_that_was_set_back_stalls_nobody(
    paces: Paces, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pace = paces.open(file, 2)
    for _ in range(2):
        await paces.turn(pace)
    await pace.hold(1.0)
    paces.time.now -= 3_600_000
    paces.began = paces.time.now
    paces.given.clear()
    for _ in range(3):
        await paces.turn(pace)
    assert paces.given == [0, 0, NEXT]
    assert [record.getMessage() for record in caplog.records] == [
        "The clock was set back; the turns of before are forgotten"
    ]


async def test_old_turns_are_swept_out_of_the_file(paces: Paces, file: Path) -> None:
    pace = paces.open(file, 50)
    for _ in range(201):
        paces.time.now += 2_000
        await paces.turn(pace)
    assert pace._bucket is not None
    assert pace._bucket.count() < 40


async def test_only_its_owner_can_read_the_file(paces: Paces, file: Path) -> None:
    await paces.turn(paces.open(file, 2))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # noqa: ASYNC240


@pytest.mark.parametrize("unusable", ["no folder", "a folder", "no database"])
async def test_a_file_that_cannot_be_used_leaves_the_limit_to_this_process(
    unusable: str, paces: Paces, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pace.sqlite"
    if unusable == "no folder":
        file = tmp_path / "missing" / "pace.sqlite"
    elif unusable == "a folder":
        file.mkdir()
    else:
        file.write_bytes(b"this is no database, and long enough to be taken for none" * 20)
    pace = paces.open(file, 2)
    assert not pace.shared
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await paces.turn(pace)
    assert paces.given == [0, 0, NEXT]
    assert not pace.shared
    assert len([record for record in caplog.records if "cannot be shared" in record.getMessage()]) == 1


@contextmanager
def taking_its_turn(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process that has begun to take its turn."""
    with closing_connection(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.parametrize("pause", [0, 61_000])
async def test_another_process_that_is_just_taking_its_turn_is_waited_for(
    pause: int, paces: Paces, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pace, looks = paces.open(file, 2), iter([False, False, True])
    await paces.turn(pace)
    paces.time.now += pause
    with taking_its_turn(file) as other:
        paces.time.during_sleep = lambda: other.rollback() if next(looks) else None
        await paces.turn(pace)
    paces.time.during_sleep = lambda: None
    await paces.turn(pace)
    assert paces.given == ([0, 9, NEXT] if pause == 0 else [0, pause + 9, pause + 9])
    assert pace.shared
    assert caplog.records == []


async def test_a_process_that_is_stuck_at_the_file_keeps_nobody_back_for_ever(
    paces: Paces, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pace = paces.open(file, 1)
    await paces.turn(pace)
    with taking_its_turn(file):
        await paces.turn(pace)
        await paces.turn(pace)
    assert paces.given == [0, 6_000, 6_000 + NEXT]
    assert not pace.shared
    assert [record.getMessage() for record in caplog.records] == [
        "The pace cannot be shared with other processes: OperationalError"
    ]


async def test_a_hold_is_kept_also_when_the_file_cannot_be_used(paces: Paces, tmp_path: Path) -> None:
    pace = paces.open(tmp_path / "missing" / "pace.sqlite", 2)
    await pace.hold(4.0)
    await paces.turn(pace)
    assert paces.given == [4001]


async def test_who_has_many_before_it_is_told_that_it_waits(paces: Paces, file: Path) -> None:
    pace, told = paces.open(file, 2), []

    async def tell(seconds: float, reason: str) -> None:
        told.append((seconds, reason))
        await anyio.lowlevel.checkpoint()

    telling = tell_wait.set(tell)
    try:
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(paces.turn, pace)
    finally:
        tell_wait.reset(telling)
    assert told == [(2.0, "amoCRM's request limit"), (2.5, "amoCRM's request limit")]


async def test_without_a_limit_nobody_waits() -> None:
    with anyio.fail_after(0.5):
        await Unlimited().hold(60.0)
        async with Unlimited().queue() as turn:
            await turn.take()
            turn.answered()
