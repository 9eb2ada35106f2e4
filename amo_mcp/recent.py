"""What was read of the account a moment ago, shared by all who want the same within a few seconds.

A client that reads twenty resources one after the other asks amoCRM once. Tools do not look here: they read afresh.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import anyio

FRESH_SECONDS = 5.0
"""How long an answer is shared."""

_T = TypeVar("_T")


class Recent:
    """Answers by key, each shared while it is fresh.

    Args:
        clock: gives seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, anyio.Lock] = {}
        self._changes = 0

    async def get(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The fresh answer under `key`, or what `ask` gives; who asks at the same time waits for the one who asks."""
        async with self._asking.setdefault(key, anyio.Lock()):
            kept = self._kept.get(key)
            if kept is not None and self._clock() - kept[0] < FRESH_SECONDS:
                return cast("_T", kept[1])
            changes = self._changes
            answer = await ask()
            if changes == self._changes:
                self._kept[key] = (self._clock(), answer)
            return answer

    def forget(self) -> None:
        """Share nothing that was read before now, nor what is being read: the account has changed."""
        self._changes += 1
        self._kept.clear()
