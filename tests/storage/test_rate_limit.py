"""What the rate limiter promises, and what it does when it cannot be shared; time here is made up."""

import fcntl
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.errors import RateLimited
from amo_mcp.amocrm.ratelimit import Slot
from amo_mcp.language import Message
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from amo_mcp.storage.rate_limit import SharedRateLimiter
from amo_mcp.storage.slot_limiter import SlotRateLimiter
from tests.clock import Clock

pytestmark = pytest.mark.anyio

TIMEOUT = 20.0
AGAIN = 1.001
"""Seconds after which a slot that was released is free."""


@dataclass
class Machine:
    """A machine on which limiters are used, each in a process of its own as far as the file can tell.

    Attributes:
        sent: when requests took their slots, in seconds from the beginning.
        during_sleep: is called in every sleep.
    """

    file: Path
    database: Database | None = None
    clock: Clock = field(default_factory=Clock)
    sent: list[float] = field(default_factory=list)
    during_sleep: Callable[[], object] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self.began = self.clock.now

    async def sleep(self, seconds: float) -> None:
        self.during_sleep()
        await self.clock.sleep(seconds)

    def open(self, per_second: int) -> SharedRateLimiter:
        return SharedRateLimiter(self.file, per_second, timeout=TIMEOUT, sleep=self.sleep, clock=self.clock)

    def connect(self, per_second: int) -> SlotRateLimiter:
        """A limiter of a process of its own, as `open`, or of a replica that has the database."""
        if self.database is None:
            return self.open(per_second)
        how: dict[str, Any] = {"timeout": TIMEOUT, "sleep": self.sleep, "clock": self.clock}
        return PostgresRateLimiter(self.database, "https://example.amocrm.ru", per_second, **how)

    async def request(self, limiter: SlotRateLimiter, *, answered_after: float = 0.0, fails: bool = False) -> None:
        """A request whose answer begins after so many seconds, or which fails then."""
        async with limiter.reserve() as slot:
            await slot.acquire()
            self.sent.append(round(self.clock.now - self.began, 6))
            self.clock.now += answered_after
            if not fails:
                await slot.release()

    def restart(self) -> None:
        """Begin to count anew, with the same clock."""
        self.began = self.clock.now
        self.sent.clear()

    def start_anew(self) -> None:
        """Turn the machine off and on: its clock begins anew."""
        self.clock.now = 20.0
        self.restart()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a file."""
    return Machine(tmp_path / "rate-limit.json")


@asynccontextmanager
async def dead_process(limiter: SlotRateLimiter) -> AsyncIterator[None]:
    """A process that takes a slot and is gone: it releases nothing while anybody looks."""
    context: AbstractAsyncContextManager[Slot] = limiter.reserve()
    slot = await context.__aenter__()
    await slot.acquire()
    yield
    await context.__aexit__(None, None, None)


class TestEveryLimiter:
    @pytest.fixture(params=["file", "postgres"])
    def machine(self, request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
        database = request.getfixturevalue("database") if request.param == "postgres" else None
        return Machine(tmp_path / "rate-limit.json", database)

    @pytest.mark.requirement("PG-1", "LIMIT-3")
    async def test_a_second_has_no_more_requests_than_the_limit_and_none_waits_longer_than_that(
        self, machine: Machine
    ) -> None:
        limiter = machine.connect(3)
        for _ in range(8):
            await machine.request(limiter)
        assert machine.sent == [0, 0, 0, AGAIN, AGAIN, AGAIN, 2 * AGAIN, 2 * AGAIN]

    @pytest.mark.parametrize("answered_after", [0.0, 0.08, 0.9, 15.0])
    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_slot_is_used_again_a_second_after_the_answer_or_the_failure(
        self, answered_after: float, fails: bool, machine: Machine
    ) -> None:
        limiter = machine.connect(1)
        await machine.request(limiter, answered_after=answered_after, fails=fails)
        await machine.request(limiter)
        assert machine.sent == pytest.approx([0, answered_after + AGAIN])

    async def test_a_slot_that_is_never_released_is_free_a_second_after_the_timeout(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        async with dead_process(limiter):
            await machine.request(limiter)
            await machine.request(limiter)
            await machine.request(limiter)
            machine.clock.now = machine.began + TIMEOUT + AGAIN
            for _ in range(3):
                await machine.request(limiter)
        late = TIMEOUT + AGAIN
        assert machine.sent == pytest.approx([0, AGAIN, 2 * AGAIN, late, late, late + AGAIN])

    async def test_a_late_release_of_a_slot_that_another_request_has_by_now_does_nothing(
        self, machine: Machine
    ) -> None:
        limiter = machine.connect(1)
        context = limiter.reserve()
        late = await context.__aenter__()
        await late.acquire()
        machine.clock.now += TIMEOUT + AGAIN
        async with limiter.reserve() as slot:
            await slot.acquire()
            await late.release()
            machine.clock.now += 5
            machine.restart()
            await slot.release()
        await machine.request(limiter)
        await context.__aexit__(None, None, None)
        assert machine.sent == [AGAIN]

    async def test_a_release_after_the_slot_was_free_already_takes_none(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        async with limiter.reserve() as slot:
            await slot.acquire()
            machine.clock.now += TIMEOUT + AGAIN
        machine.restart()
        for _ in range(2):
            await machine.request(limiter)
        assert machine.sent == [0, 0]

    async def test_requests_that_wait_for_their_answers_hold_none_back_that_has_a_slot(self, machine: Machine) -> None:
        limiter = machine.connect(4)
        async with AsyncExitStack() as on_its_way:
            for _ in range(3):
                await on_its_way.enter_async_context(dead_process(limiter))
            await machine.request(limiter)
        assert machine.sent == [0]

    async def test_an_answer_that_begins_while_the_next_request_waits_lets_it_go_earlier(
        self, machine: Machine
    ) -> None:
        limiter = machine.connect(1)
        async with limiter.reserve() as first, anyio.create_task_group() as group:
            await first.acquire()
            group.start_soon(machine.request, limiter)
            await anyio.lowlevel.checkpoint()
            await first.release()
        [sent] = machine.sent
        assert AGAIN <= sent <= 1 + AGAIN

    async def test_a_request_that_is_begun_anew_on_another_connection_takes_another_slot(
        self, machine: Machine
    ) -> None:
        limiter = machine.connect(2)
        async with limiter.reserve() as slot:
            await slot.acquire()
            await slot.acquire()
            await slot.release()
            await slot.release()
        await machine.request(limiter)
        assert machine.sent == [AGAIN]

    async def test_no_more_requests_are_prepared_than_half_a_second_has_slots(self, machine: Machine) -> None:
        limiter, prepared = machine.connect(4), []
        two, opened = anyio.Event(), anyio.Event()

        async def ask(number: int) -> None:
            async with limiter.reserve() as slot:
                prepared.append(number)
                if len(prepared) == 2:
                    two.set()
                await opened.wait()
                await slot.acquire()

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(ask, number)
            await two.wait()
            await anyio.wait_all_tasks_blocked()
            assert prepared == [0, 1]
            opened.set()
        assert prepared == [0, 1, 2, 3]

    async def test_a_connection_that_does_not_open_holds_no_other_request_back(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        async with limiter.reserve():
            await machine.request(limiter)
            await machine.request(limiter)
            with anyio.CancelScope() as scope:
                scope.cancel()
                async with limiter.reserve():
                    await anyio.lowlevel.checkpoint()
            await machine.request(limiter)
        assert machine.sent == [0, 0, AGAIN]

    async def test_requests_are_sent_in_the_order_of_asking(self, machine: Machine) -> None:
        limiter, order = machine.connect(2), []

        async def ask(number: int) -> None:
            async with limiter.reserve() as slot:
                await slot.acquire()
                order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(9):
                group.start_soon(ask, number)
                await anyio.lowlevel.checkpoint()
        assert order == list(range(9))

    async def test_a_request_that_is_cancelled_while_it_waits_takes_no_slot(self, machine: Machine) -> None:
        limiter = machine.connect(1)
        await machine.request(limiter)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await machine.request(limiter)
        await machine.request(limiter)
        assert machine.sent == [0, AGAIN]

    async def test_a_request_that_is_cancelled_after_it_was_sent_releases_its_slot(self, machine: Machine) -> None:
        limiter = machine.connect(1)
        with anyio.CancelScope() as scope:
            async with limiter.reserve() as slot:
                await slot.acquire()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        await machine.request(limiter)
        assert machine.sent == [AGAIN]

    async def test_a_short_pause_holds_every_request_back_and_forgets_none(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        await machine.request(limiter)
        await limiter.pause(0.5)
        for _ in range(3):
            await machine.request(limiter)
        assert machine.sent == pytest.approx([0, 0.5, AGAIN, 0.5 + AGAIN])

    async def test_a_pause_is_not_shortened_by_a_later_one(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        await limiter.pause(9.0)
        await limiter.pause(1.0)
        assert await limiter.pause_left() == 9.0
        await machine.request(limiter)
        assert machine.sent == [9.0]

    @pytest.mark.requirement("LIMIT-4")
    async def test_a_long_pause_is_raised_with_the_seconds_that_are_left_until_it_is_over(
        self, machine: Machine
    ) -> None:
        limiter = machine.connect(2)
        await limiter.pause(300.0)
        for passed, left in ((0.0, 300.0), (250.0, 50.0)):
            machine.clock.now = machine.began + passed
            with pytest.raises(RateLimited) as caught:
                await machine.request(limiter)
            assert (caught.value.status, caught.value.retry_after) == (429, left)
        machine.clock.now = machine.began + 295
        await machine.request(limiter)
        assert machine.sent == [300]

    async def test_a_long_pause_is_raised_also_by_a_request_that_waits_already(self, machine: Machine) -> None:
        limiter = machine.connect(1)
        async with limiter.reserve() as slot:
            await limiter.pause(300.0)
            with pytest.raises(RateLimited) as caught:
                await slot.acquire()
        assert caught.value.retry_after == 300.0
        machine.clock.now += 300
        await machine.request(limiter)
        assert machine.sent == [300]

    async def test_after_an_hour_of_a_pause_the_api_is_asked_again(self, machine: Machine) -> None:
        limiter = machine.connect(1)
        await limiter.pause(1e9)
        assert await limiter.pause_left() == 3600
        machine.clock.now += 3600
        await machine.request(limiter)
        assert machine.sent == [3600]

    @pytest.mark.requirement("LIMIT-3")
    async def test_a_machine_that_was_started_anew_stalls_nobody(self, machine: Machine) -> None:
        limiter = machine.connect(2)
        for _ in range(2):
            await machine.request(limiter)
        await limiter.pause(0.5)
        machine.start_anew()
        for _ in range(3):
            await machine.request(machine.connect(2))
        assert machine.sent == pytest.approx([AGAIN, AGAIN, 2 * AGAIN])

    async def test_a_pause_goes_on_when_the_machine_was_started_anew(self, machine: Machine) -> None:
        await machine.connect(2).pause(300.0)
        machine.start_anew()
        limiter = machine.connect(2)
        assert await limiter.pause_left() == pytest.approx(300)
        machine.clock.now += 300.001
        await machine.request(limiter)
        assert machine.sent == [300.001]

    async def test_a_request_with_many_before_it_is_told_that_it_waits(self, machine: Machine) -> None:
        limiter, waits = machine.connect(2), []

        async def on_wait(seconds: float, reason: Message) -> None:
            waits.append((seconds, str(reason)))
            await anyio.lowlevel.checkpoint()

        async def request() -> None:
            async with limiter.reserve(on_wait) as slot:
                await slot.acquire()

        for _ in range(2):
            await request()
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(request)
        assert waits == [(2.0, "amoCRM's request limit"), (2.5, "amoCRM's request limit")]

    async def test_a_request_in_a_pause_is_told_that_it_waits(self, machine: Machine) -> None:
        limiter, waits = machine.connect(2), []

        async def on_wait(seconds: float, reason: Message) -> None:
            await anyio.lowlevel.checkpoint()
            waits.append((seconds, str(reason)))

        for pause in (1.5, 6.0):
            await limiter.pause(pause)
            async with limiter.reserve(on_wait) as slot:
                await slot.acquire()
        assert waits == [(6.0, "amoCRM, which asked for a pause")]


REQUESTS = st.lists(
    st.tuples(st.floats(0, 1.5), st.floats(0, 0.4), st.booleans(), st.integers(0, 1)), min_size=1, max_size=30
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS, per_second=st.integers(1, 5))
def test_whenever_requests_come_and_are_answered_no_second_can_have_too_many_of_them(
    requests: list[tuple[float, float, bool, int]],
    per_second: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A request arrives at any moment between its slot and its answer, so each counts for all of that time."""
    spans: list[tuple[float, float]] = []

    async def request(machine: Machine, limiter: SharedRateLimiter, took: float, fails: bool) -> None:
        async with limiter.reserve() as slot:
            await slot.acquire()
            sent = machine.clock.now
            await machine.clock.sleep(took)
            if not fails:
                await slot.release()
        spans.append((sent, machine.clock.now))

    async def run() -> None:
        file = tmp_path_factory.mktemp("limits") / "rate-limit.json"
        machine = Machine(file)
        processes = machine.open(per_second), machine.open(per_second)
        async with anyio.create_task_group() as group:
            for pause, took, fails, process in requests:
                machine.clock.now += pause
                group.start_soon(request, machine, processes[process], took, fails)
                await anyio.lowlevel.checkpoint()

    anyio.run(run)
    assert len(spans) == len(requests)
    for _, released in spans:
        # The window of a second that begins just before this one may arrive for the last time.
        assert sum(sent < released + 1 and last >= released for sent, last in spans) <= per_second


