"""The changes of one process take turns: one at a time for each target, so that the next sees what the last one did."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from weakref import WeakValueDictionary

import anyio

from amo_mcp.changes.ready import places_status
from amo_mcp.changes.steps import Delete, Kind, Move, Step, Update

_Key = tuple[Kind | Literal["customers"], int]
_ORDER: _Key = ("status", 0)
"""Stands for the order of the statuses, which every move changes."""

_CUSTOMERS: _Key = ("customers", 0)
"""Stands for the customers, who are written with all the segments that they were just read with."""

TELL_SECONDS = 10.0
"""Seconds between two messages to a caller whose change waits, for another one or for a person."""


class Turns:
    """Which targets are being changed in this process; `sleep` waits that many seconds."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
        self._sleep = sleep
        self._locks: WeakValueDictionary[_Key, anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, steps: Iterable[Step], tell: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Wait until nobody else in this process changes a target of the steps, and keep the others waiting.

        Meanwhile `tell` is called, every `TELL_SECONDS`.
        """
        steps = [*steps]
        keys: set[_Key] = {(step.kind, step.before.id) for step in steps if isinstance(step, Update | Delete)}
        if any(map(places_status, steps)):
            keys.add(_ORDER)
        if moves := [step for step in steps if isinstance(step, Move)]:
            keys |= {(step.kind, place.id) for step in moves for place in step.places} | {_CUSTOMERS}
        # Always in the same order, so that two changes never wait for each other.
        locks = [self._locks.setdefault(key, anyio.Lock()) for key in sorted(keys)]
        async with AsyncExitStack() as stack:
            for lock in locks:
                async with anyio.create_task_group() as group:
                    if lock.locked():
                        group.start_soon(self._keep_telling, tell)
                    await stack.enter_async_context(lock)
                    group.cancel_scope.cancel()
            yield

    async def _keep_telling(self, tell: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._sleep(TELL_SECONDS)
            await tell()
