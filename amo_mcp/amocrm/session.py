"""One request, well done: signed in, in its turn, tried again where that is safe, its answer data or an exception.

What is tried again, by meaning:

- what never left, and what the API put off (429 with a short wait): any request;
- what was lost on the way (a broken connection, no answer in time, 502, 503, 504): a request that can be repeated
  without doing anything twice (GET, PATCH of given values, DELETE). A POST never;
- 403 never: trying again makes a block last longer.

Paths are put under the configured root, and the absolute `_links` of answers are never followed, so that the token
goes to the operator's host alone.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from pydantic import SecretStr

from amo_mcp.amocrm.errors import (
    AmoError,
    Blocked,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    PaymentRequired,
    Problem,
    RateLimited,
    Refused,
    Rejected,
    Unauthorized,
    Unavailable,
)
from amo_mcp.amocrm.http import Answer, HttpTransport, TransportError, parse_json
from amo_mcp.storage.sqlite.rate_limit import RateLimiter, say_wait

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

logger = logging.getLogger(__name__)

ATTEMPTS = 4
LONGEST_RETRYING = 45.0
"""Seconds after which no new attempt begins."""

SHORT_WAIT = 10.0
"""Seconds that are waited for the API when it asks; a longer wait is told to the caller instead."""

_REPEATABLE = ("GET", "PATCH", "DELETE")
_PASSING = (502, 503, 504)
_GATEWAY_GAVE_UP = (408, 499, 504)
_NO_CONTENT = 204
_REDIRECTS = (301, 302, 307, 308)

Sleep = Callable[[float], Awaitable[None]]


class TokenSource(Protocol):
    """Where the bearer token comes from.

    Attributes:
        remedy: what a person has to do when the API does not take the token.
    """

    remedy: str

    async def token(self) -> SecretStr:
        """The token to send now."""
        ...

    async def renew(self, refused: SecretStr) -> SecretStr | None:
        """Another token than the one that the API has just refused; None when there is none to be had."""
        ...

    async def moved(self, root: str) -> str | None:
        """The account's address, when it is not `root` any more; None when that is not known."""
        ...


class LongLivedToken:
    """A token that the operator gave; it cannot be refreshed."""

    remedy = "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`."

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    async def token(self) -> SecretStr:
        """The token, as given."""
        return self._token

    async def renew(self, refused: SecretStr) -> SecretStr | None:  # noqa: ARG002 - there is only one
        """There is no other."""
        return None

    async def moved(self, root: str) -> str | None:  # noqa: ARG002 - the operator named it
        """The address is the operator's to know."""
        return None


class Session:
    """The requests of one account.

    Args:
        root: the account's address, such as `https://example.amocrm.ru`.
        sign_in: where the bearer token comes from.
        http: what carries the requests.
        pace: when a request may be sent.
        sleep: waits for seconds.
    """

    def __init__(
        self, root: str, sign_in: TokenSource, http: HttpTransport, pace: RateLimiter, *, sleep: Sleep = anyio.sleep
    ) -> None:
        self.root = root
        self._sign_in = sign_in
        self._http = http
        self._pace = pace
        self._sleep = sleep
        self._limited_until = 0.0

    async def request(
        self, method: str, path: str, *, params: Mapping[str, int] | None = None, body: Any = None
    ) -> Any:
        """Send one request and give the JSON that came back, `None` for an empty answer.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: the path under the root, such as `/api/v4/customers/segments`.
            params: the query.
            body: what to send as JSON.

        Raises:
            Unavailable: no usable answer, and the request cannot have changed anything.
            OutcomeUnknown: a write was sent, and no usable answer came.
            Refused: the API said no; see its subclasses.
        """
        lost: OutcomeUnknown | None = None

        async def attempt(failed: list[AmoError]) -> Any:
            """One attempt; the first, which has failed, is not made twice."""
            nonlocal lost
            if failed:
                raise failed.pop()
            try:
                return await self._once(method, path, params, body)
            except OutcomeUnknown as error:
                # An earlier attempt that may still arrive is not called off by a later one that is surely over.
                error.settled = error.settled and (lost is None or lost.settled)
                lost = error
                raise
            except (Refused, Unavailable) as error:
                if lost is None:
                    raise
                if method == "DELETE" and isinstance(error, NotFound):
                    return None
                raise OutcomeUnknown(lost.reason, settled=lost.settled) from error

        began = time.monotonic()
        try:
            return await attempt([])
        except AmoError as error:
            # Most requests never come here, and need nothing that counts attempts.
            failed = [error]
        return await _trying(method, self._sleep, began + LONGEST_RETRYING)(attempt, failed)

    async def _once(self, method: str, path: str, params: Mapping[str, int] | None, body: Any) -> Any:
        self._not_before_asked()
        token = await self._sign_in.token()
        asked = self.root
        answer = await self._send(token, method, path, params, body)
        if answer.status in _REDIRECTS and (root := await self._sign_in.moved(asked)) is not None:
            self.root = root
            answer = await self._send(token, method, path, params, body)
        if answer.status == 401 and (renewed := await self._sign_in.renew(token)) is not None:  # noqa: PLR2004
            token = renewed
            answer = await self._send(token, method, path, params, body)
        if 200 <= answer.status < 300:  # noqa: PLR2004 - any success will do, the documentation names several
            return _parsed(method, answer)
        error = _refusal(method, answer, token, self._sign_in.remedy)
        if isinstance(error, RateLimited):
            await self._hold(error)
        raise error

    async def _send(
        self, token: SecretStr, method: str, path: str, params: Mapping[str, int] | None, body: Any
    ) -> Answer:
        started = time.monotonic()
        try:
            async with self._pace.queue() as turn:
                answer = await self._http.exchange(
                    method,
                    self.root + path,
                    headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                    params=params,
                    body=body,
                    turn=turn,
                )
        except TransportError as lost:
            if method == "GET" or not lost.sent:
                raise Unavailable(lost.reason, passing=True) from lost
            raise OutcomeUnknown(lost.reason, passing=True, settled=lost.settled) from lost
        took = (time.monotonic() - started) * 1e3
        request_id = answer.headers.get("x-request-id")
        logger.info("%s %s -> %d in %d ms, X-Request-Id %s", method, path, answer.status, took, request_id)
        return answer

    def _not_before_asked(self) -> None:
        """Send nothing while the API has asked for a long silence: breaking it would get the account blocked."""
        left = self._limited_until - time.monotonic()
        if left > 0:
            raise RateLimited(429, retry_after=round(left, 1))

    async def _hold(self, error: RateLimited) -> None:
        wait = _asked(error)
        if wait <= SHORT_WAIT:
            await self._pace.hold(wait)
        else:
            self._limited_until = time.monotonic() + wait