class TestFile:
    @pytest.mark.requirement("LIMIT-3")
    async def test_two_processes_share_the_limit(self, machine: Machine) -> None:
        one, other = machine.open(2), machine.open(2)
        for limiter in (one, other, one, other, one):
            await machine.request(limiter)
        assert machine.sent == [0, 0, AGAIN, AGAIN, 2 * AGAIN]
        assert one.shared
        assert other.shared

    async def test_processes_with_different_limits_keep_to_the_larger_together(self, machine: Machine) -> None:
        one, other = machine.open(2), machine.open(3)
        for limiter in (one, one, one, other, other):
            await machine.request(limiter)
        assert machine.sent == [0, 0, AGAIN, AGAIN, AGAIN]

    @pytest.mark.requirement("LIMIT-4")
    async def test_a_pause_is_known_to_every_process_and_after_a_restart(self, machine: Machine) -> None:
        one, other = machine.open(2), machine.open(2)
        await machine.request(other)
        await one.pause(300.0)
        for limiter in (other, machine.open(2)):
            with pytest.raises(RateLimited) as caught:
                await machine.request(limiter)
            assert caught.value.retry_after == 300.0

    @pytest.mark.requirement("LIMIT-3")
    async def test_a_process_that_died_holds_its_slot_no_longer_than_a_request_can_take(self, machine: Machine) -> None:
        async with dead_process(machine.open(1)):
            await machine.request(machine.open(1))
        assert machine.sent == pytest.approx([TIMEOUT + AGAIN])

    @pytest.mark.requirement("LIMIT-4")
    def test_no_clock_that_somebody_sets_is_used(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        limiter = SharedRateLimiter(machine.file, 1)
        monkeypatch.setattr(time, "time", machine.clock)
        anyio.run(limiter.pause, 300.0)
        machine.clock.now += 3_600_000
        assert 290 < anyio.run(limiter.pause_left) <= 300

    async def test_only_its_owner_can_read_the_file(self, machine: Machine) -> None:
        await machine.request(machine.open(2))
        assert stat.S_IMODE(machine.file.stat().st_mode) == 0o600

    async def test_asking_for_the_pause_takes_no_slot_and_tells_whether_the_file_can_be_used(
        self, machine: Machine
    ) -> None:
        limiter = machine.open(1)
        assert not limiter.shared
        assert await limiter.pause_left() == 0
        assert limiter.shared
        await machine.request(limiter)
        assert machine.sent == [0]


GARBAGE = b"this is no database, and long enough to be taken for none" * 20


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(" (")[0] for record in caplog.records]


