"""What was read a moment ago is shared, and never what is older than the last change."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.accounts.cache import FRESH_SECONDS, ReadCache

pytestmark = pytest.mark.anyio

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("ab")),
        st.tuples(st.just("wait"), st.integers(0, 7)),
        st.tuples(st.just("change"), st.none()),
    ),
    max_size=30,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Answers 1, 2, 3 …; the answer can be held back, or be an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = anyio.Event()
        self.held: anyio.Event | None = None
        self.broken: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        if self.broken is not None:
            raise self.broken
        return number


@pytest.fixture
def source() -> Source:
    return Source()


async def waiting(group: Any, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Start `work` beside the test, let it go as far as it can, and give the list where its result will be."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await work())

    group.start_soon(run)
    await anyio.wait_all_tasks_blocked()
    return results


async def test_an_answer_is_shared_while_it_is_fresh(source: Source) -> None:
    clock = Clock()
    recent = ReadCache(clock)
    assert [await recent.get("a", source) for _ in range(3)] == [1, 1, 1]
    clock.now += FRESH_SECONDS - 0.001
    assert await recent.get("a", source) == 1
    clock.now += 0.001
    assert await recent.get("a", source) == 2


async def test_freshness_begins_when_the_answer_is_there_and_not_when_it_was_asked_for() -> None:
    clock = Clock()

    async def slow() -> float:
        clock.now += 60
        return clock.now

    recent = ReadCache(clock)
    assert [await recent.get("a", slow), await recent.get("a", slow)] == [160, 160]


@pytest.mark.parametrize("empty", [None, [], 0, ""], ids=repr)
async def test_an_empty_answer_is_an_answer(empty: Any) -> None:
    asked = []

    async def ask() -> Any:
        asked.append(1)
        return empty

    recent = ReadCache()
    assert [await recent.get("a", ask), await recent.get("a", ask)] == [empty, empty]
    assert len(asked) == 1


async def test_many_who_ask_at_the_same_time_ask_once(source: Source) -> None:
    recent, source.held = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group:
        told = [await waiting(group, lambda: recent.get("a", source)) for _ in range(20)]
        source.held.set()
    assert told == [[1]] * 20
    assert source.asked == 1


async def test_one_who_asks_does_not_wait_for_another_key(source: Source) -> None:
    recent, other = ReadCache(), Source()
    source.held = anyio.Event()
    async with anyio.create_task_group() as group:
        slow = await waiting(group, lambda: recent.get("a", source))
        with anyio.fail_after(5):
            assert await recent.get("b", other) == 1
        assert slow == []
        source.held.set()
    assert slow == [1]


async def test_what_was_being_read_when_the_account_changed_is_not_shared(source: Source) -> None:
    recent, source.held = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group:
        before = await waiting(group, lambda: recent.get("a", source))
        recent.invalidate()
        after = await waiting(group, lambda: recent.get("a", source))
        source.held.set()
    assert (before, after) == ([1], [2])
    assert await recent.get("a", source) == 2


async def test_forgetting_is_for_every_key(source: Source) -> None:
    recent, other = ReadCache(), Source()
    assert (await recent.get("a", source), await recent.get("b", other)) == (1, 1)
    recent.invalidate()
    assert (await recent.get("a", source), await recent.get("b", other)) == (2, 2)


async def test_an_error_is_raised_to_who_asked_and_not_kept(source: Source) -> None:
    recent, source.broken = ReadCache(), LookupError("no account")
    with pytest.raises(LookupError, match="no account"):
        await recent.get("a", source)
    source.broken = None
    assert await recent.get("a", source) == 2


async def test_an_error_is_shared_by_who_asked_at_the_same_time(source: Source) -> None:
    recent, source.held, source.broken = ReadCache(), anyio.Event(), LookupError("no account")

    async def failure() -> str:
        with pytest.raises(LookupError) as caught:
            await recent.get("a", source)
        return str(caught.value)

    async with anyio.create_task_group() as group:
        told = [await waiting(group, failure) for _ in range(20)]
        source.held.set()
    assert told == [["no account"]] * 20
    assert source.asked == 1


async def test_an_error_does_not_displace_what_is_fresh_under_another_key(source: Source) -> None:
    recent, broken = ReadCache(), Source()
    broken.broken = LookupError("no account")
    assert await recent.get("a", source) == 1
    with pytest.raises(LookupError):
        await recent.get("b", broken)
    assert await recent.get("a", source) == 1


async def test_when_the_one_who_asks_is_cancelled_the_next_asks(source: Source) -> None:
    recent, source.held = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group, anyio.create_task_group() as gone:
        await waiting(gone, lambda: recent.get("a", source))
        heir = await waiting(group, lambda: recent.get("a", source))
        gone.cancel_scope.cancel()
        source.held.set()
    assert heir == [2]


@given(STEPS)
async def test_nothing_is_told_that_is_stale_or_older_than_a_change_and_nothing_is_asked_twice(
    steps: list[tuple[str, Any]],
) -> None:
    clock = Clock()
    recent = ReadCache(clock)
    fresh: dict[str, tuple[float, int]] = {}
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        return asked

    for step, value in steps:
        if step == "wait":
            clock.now += value
        elif step == "change":
            recent.invalidate()
            fresh.clear()
        else:
            at, expected = fresh.get(value, (float("-inf"), 0))
            if clock.now - at >= FRESH_SECONDS:
                at, expected = fresh[value] = (clock.now, asked + 1)
            assert await recent.get(value, ask) == expected
