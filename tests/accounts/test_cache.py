"""What was read a moment ago is shared, and never what is older than the last change."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from amo_mcp.accounts import FRESH_SECONDS
from amo_mcp.accounts.cache import CachedReads, ReadCache
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.models import Account
from amo_mcp.changes.events import ChangeEvent
from tests.clock import Clock

pytestmark = pytest.mark.anyio

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("ab")),
        st.tuples(st.just("wait"), st.integers(0, 7)),
        st.tuples(st.just("change"), st.none()),
    ),
    max_size=30,
)


class Source:
    """Answers 1, 2, 3 …; the answer can be held back, or be an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = anyio.Event()
        self.gate: anyio.Event | None = None
        self.broken: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
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


async def test_a_response_is_shared_while_it_is_fresh(source: Source) -> None:
    clock = Clock()
    cache = ReadCache(clock)
    assert [await cache.get("a", source) for _ in range(3)] == [1, 1, 1]
    clock.now += FRESH_SECONDS - 0.001
    assert await cache.get("a", source) == 1
    clock.now += 0.001
    assert await cache.get("a", source) == 2


async def test_a_response_is_fresh_from_its_arrival_and_not_from_its_request() -> None:
    clock = Clock(1_000)

    async def slow() -> float:
        clock.now += 60
        return clock.now

    cache = ReadCache(clock)
    assert [await cache.get("a", slow), await cache.get("a", slow)] == [1_060, 1_060]


@pytest.mark.parametrize("empty", [None, [], 0, ""], ids=repr)
async def test_an_empty_response_is_kept_like_any_other(empty: Any) -> None:
    asked = []

    async def ask() -> Any:
        asked.append(1)
        return empty

    cache = ReadCache()
    assert [await cache.get("a", ask), await cache.get("a", ask)] == [empty, empty]
    assert len(asked) == 1


async def test_readers_at_the_same_time_share_one_request(source: Source) -> None:
    cache, source.gate = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group:
        responses = [await waiting(group, lambda: cache.get("a", source)) for _ in range(20)]
        source.gate.set()
    assert responses == [[1]] * 20
    assert source.asked == 1


async def test_a_reader_does_not_wait_for_another_key(source: Source) -> None:
    cache, other = ReadCache(), Source()
    source.gate = anyio.Event()
    async with anyio.create_task_group() as group:
        slow = await waiting(group, lambda: cache.get("a", source))
        with anyio.fail_after(5):
            assert await cache.get("b", other) == 1
        assert slow == []
        source.gate.set()
    assert slow == [1]


async def test_a_response_that_was_under_way_when_the_cache_was_invalidated_is_not_shared(source: Source) -> None:
    cache, source.gate = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group:
        before = await waiting(group, lambda: cache.get("a", source))
        cache.invalidate()
        after = await waiting(group, lambda: cache.get("a", source))
        source.gate.set()
    assert (before, after) == ([1], [2])
    assert await cache.get("a", source) == 2


async def test_invalidating_drops_every_key(source: Source) -> None:
    cache, other = ReadCache(), Source()
    assert (await cache.get("a", source), await cache.get("b", other)) == (1, 1)
    cache.invalidate()
    assert (await cache.get("a", source), await cache.get("b", other)) == (2, 2)


async def test_an_error_is_raised_and_not_kept(source: Source) -> None:
    cache, source.broken = ReadCache(), LookupError("no account")
    with pytest.raises(LookupError, match="no account"):
        await cache.get("a", source)
    source.broken = None
    assert await cache.get("a", source) == 2


async def test_readers_at_the_same_time_share_an_error(source: Source) -> None:
    cache, source.gate, source.broken = ReadCache(), anyio.Event(), LookupError("no account")

    async def failure() -> str:
        with pytest.raises(LookupError) as caught:
            await cache.get("a", source)
        return str(caught.value)

    async with anyio.create_task_group() as group:
        failures = [await waiting(group, failure) for _ in range(20)]
        source.gate.set()
    assert failures == [["no account"]] * 20
    assert source.asked == 1


async def test_an_error_under_one_key_leaves_another_key_fresh(source: Source) -> None:
    cache, broken = ReadCache(), Source()
    broken.broken = LookupError("no account")
    assert await cache.get("a", source) == 1
    with pytest.raises(LookupError):
        await cache.get("b", broken)
    assert await cache.get("a", source) == 1


async def test_a_waiting_reader_takes_over_from_one_that_is_cancelled(source: Source) -> None:
    cache, source.gate = ReadCache(), anyio.Event()
    async with anyio.create_task_group() as group, anyio.create_task_group() as gone:
        await waiting(gone, lambda: cache.get("a", source))
        heir = await waiting(group, lambda: cache.get("a", source))
        gone.cancel_scope.cancel()
        source.gate.set()
    assert heir == [2]


@given(STEPS)
async def test_no_response_is_stale_or_older_than_an_invalidation_and_none_is_requested_twice(
    steps: list[tuple[str, Any]],
) -> None:
    clock = Clock()
    cache = ReadCache(clock)
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
            cache.invalidate()
            fresh.clear()
        else:
            at, expected = fresh.get(value, (float("-inf"), 0))
            if clock.now - at >= FRESH_SECONDS:
                at, expected = fresh[value] = (clock.now, asked + 1)
            assert await cache.get(value, ask) == expected


class CountingClient(AmoClient):
    """A client whose account is in the segments mode; it counts how often that was asked."""

    def __init__(self) -> None:
        self.asked = 0

    @override
    async def account(self) -> Account:
        self.asked += 1
        return Account(id=1, customers_mode="segments")


async def test_the_mode_is_known_only_while_the_account_was_read_a_moment_ago() -> None:
    clock, client = Clock(), CountingClient()
    reads = CachedReads(client, ReadCache(clock))
    assert (reads.known_mode, client.asked) == ("", 0)
    await reads.account()
    assert (reads.known_mode, client.asked) == ("segments", 1)
    clock.now += FRESH_SECONDS
    assert (reads.known_mode, client.asked) == ("", 1)


async def test_a_change_drops_every_cached_read() -> None:
    client = CountingClient()
    reads = CachedReads(client)
    await reads.account()
    await reads.on_change(ChangeEvent("segment", (51,)))
    assert reads.known_mode == ""
    await reads.account()
    assert client.asked == 2
