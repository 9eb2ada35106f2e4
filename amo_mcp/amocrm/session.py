"""One request, well done: signed in, in its slot, tried again where that is safe; its response is data or an exception.

The token goes to the configured host alone or, after the account was renamed, to its new address: a redirect, a 401 or
a web router's 404 is how the old one may answer, and then the sign-in is asked where the account is. Both addresses
must be under amocrm.ru, amocrm.com or kommo.com, or be named in `AMO_ALLOWED_HOSTS`. The absolute `_links` of responses
are never followed.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import anyio
from pydantic import SecretStr

from amo_mcp.amocrm.errors import AmoError, NotFound, OutcomeUnknown, RateLimited, Refused, Unavailable
from amo_mcp.amocrm.http import HttpTransport, Response, TransportError
from amo_mcp.amocrm.ratelimit import OnWait, RateLimiter
from amo_mcp.amocrm.responses import data_of, error_of, may_have_moved
from amo_mcp.amocrm.retrying import MAX_RETRYING, Sleep, is_worth_repeating, retrying, wait_asked_for
from amo_mcp.amocrm.round_trip import RoundTrip
from amo_mcp.amocrm.tokens import TokenSource
from amo_mcp.logs import on_one_line

logger = logging.getLogger(__name__)

_MAX_REQUEST_ID = 80
"""Characters of amoCRM's id of a request that are kept; that it is in the header X-Request-Id is assumed."""


class Hooks(NamedTuple):
    """What a caller wants to be asked or told in the course of a request.

    Attributes:
        on_wait: called when the request has to wait.
        before_retry: called before the request is sent again; what it raises ends the trying. While an attempt may
            have been made, that is `OutcomeUnknown` to the caller.
        before_sending: called right before each sending of what writes, in its slot, with the seconds within which it
            is answered or given up; what it raises keeps it from being sent.
        on_answer: called with amoCRM's id of a request that writes, when it was answered.
    """

    on_wait: OnWait | None = None
    before_retry: Callable[[], Awaitable[None]] | None = None
    before_sending: Callable[[float], Awaitable[None]] | None = None
    on_answer: Callable[[str], None] | None = None


NO_HOOKS = Hooks()


@dataclass
class _Request:
    """What is asked for; the same in every attempt.

    Attributes:
        lost: an attempt whose answer was lost: it may still arrive, whatever the answer to the next one.
    """

    method: str
    path: str
    params: Mapping[str, int | str] | None
    body: Any
    hooks: Hooks
    lost: OutcomeUnknown | None = None


class _Exchanged(NamedTuple):
    """A response, and what the request was sent with."""

    response: Response
    token: SecretStr
    base_url: str


