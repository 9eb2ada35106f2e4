"""How long calls under way are waited for when the server ends."""

from collections.abc import Awaitable, Callable

import anyio

SHUTDOWN_SECONDS = 3.0
"""Seconds that calls under way have to finish after Ctrl-C or SIGTERM."""


async def wait_for_calls(
    all_answered: Callable[[], Awaitable[object]], hurried: Callable[[], Awaitable[object]]
) -> None:
    """Wait until one of both returns, or `SHUTDOWN_SECONDS` have passed.

    Args:
        all_answered: returns when no call is under way.
        hurried: returns when somebody does not want to wait, as by a second Ctrl-C.
    """
    with anyio.move_on_after(SHUTDOWN_SECONDS):
        async with anyio.create_task_group() as group:

            async def first(waiting: Callable[[], Awaitable[object]]) -> None:
                await waiting()
                group.cancel_scope.cancel()

            group.start_soon(first, all_answered)
            group.start_soon(first, hurried)
