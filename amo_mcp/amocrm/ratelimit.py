"""When a request may be sent: the protocol that a session relies on. Implementations are in `amo_mcp.storage`."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import anyio.lowlevel

from amo_mcp.language import Message

OnWait = Callable[[float, Message], Awaitable[None]]
"""Called when a request has to wait: with the seconds, and with what it waits for, fit to follow "Waiting 3 s for"."""

MAX_WAIT = 10.0
"""Seconds of a pause that a request waits for; a longer one is raised as `RateLimited`, so that the caller knows."""

REUSE_AFTER = 1.001
"""Seconds after which a slot that was given back is free; the millisecond is for rounding."""


class Slot(NamedTuple):
    """The permission to send one request.

    Attributes:
        acquire: waits until the request may be sent; its first byte has to follow at once. Raises `RateLimited` when
            the API has asked for a pause of more than `MAX_WAIT` seconds.
        release: is called when the answer begins. From then on the request has surely arrived, and a second later the
            slot is free. A slot that nobody releases is free after the timeout of a request and a second.
    """

    acquire: Callable[[], Awaitable[None]]
    release: Callable[[], Awaitable[None]]

    def then(self, check: Callable[[], Awaitable[None]]) -> "Slot":
        """The slot, whose acquiring ends with `check`."""

        async def acquire() -> None:
            await self.acquire()
            await check()

        return Slot(acquire, self.release)


UNLIMITED = Slot(anyio.lowlevel.checkpoint, anyio.lowlevel.checkpoint)
"""The slot of a request that is not counted."""


class RateLimiter(Protocol):
    """Lets at most so many requests to one account reach amoCRM in any one second.

    A request may arrive at any moment between the taking of its slot and the beginning of its answer, so a slot is
    used again a second after that. Requests of one process are sent in the order in which they reserved. Where several
    processes share the limit, they are counted together, and a pause holds for all of them and outlives them.
    """

    def reserve(self, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Slot]:
        """Wait until a slot is near; within the context the request is prepared, and its slot acquired and released.

        Leaving the context releases a slot that was acquired and not released: the request has failed.

        Args:
            on_wait: called when the wait is expected to be long.

        Raises:
            RateLimited: the API has asked for a pause of more than `MAX_WAIT` seconds; nothing was sent.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Let nobody send for `seconds`: the API asked for it. What has its slot already is not called back."""
        ...
