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


class _Question:
    """An answer that is being waited for by everybody who wants it."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.answer: list[Any] = []
        self.error: Exception | None = None


class ReadCache:
    """Answers by key, each shared while it is fresh.

    Args:
        clock: gives seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, _Question] = {}

    def peek(self, key: str) -> Any:
        """The fresh answer under `key`, or None; nobody is asked."""
        return self._kept[key][1] if self._is_fresh(key) else None

    def _is_fresh(self, key: str) -> bool:
        return key in self._kept and self._clock() - self._kept[key][0] < FRESH_SECONDS

    async def get(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The fresh answer under `key`, or what `ask` gives; who asks at the same time shares answer or error."""
        while True:
            if self._is_fresh(key):
                return cast("_T", self._kept[key][1])
            question = self._asking.get(key)
            if question is None:
                return await self._ask(key, ask)
            await question.over.wait()
            if question.error is not None:
                raise question.error
            if question.answer:
                return cast("_T", question.answer[0])

    def forget(self) -> None:
        """Share nothing that was read before now, nor what is being read: the account has changed."""
        self._asking.clear()
        self._kept.clear()

    async def _ask(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        question = self._asking[key] = _Question()
        try:
            answer = await ask()
        except Exception as error:
            question.error = error
            raise
        else:
            question.answer.append(answer)
            if self._asking.get(key) is question:
                self._kept[key] = (self._clock(), answer)
            return answer
        finally:
            if self._asking.get(key) is question:
                del self._asking[key]
            question.over.set()
