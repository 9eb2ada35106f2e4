"""Knowing people by the token of each request: looked up anew, so that a revoked one is refused at once.

A token is too long to be guessed, and a wrong one costs the database a look. So few are looked up at a time, but for
those that were good here before: who floods the server with guesses makes others wait their turn, and locks nobody out.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http import HTTPStatus

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.team.people import PeopleStore, Token, digest_of, look_up

MAX_LOOKS = 4
"""Tokens that one replica looks up at a time, of those that were not good here before."""

MAX_KNOWN = 5000
"""Tokens that were good here and are remembered, by their digests."""

RECHECK_SECONDS = 5.0
"""Seconds between two looks at the tokens of requests that are open: a stream may last for days."""

_MINUTE = 60.0


class SignIn:
    """Knows people by their tokens.

    Args:
        store: keeps the tokens.
        clock: gives monotonic seconds.
    """

    def __init__(self, store: PeopleStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._looks = anyio.Semaphore(MAX_LOOKS)
        self._noted: OrderedDict[bytes, float] = OrderedDict()
        self._open: dict[anyio.CancelScope, str] = {}

    async def token(self, presented: str) -> Token | None:
        """What is known of a token that somebody presents; None when it is no good.

        Raises:
            StorageUnavailable: it cannot be looked up now.
        """
        digest, now = digest_of(presented), self._clock()
        async with nullcontext() if digest in self._noted else self._looks:
            token = await look_up(self._store, presented)
        if token is None:
            self._noted.pop(digest, None)
        elif now >= self._noted.get(digest, -math.inf) + _MINUTE:
            await self._store.note_use(token.id)
            self._noted[digest] = now
            if len(self._noted) > MAX_KNOWN:
                self._noted.popitem(last=False)
        return token

    async def while_good(
        self,
        token: Token,
        app: Callable[[Token, Scope, Receive, Send], Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve a request, which ends when its token comes to be no good any more."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with anyio.CancelScope() as request, self._listed(request, token.id):
            await app(token, scope, receive, watched)
        if request.cancelled_caught and started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif request.cancelled_caught:
            await Response(status_code=HTTPStatus.UNAUTHORIZED)(scope, receive, send)

    async def watch(self) -> None:
        """End the requests whose tokens are no good any more, until this is cancelled."""
        while True:
            await anyio.sleep(RECHECK_SECONDS)
            with suppress(StorageUnavailable):
                await self.recheck()

    async def recheck(self) -> None:
        """End the requests whose tokens are no good any more."""
        for token_id in {*self._open.values()}:
            if await self._store.good_token(token_id) is None:
                for request, used in self._open.items():
                    if used == token_id:
                        request.cancel()

    @contextmanager
    def _listed(self, request: anyio.CancelScope, token_id: str) -> Iterator[None]:
        self._open[request] = token_id
        try:
            yield
        finally:
            del self._open[request]