class Session:
    """The requests of one account, whose address is `base_url`, such as `https://example.amocrm.ru`.

    `clock` gives monotonic seconds.

    Attributes:
        base_url: the account's address, which changes when it turns out to have been renamed.
    """

    def __init__(
        self,
        base_url: str,
        tokens: TokenSource,
        http: HttpTransport,
        limiter: RateLimiter,
        *,
        sleep: Sleep = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url
        self._tokens = tokens
        self._http = http
        self._limiter = limiter
        self._sleep = sleep
        self._clock = clock
        self._round_trip = RoundTrip(clock)

    @property
    def round_trip(self) -> float:
        """Seconds from the sending of a request to the beginning of its answer, of the recent ones; 0 without any."""
        return self._round_trip.seconds

    def prepare(self) -> None:
        """Load what the first request needs."""
        self._http.prepare()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, int | str] | None = None,
        body: Any = None,
        hooks: Hooks = NO_HOOKS,
    ) -> Any:
        """Send one request and give the JSON that came back, None for an empty response.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: the path under the base URL, such as `/api/v4/customers/segments`.
            params: the query.
            body: what to send as JSON.
            hooks: what is called meanwhile.

        Raises:
            Unavailable: no usable answer, and the request cannot have changed anything.
            OutcomeUnknown: a write was sent, and no usable answer came.
            Refused: the API said no; see its subclasses.
        """
        request = _Request(method, path, params, body, hooks)
        until = self._clock() + MAX_RETRYING
        try:
            return await self._attempt(request)
        except AmoError as error:
            if not is_worth_repeating(method, error):
                raise
            failed = [error]

        async def attempt() -> Any:
            # The first attempt is the one above: most requests need nothing that counts attempts.
            if failed:
                raise failed.pop()
            await _check_before_retry(request)
            return await self._attempt(request)

        again = retrying(method, hooks.on_wait, until=until, sleep=self._sleep, clock=self._clock)
        return await again(attempt)

    async def _attempt(self, request: _Request) -> Any:
        """Make one more attempt.

        Raises:
            OutcomeUnknown: this attempt was lost; or an earlier one was, and this one was refused.
            Unavailable: this attempt changed nothing, and none was lost before.
            Refused: the same.
        """
        lost = request.lost
        try:
            return await self._data(request)
        except OutcomeUnknown as error:
            if lost is None:
                request.lost = error
                raise
            request.lost = error.after(lost)
            raise request.lost from error
        except (Refused, Unavailable) as error:
            if lost is None:
                raise
            if request.method == "DELETE" and isinstance(error, NotFound):
                return None
            raise OutcomeUnknown(lost.reason, settled=lost.settled, hint=lost.hint) from error

    async def _data(self, request: _Request) -> Any:
        exchanged = await self._exchange_signed_in(request)
        if may_have_moved(exchanged.response):
            relocated = await self._tokens.relocated_to(exchanged.base_url)
            if relocated is not None:
                self.base_url = relocated
                exchanged = await self._exchange_signed_in(request)
        if exchanged.response.is_success:
            return data_of(request.method, exchanged.response)
        error = error_of(request.method, exchanged.response, exchanged.token, self._tokens.hint)
        if isinstance(error, RateLimited):
            await self._limiter.pause(wait_asked_for(error))
        raise error

    async def _exchange_signed_in(self, request: _Request) -> _Exchanged:
        """Send the request, and once more with another token when the first is refused."""
        exchanged = await self._exchange(request)
        if exchanged.response.status != HTTPStatus.UNAUTHORIZED:
            return exchanged
        refreshed = await self._tokens.refresh(exchanged.token)
        return exchanged if refreshed is None else await self._exchange(request, refreshed)

    async def _exchange(self, request: _Request, token: SecretStr | None = None) -> _Exchanged:
        """Send the request once, in its slot; in a long pause not even a token is refreshed, nor anything else sent."""
        method, path = request.method, request.path
        started = self._clock()
        try:
            async with self._limiter.reserve(request.hooks.on_wait) as slot:
                token = token or await self._tokens.token()
                self.base_url = base_url = self._tokens.base_url or self.base_url
                slot = self._round_trip.timed(slot)
                if method != "GET" and request.hooks.before_sending is not None:
                    slot = slot.then(partial(request.hooks.before_sending, self._http.timeout))
                response = await self._http.send(
                    method,
                    base_url + path,
                    headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                    params=request.params,
                    body=request.body,
                    slot=slot,
                )
        except TransportError as lost:
            if method == "GET" or not lost.sent:
                raise Unavailable(lost.reason, transient=True) from lost
            raise OutcomeUnknown(lost.reason, transient=True, settled=lost.settled) from lost
        took, request_id = (self._clock() - started) * 1e3, response.headers.get("x-request-id")
        logger.info("%s %s -> %d in %d ms, X-Request-Id %s", method, path, response.status, took, request_id)
        if method != "GET" and request.hooks.on_answer is not None and request_id:
            request.hooks.on_answer(on_one_line(request_id, _MAX_REQUEST_ID))
        return _Exchanged(response, token, base_url)


async def _check_before_retry(request: _Request) -> None:
    if request.hooks.before_retry is None:
        return
    try:
        await request.hooks.before_retry()
    except Exception as error:
        if (lost := request.lost) is not None:
            raise OutcomeUnknown(lost.reason, settled=lost.settled, hint=lost.hint) from error
        raise
