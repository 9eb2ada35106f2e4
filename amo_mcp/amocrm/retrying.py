"""Trying a request again: whether, how often, and after how long.

What is tried again, by meaning:

- what never left, and what the API put off (429 with a short wait): any request;
- what was lost on the way (a broken connection, no answer in time, 502, 503, 504, a page that is not the API's): a
  request that can be repeated without doing anything twice (GET, PATCH of given values, DELETE). A POST never;
- a failure of the API (any 5xx): a read;
- 403 never: trying again makes a block last longer.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from amo_mcp.amocrm.errors import OutcomeUnknown, RateLimited, Unavailable
from amo_mcp.amocrm.ratelimit import MAX_WAIT, OnWait
from amo_mcp.language import message

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 4
"""How often one request is sent at most."""

MAX_RETRYING = 45.0
"""Seconds after which no new attempt begins."""

_REPEATABLE = ("GET", "PATCH", "DELETE")

Sleep = Callable[[float], Awaitable[None]]


def retrying(
    method: str, on_wait: OnWait | None, *, until: float, sleep: Sleep, clock: Callable[[], float]
) -> "AsyncRetrying":
    """What calls attempts at a request until one succeeds, or trying again is of no use; raises what the last raised.

    Args:
        method: of the request.
        on_wait: called when it has to wait.
        until: the moment of `clock` after which no new attempt begins.
        sleep: waits for seconds.
        clock: gives monotonic seconds.
    """
    from tenacity import AsyncRetrying, retry_if_exception
    from tenacity.wait import wait_random_exponential

    backoff = wait_random_exponential(multiplier=0.5, max=8.0)

    def wait(state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        return wait_asked_for(error) if isinstance(error, RateLimited) else backoff(state)

    async def report_wait(state: "RetryCallState") -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        logger.info("Trying again in %.1f s", seconds)
        if on_wait is not None:
            await on_wait(seconds, message("amoCRM, to try again"))

    return AsyncRetrying(
        sleep=sleep,
        stop=lambda state: state.attempt_number >= MAX_ATTEMPTS or clock() >= until,
        wait=wait,
        retry=retry_if_exception(lambda error: is_worth_repeating(method, error)),
        before_sleep=report_wait,
        reraise=True,
    )


def is_worth_repeating(method: str, error: BaseException) -> bool:
    """Whether a request is tried again that has failed so."""
    match error:
        case RateLimited():
            return wait_asked_for(error) <= MAX_WAIT
        case Unavailable():
            return error.transient
        case OutcomeUnknown():
            return error.transient and method in _REPEATABLE
        case _:
            return False


def wait_asked_for(error: RateLimited) -> float:
    """Seconds to wait before the next try; one, when the API does not say (assumed)."""
    return 1.0 if error.retry_after is None else error.retry_after