def _trying(method: str, sleep: Sleep, until: float) -> "AsyncRetrying":
    """How a request is tried again, until a moment of the monotonic clock."""
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay
    from tenacity.wait import wait_random_exponential

    backoff = wait_random_exponential(multiplier=0.5, max=8.0)

    def wait(state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        return _asked(error) if isinstance(error, RateLimited) else backoff(state)

    return AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(until - time.monotonic()),
        wait=wait,
        retry=retry_if_exception(lambda error: _worth_repeating(method, error)),
        before_sleep=_say_so,
        reraise=True,
    )


def _worth_repeating(method: str, error: BaseException) -> bool:
    match error:
        case RateLimited():
            return _asked(error) <= SHORT_WAIT
        case Unavailable():
            return error.passing
        case OutcomeUnknown():
            return error.passing and method in _REPEATABLE
        case _:
            return False


def _asked(error: RateLimited) -> float:
    """Seconds to wait before the next try; one, when the API does not say (assumed)."""
    return 1.0 if error.retry_after is None else error.retry_after


async def _say_so(state: "RetryCallState") -> None:
    wait = state.next_action.sleep if state.next_action else 0.0
    logger.info("Trying again in %.1f s", wait)
    await say_wait(wait, "amoCRM, to try again")


def _parsed(method: str, answer: Answer) -> Any:
    if not answer.content.strip():
        if method == "GET" and answer.status != _NO_CONTENT:
            raise Unavailable("answered with nothing")
        return None
    try:
        return parse_json(answer.content)
    except ValueError as error:
        reason = "answered with something that is not JSON"
        raise (Unavailable(reason) if method == "GET" else OutcomeUnknown(reason)) from error


def _refusal(method: str, answer: Answer, token: SecretStr, remedy: str) -> AmoError:
    """The exception for an answer that is no success."""
    status, body = answer.status, answer.problem()
    detail = body.get("detail")
    problems = tuple(_problems(body, token))
    told = (status, _without(token, detail) if isinstance(detail, str) else "", problems)
    match status:
        case 400 if problems and {problem.path for problem in problems} == {"id"}:
            return NotFound(*told)
        case 401:
            return Unauthorized(*told, remedy=remedy)
        case 402:
            return PaymentRequired(*told)
        case 403:
            return Blocked(*told) if answer.is_html else Forbidden(*told)
        case 404:
            return NotFound(*told)
        case 429:
            return RateLimited(*told, retry_after=_retry_after(body, answer.headers))
        case _ if 400 <= status < 500 and status not in _GATEWAY_GAVE_UP:  # noqa: PLR2004 - "your request is wrong"
            return Rejected(*told)
        case _:
            reason, passing = f"answered with the status {status}", status in _PASSING
            if method == "GET":
                return Unavailable(reason, status, passing=passing)
            return OutcomeUnknown(reason, passing=passing, settled=status not in _GATEWAY_GAVE_UP)


def _problems(body: dict[str, Any], token: SecretStr) -> list[Problem]:
    """The entries of `validation-errors`, whatever else is wrong with their shape."""
    groups = body.get("validation-errors")
    found = []
    for group in groups if isinstance(groups, list) else []:
        errors, entry = (group.get("errors"), group.get("request_id")) if isinstance(group, dict) else (None, None)
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                path, detail, code = (_without(token, str(error.get(key) or "")) for key in ("path", "detail", "code"))
                found.append(Problem(path, detail, code, entry if isinstance(entry, str) else ""))
    return found


def _without(token: SecretStr, text: str) -> str:
    """What the API said, without our token, should it have said that."""
    return text.replace(token.get_secret_value(), "…")


def _retry_after(body: dict[str, Any], headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry_after` of the body (documented), else a `Retry-After` header in seconds (assumed)."""
    for value in (body.get("retry_after"), headers.get("retry-after")):
        try:
            seconds = float(str(value))
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None