ALONE, SHARED_AGAIN = (
    "The rate limit cannot be shared with other processes",
    "The rate limit is shared with other processes again",
)


def foreign_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("CREATE TABLE slots (something TEXT); INSERT INTO slots VALUES ('else')")


def endless_slots(file: Path) -> None:
    table = json.loads(file.read_text())
    file.write_text(json.dumps({**table, "taken": dict.fromkeys(table["taken"], 1e18)}))


def empty_table(file: Path, seconds: float) -> None:
    """A table without a slot taken, noted so many seconds after the one that is there."""
    file.write_text(json.dumps({"noted_at": json.loads(file.read_text())["noted_at"] + seconds}))


@contextmanager
def not_stuck(seconds: int = 20) -> Iterator[None]:
    """Fail, instead of hanging, where the process itself is kept: no timeout of the event loop ends that."""

    def fail(*_: object) -> None:
        pytest.fail(f"the file has kept the process for {seconds} seconds")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class TestLostFile:
    @pytest.mark.parametrize("unusable", ["no folder", "a folder", "a pipe", os.devnull, "/dev/zero"])
    @pytest.mark.requirement("LIMIT-3")
    async def test_a_file_that_cannot_be_made_leaves_two_requests_a_second_to_each_process(
        self, unusable: str, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        if unusable == "no folder":
            machine.file.touch()
            machine.file /= machine.file.name
        elif unusable == "a folder":
            machine.file.mkdir()
        elif unusable == "a pipe":
            os.mkfifo(machine.file)
        else:
            machine.file.symlink_to(unusable)
        limiters = [machine.open(7), machine.open(7)]
        for limiter in limiters:
            machine.restart()
            with not_stuck():
                for _ in range(5):
                    await machine.request(limiter)
            assert machine.sent == [0, 0, AGAIN, AGAIN, 2 * AGAIN]
            assert not limiter.shared
        assert warnings(caplog) == [ALONE] * 2

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.write_bytes(GARBAGE),
            foreign_database,
        ],
        ids=["garbage", "another database"],
    )
    async def test_a_file_that_is_no_table_of_slots_is_made_anew_and_shared(
        self, spoil: Callable[[Path], None], machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        spoil(machine.file)
        one, other = machine.open(2), machine.open(2)
        for limiter in (one, other, one):
            await machine.request(limiter)
        # Others may have sent requests in the second before.
        assert machine.sent == [AGAIN, AGAIN, 2 * AGAIN]
        assert (one.shared, other.shared, warnings(caplog)) == (True, True, [])

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.write_bytes(GARBAGE),
            lambda file: file.write_bytes(b""),
            lambda file: file.unlink(),
            lambda file: shutil.rmtree(file.parent),
            lambda file: file.with_name("other").rename(file),
            endless_slots,
            lambda file: empty_table(file, -0.1),
            lambda file: empty_table(file, 0.1),
        ],
        ids=["garbage", "emptied", "removed", "folder removed", "replaced", "endless", "older", "of the future"],
    )
    @pytest.mark.requirement("LIMIT-3")
    async def test_a_file_that_is_lost_while_it_is_used_is_made_anew_and_shared(
        self, spoil: Callable[[Path], None], machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, other = machine.open(2), machine.open(2)
        for limiter in (one, other):
            await machine.request(limiter)
        machine.file.with_name("other").write_bytes(GARBAGE)
        machine.file.parent.chmod(0o700)
        spoil(machine.file)
        for limiter in (one, other, one, other):
            await machine.request(limiter)
        assert machine.sent == [0, 0, AGAIN, AGAIN, 2 * AGAIN, 2 * AGAIN]
        assert (one.shared, other.shared, warnings(caplog)) == (True, True, [])
        assert stat.S_IMODE(machine.file.parent.stat().st_mode) == 0o700

    async def test_a_request_that_is_on_its_way_when_the_file_is_lost_keeps_its_slot_until_it_is_answered(
        self, machine: Machine
    ) -> None:
        one, other = machine.open(2), machine.open(2)
        async with one.reserve() as slot:
            await slot.acquire()
            machine.file.unlink()
            await one.pause_left()
            for _ in range(2):
                await machine.request(other)
            await slot.release()
            for _ in range(2):
                await machine.request(other)
        assert machine.sent == pytest.approx([AGAIN, 2 * AGAIN, 3 * AGAIN, 3 * AGAIN])

    async def test_a_pause_outlives_the_file(self, machine: Machine) -> None:
        one, other = machine.open(2), machine.open(2)
        await one.pause(300.0)
        with pytest.raises(RateLimited):
            await machine.request(other)
        machine.file.write_bytes(GARBAGE)
        for limiter in (other, machine.open(2)):
            with pytest.raises(RateLimited) as caught:
                await machine.request(limiter)
            assert caught.value.retry_after == 300.0

    async def test_a_pause_holds_also_for_a_process_that_is_alone(self, machine: Machine) -> None:
        machine.file.mkdir()
        limiter = machine.open(2)
        await limiter.pause(4.0)
        await machine.request(limiter)
        await limiter.pause(300.0)
        with pytest.raises(RateLimited):
            await machine.request(limiter)
        machine.file.rmdir()
        assert await limiter.pause_left() == 300.0
        assert await machine.open(2).pause_left() == 300.0
        assert machine.sent == [4.0]

    @pytest.mark.parametrize("trouble", ["no folder", "no room"])
    @pytest.mark.requirement("LIMIT-3")
    async def test_after_a_moment_of_trouble_the_limit_is_shared_again(
        self, trouble: str, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, other = machine.open(7), machine.open(7)
        for limiter in (one, other):
            await machine.request(limiter)
        with no_folder(machine.file.parent) if trouble == "no folder" else no_room():
            for limiter in (one, other):
                machine.restart()
                for _ in range(4):
                    await machine.request(limiter)
                # Two a second, and none in the second in which the shared ones were sent.
                assert machine.sent == pytest.approx([AGAIN, AGAIN, 2 * AGAIN, 2 * AGAIN])
                assert not limiter.shared
        assert warnings(caplog) == [ALONE] * 2
        caplog.clear()
        machine.clock.now += 10
        machine.restart()
        for limiter in (one, other) * 4:
            await machine.request(limiter)
        assert machine.sent == [0] * 7 + [AGAIN]
        assert (one.shared, other.shared, warnings(caplog)) == (True, True, [SHARED_AGAIN] * 2)

    async def test_what_a_process_has_sent_alone_counts_when_it_shares_again(self, machine: Machine) -> None:
        limiter, other = machine.open(3), machine.open(3)
        await other.pause_left()
        async with AsyncExitStack() as on_its_way:
            with no_folder(machine.file.parent):
                await on_its_way.enter_async_context(dead_process(limiter))
                await machine.request(limiter)
            await limiter.pause_left()
            for _ in range(3):
                await machine.request(other)
        assert machine.sent == pytest.approx([0, 0, AGAIN, AGAIN])
        assert limiter.shared

    async def test_a_process_alone_never_exceeds_its_own_limit(self, machine: Machine) -> None:
        machine.file.mkdir()
        limiter = machine.open(1)
        for _ in range(2):
            await machine.request(limiter)
        assert machine.sent == [0, AGAIN]

    async def test_a_slot_that_was_taken_alone_is_released_alone(self, machine: Machine) -> None:
        limiter = machine.open(1)
        with no_folder(machine.file.parent):
            for _ in range(3):
                await machine.request(limiter, answered_after=0.5)
        assert machine.sent == pytest.approx([0, 0.5 + AGAIN, 1 + 2 * AGAIN])

    async def test_a_slot_that_was_taken_alone_is_released_where_the_limit_is_shared_again(
        self, machine: Machine
    ) -> None:
        limiter, other = machine.open(1), machine.open(1)
        async with limiter.reserve() as slot:
            with no_folder(machine.file.parent):
                await slot.acquire()
            await slot.release()
        await machine.request(other)
        # At first others may have sent in the second before, and then this one has.
        assert machine.sent == pytest.approx([2 * AGAIN])


@contextmanager
def no_folder(folder: Path) -> Iterator[None]:
    """The state folder is away for a moment, and cannot be made anew."""
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    folder.touch()
    yield
    folder.unlink()
    away.rename(folder)


@contextmanager
def no_room() -> Iterator[None]:
    """Nothing can be written to any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def taking_its_slot(file: Path) -> Iterator[Callable[[], None]]:
    """Another process that has begun to take its slot, and what lets it go on."""
    with file.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(other, fcntl.LOCK_UN)


class TestBusyFile:
    async def test_another_process_that_is_just_taking_its_slot_is_waited_for(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        limiter, looks = machine.open(2), iter([False, False, True])
        await machine.request(limiter)
        with taking_its_slot(machine.file) as go_on:
            machine.during_sleep = lambda: go_on() if next(looks) else None
            await machine.request(limiter)
        machine.during_sleep = lambda: None
        await machine.request(limiter)
        assert machine.sent == [0, 0.009, AGAIN]
        assert (limiter.shared, caplog.records) == (True, [])

    async def test_another_process_that_is_just_making_the_file_is_waited_for(self, machine: Machine) -> None:
        with taking_its_slot(machine.file) as go_on:
            limiter, looks = machine.open(2), iter([False, False, True])
            machine.during_sleep = lambda: go_on() if next(looks) else None
            await machine.request(limiter)
        assert (machine.sent, limiter.shared) == ([0.009], True)

    async def test_an_answer_is_noted_although_another_process_is_just_at_the_file(self, machine: Machine) -> None:
        one, other, looks = machine.open(1), machine.open(1), iter([False, True])
        async with one.reserve() as slot:
            await slot.acquire()
            with taking_its_slot(machine.file) as go_on:
                machine.during_sleep = lambda: go_on() if next(looks) else None
                await slot.release()
        machine.during_sleep = lambda: None
        await machine.request(other)
        assert machine.sent == [0.006 + AGAIN]

    async def test_a_process_that_is_stuck_at_the_file_holds_nobody_back_for_ever(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        limiter = machine.open(7)
        await machine.request(limiter)
        with taking_its_slot(machine.file):
            for _ in range(3):
                await machine.request(limiter)
            assert machine.sent == pytest.approx([0, 3 + AGAIN, 3 + AGAIN, 3 + 2 * AGAIN], abs=0.1)
            assert (limiter.shared, warnings(caplog)) == (False, [ALONE])
        machine.clock.now += 5
        await machine.request(limiter)
        assert limiter.shared


class TestUnlimited:
    async def test_without_a_limit_no_request_waits(self, clock: Clock) -> None:
        limiter = Unlimited(clock)
        await limiter.pause(9.0)
        for _ in range(100):
            async with limiter.reserve() as slot:
                await slot.acquire()
                await slot.release()
        assert clock.now == Clock().now

    @pytest.mark.requirement("LIMIT-4")
    async def test_a_long_pause_is_kept_also_without_a_limit(self, clock: Clock) -> None:
        limiter = Unlimited(clock)
        await limiter.pause(300.0)
        clock.now += 299.5
        with pytest.raises(RateLimited) as caught:
            async with limiter.reserve():
                await anyio.lowlevel.checkpoint()
        assert caught.value.retry_after == 0.5
        clock.now += 0.5
        async with limiter.reserve() as slot:
            await slot.acquire()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()
