"""Several waits at once, of which the first ends the others."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

_T = TypeVar("_T")


async def first_of(*waits: Callable[[], Awaitable[_T]]) -> _T:
    """What the first of them gives or raises, as it is; the others are cancelled."""
    given: list[_T] = []
    raised: list[Exception] = []

    async def run(wait: Callable[[], Awaitable[_T]]) -> None:
        try:
            given.append(await wait())
        except Exception as error:
            raised.append(error)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for wait in waits:
            group.start_soon(run, wait)
    if raised:
        raise raised[0]
    return given[0]
