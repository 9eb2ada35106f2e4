"""The changes of one process take turns: one at a time for each target, so that the next sees what the last one did."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

import anyio

from amo_mcp.changes.steps import Create, Kind, Step, moves_status

_Key = tuple[Kind, int]
_ORDER: _Key = ("status", 0)
"""Stands for the order of the statuses, which every move changes."""


class Turns:
    """Which targets are being changed in this process."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[_Key, anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, steps: Iterable[Step]) -> AsyncIterator[None]:
        """Wait until nobody else in this process changes a target of the steps, and keep the others waiting."""
        keys = {(step.kind, step.before.id) for step in steps if not isinstance(step, Create)}
        if any(map(moves_status, steps)):
            keys.add(_ORDER)
        async with AsyncExitStack() as stack:
            # Always in the same order, so that two changes never wait for each other.
            for key in sorted(keys):
                await stack.enter_async_context(self._locks.setdefault(key, anyio.Lock()))
            yield
