"""At most so many requests in any second, in the order of asking, for all who share the file; time here is made up."""

import logging
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.pace import WINDOW_MS, SharedPace, Unpaced, tell_wait

pytestmark = pytest.mark.anyio

NEXT = WINDOW_MS + 1
"""Milliseconds after which a turn of a full window comes free again."""


@dataclass
class Time:
    """Milliseconds that pass when they are told to; a sleep only notes when it would end."""

    now: int = 1_750_000_000_000
    turns: list[int] = field(default_factory=list)

    def clock_ms(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.turns.append(self.now + round(seconds * 1000))

    def since(self, begin: int) -> list[int]:
        """The turns that were given, in milliseconds after `begin`."""
        return [turn - begin for turn in self.turns]


class Paces:
    """Processes that share a file, as far as the file can tell: each has a connection of its own."""

    def __init__(self) -> None:
        self.opened: list[SharedPace] = []

    def __call__(self, file: Path, per_second: int, time: Time) -> SharedPace:
        pace = SharedPace(file, per_second, sleep=time.sleep, clock_ms=time.clock_ms)
        self.opened.append(pace)
        return pace

    def close(self) -> None:
        for pace in self.opened:
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
def time() -> Time:
    return Time()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pace.sqlite"


def most(turns: list[int], window: int) -> int:
    """The largest number of turns within `window` milliseconds, wherever it begins."""
    return max(sum(begin <= turn < begin + window for turn in turns) for begin in turns)


async def test_no_second_has_more_turns_than_the_limit_and_none_waits_longer_than_that(
    paces: Paces, file: Path, time: Time
) -> None:
    begin, pace = time.now, paces(file, 3, time)
    for _ in range(8):
        await pace.turn()
    assert time.since(begin) == [0, 0, 0, NEXT, NEXT, NEXT, 2 * NEXT, 2 * NEXT]
    assert most(time.turns, 1000) == 3
    assert pace.shared


async def test_a_turn_comes_free_a_window_after_it_was_taken(paces: Paces, file: Path, time: Time) -> None:
    begin, pace = time.now, paces(file, 2, time)
    for pause in (0, 400, 400, 0):
        time.now += pause
        await pace.turn()
    time.now += 10_000
    await pace.turn()
    assert time.since(begin) == [0, 400, NEXT, 400 + NEXT, 10_800]


async def test_turns_are_given_in_the_order_of_asking(paces: Paces, file: Path, time: Time) -> None:
    pace, who = paces(file, 4, time), ContextVar[int]("who")
    given: list[tuple[int, float]] = []

    async def note(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        given.append((who.get(), seconds))

    async def ask(name: int) -> None:
        who.set(name)
        await pace.turn()

    pace._sleep = note
    async with anyio.create_task_group() as group:
        for name in range(20):
            group.start_soon(ask, name)
    assert given == [(name, name // 4 * NEXT / 1000) for name in range(20)]


async def test_who_asks_later_is_not_served_before_who_asks_earlier(paces: Paces, file: Path, time: Time) -> None:
    one, other = paces(file, 2, time), paces(file, 2, time)
    begin = time.now
    for step in range(6):
        await (one, other)[step % 2].turn()
        time.now += 100
    assert time.since(begin) == [0, 100, NEXT, 100 + NEXT, 2 * NEXT, 100 + 2 * NEXT]
    assert time.turns == sorted(time.turns)


async def test_processes_that_share_the_file_share_the_limit(paces: Paces, file: Path, time: Time) -> None:
    one, other = paces(file, 2, time), paces(file, 2, time)
    begin = time.now
    for pace in (one, other, one, other, other):
        await pace.turn()
    assert time.since(begin) == [0, 0, NEXT, NEXT, 2 * NEXT]
    assert (one.shared, other.shared) == (True, True)


async def test_other_accounts_have_other_files_and_do_not_wait_for_each_other(
    paces: Paces, tmp_path: Path, time: Time
) -> None:
    begin = time.now
    for name in ("a", "b"):
        await paces(tmp_path / name, 1, time).turn()
    assert time.since(begin) == [0, 0]


async def test_a_hold_keeps_everybody_back_for_its_time(paces: Paces, file: Path, time: Time) -> None:
    one, other = paces(file, 2, time), paces(file, 2, time)
    begin = time.now
    await one.turn()
    await one.hold(5.0)
    for pace in (other, one, other):
        await pace.turn()
    assert time.since(begin) == [0, 5001, 5001, 5001 + NEXT]


async def test_a_hold_ends(paces: Paces, file: Path, time: Time) -> None:
    pace = paces(file, 2, time)
    await pace.hold(3.0)
    time.now += 3001
    begin = time.now
    await pace.turn()
    assert time.since(begin) == [0]


async def test_a_hold_before_the_first_turn_counts_too(paces: Paces, file: Path, time: Time) -> None:
    begin = time.now
    await paces(file, 7, time).hold(2.0)
    await paces(file, 7, time).turn()
    assert time.since(begin) == [2001]


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 2.5])
async def test_turns_that_were_given_out_before_a_hold_still_count(
    paces: Paces, file: Path, time: Time, seconds: float
) -> None:
    pace = paces(file, 2, time)
    for _ in range(6):
        await pace.turn()
    await pace.hold(seconds)
    for _ in range(6):
        await pace.turn()
    assert most(time.turns, 1000) == 2


@pytest.mark.parametrize(
    "back",
    [
        3_600_000,
        60_000,
    ],
)
async def test_a_clock_that_was_set_back_stalls_nobody(back: int, paces: Paces, file: Path, time: Time) -> None:
    pace = paces(file, 2, time)
    for _ in range(5):
        await pace.turn()
    time.now -= back
    begin = time.now
    time.turns.clear()
    for _ in range(3):
        await pace.turn()
    assert time.since(begin) == [0, 0, NEXT]


async def test_a_clock_that_was_set_forward_only_frees_turns(paces: Paces, file: Path, time: Time) -> None:
    pace = paces(file, 1, time)
    await pace.turn()
    time.now += 3_600_000
    begin = time.now
    await pace.turn()
    assert time.since(begin)[1:] == [0]


async def test_old_turns_are_swept_out_of_the_file(paces: Paces, file: Path, time: Time) -> None:
    pace = paces(file, 50, time)
    for _ in range(201):
        time.now += 2_000
        await pace.turn()
    assert pace._bucket is not None
    assert pace._bucket.count() <= 101


@pytest.mark.parametrize("broken", ["no folder", "a folder in its place", "not a database", "half a database"])
async def test_a_file_that_cannot_be_used_leaves_the_limit_to_this_process_alone(
    broken: str, paces: Paces, tmp_path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pace.sqlite"
    match broken:
        case "no folder":
            file = tmp_path / "missing" / "pace.sqlite"
        case "a folder in its place":
            file.mkdir()
        case "not a database":
            file.write_bytes(b"\x00\xff" * 5000)
        case _:
            await paces(file, 2, time).turn()
            paces.close()
            file.write_bytes(file.read_bytes()[:100] + b"\xff" * 4000)
            time.turns.clear()
    begin, pace = time.now, paces(file, 2, time)
    with caplog.at_level(logging.INFO, "amo_mcp"):
        for _ in range(5):
            await pace.turn()
    assert time.since(begin) == [0, 0, NEXT, NEXT, 2 * NEXT]
    assert not pace.shared
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("The pace cannot be shared with other processes: ")


async def test_a_file_that_breaks_on_the_way_is_left_too(
    paces: Paces, file: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    pace = paces(file, 1, time)
    await pace.turn()
    assert pace.shared
    assert pace._bucket is not None
    shared_bucket = pace._bucket
    shared_bucket.conn.execute("DROP TABLE rate_bucket")  # type: ignore[attr-defined]
    time.now += 5_000
    begin = time.now
    time.turns.clear()
    for _ in range(2):
        await pace.turn()
    shared_bucket.close()
    assert time.since(begin) == [0, NEXT]
    assert not pace.shared
    assert [record.getMessage() for record in caplog.records] == [
        "The pace cannot be shared with other processes: OperationalError"
    ]


async def test_a_hold_survives_a_file_that_cannot_be_used(paces: Paces, tmp_path: Path, time: Time) -> None:
    begin, pace = time.now, paces(tmp_path / "missing" / "pace.sqlite", 2, time)
    await pace.hold(4.0)
    await pace.turn()
    assert time.since(begin) == [4001]


async def test_a_hold_is_kept_also_when_the_limit_is_this_process_own(paces: Paces, tmp_path: Path, time: Time) -> None:
    begin, pace = time.now, paces(tmp_path / "missing" / "pace.sqlite", 2, time)
    await pace.turn()
    await pace.hold(4.0)
    await pace.turn()
    assert time.since(begin) == [0, 4001]


def test_before_the_first_turn_nothing_is_shared_and_no_file_is_made(paces: Paces, file: Path, time: Time) -> None:
    assert not paces(file, 2, time).shared
    assert not file.exists()


async def test_the_file_is_its_owners_alone(paces: Paces, file: Path, time: Time) -> None:
    await paces(file, 2, time).turn()
    written = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir() if "lock" not in path.name
    }
    assert written.pop("pace.sqlite") == 0o600
    assert set(written.values()) <= {0o600}


async def test_a_long_wait_is_told_and_a_short_one_is_not(paces: Paces, file: Path, time: Time) -> None:
    pace, told = paces(file, 1, time), []

    async def tell(seconds: float, reason: str) -> None:
        await anyio.lowlevel.checkpoint()
        told.append((seconds, reason, len(time.turns)))

    telling = tell_wait.set(tell)
    try:
        for _ in range(4):
            await pace.turn()
    finally:
        tell_wait.reset(telling)
    await pace.turn()
    # Told before the wait, not after it: as many turns as there are had been given.
    assert told == [(2 * NEXT / 1000, "amoCRM's request limit", 2), (3 * NEXT / 1000, "amoCRM's request limit", 3)]


async def test_who_gives_up_before_asking_takes_no_turn_and_who_gives_up_waiting_takes_its_own(
    paces: Paces, file: Path, time: Time
) -> None:
    begin, pace = time.now, paces(file, 1, time)
    with anyio.CancelScope() as early:
        early.cancel()
        await pace.turn()
    await pace.turn()
    with anyio.CancelScope() as late:

        async def give_up(seconds: float) -> None:
            late.cancel()
            await time.sleep(seconds)

        pace._sleep = give_up
        await pace.turn()
    pace._sleep = time.sleep
    await pace.turn()
    assert time.since(begin) == [0, 2 * NEXT]


async def test_who_wakes_late_for_a_turn_does_not_push_the_next_second_over_the_limit(
    paces: Paces, file: Path, time: Time
) -> None:
    pace, late = paces(file, 2, time), [50, 50, 0, 0]

    async def wake(seconds: float) -> None:
        await time.sleep(seconds)
        time.turns[-1] += late[len(time.turns) - 1]
        time.now = max(time.now, time.turns[-1])

    pace._sleep = wake
    for _ in late:
        await pace.turn()
    assert most(time.turns, 1000) == 2


class Server:
    """Answers one request on each connection, and closes the connections that are idle when it is told to."""

    def __init__(self) -> None:
        self.answered = 0
        self.close, self.closed = anyio.Event(), anyio.Event()

    async def __call__(self, stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            self.answered += 1
            body = b'{"id": %d}' % self.answered
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await self.close.wait()
        self.closed.set()


async def test_without_a_limit_nobody_waits() -> None:
    pace = Unpaced()
    with anyio.fail_after(0.5):
        await pace.hold(60.0)
        for _ in range(1000):
            await pace.turn()


@given(
    arrivals=st.lists(
        st.tuples(
            st.integers(0, 1) | st.integers(0, 1500) | st.sampled_from([999, 1000, WINDOW_MS, NEXT]), st.booleans()
        ),
        min_size=1,
        max_size=40,
    ),
    per_second=st.integers(1, 7),
)
@example(arrivals=[(0, False)] * 30, per_second=7)
@example(arrivals=[(WINDOW_MS, True)] * 10, per_second=1)
@settings(max_examples=40, deadline=None)
def test_whenever_they_arrive_no_second_has_too_many_turns_and_nobody_waits_for_nothing(
    arrivals: list[tuple[int, bool]], per_second: int
) -> None:
    time = Time()
    asked: list[int] = []

    async def ask(file: Path, paces: Paces) -> None:
        one, other = paces(file, per_second, time), paces(file, per_second, time)
        for pause, first in arrivals:
            time.now += pause
            asked.append(time.now)
            await (one if first else other).turn()

    with tempfile.TemporaryDirectory() as folder, closing() as paces:
        anyio.run(ask, Path(folder) / "pace.sqlite", paces)

    soonest: list[int] = []
    for number, moment in enumerate(asked):
        free = soonest[number - per_second] + NEXT if number >= per_second else moment
        soonest.append(max(moment, free))
    assert time.turns == soonest
    assert most(time.turns, 1000) <= per_second
