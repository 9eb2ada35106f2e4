"""What a replica tells whoever operates it: that it runs, whether it can do anything, and its figures."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from amo_mcp import __version__
from amo_mcp.accounts.cache import ReadCache
from amo_mcp.changes.journal import StorageUnavailable

PING_SECONDS = 1.0
"""Seconds for which the database is believed to be there: whoever asks costs it no more than that."""

Ready = Callable[[], Awaitable[str]]
"""Why nothing can be done at this replica now; empty when something can."""


class Readiness:
    """Whether a replica can do anything now.

    Args:
        ping: asks the database for nothing.
        is_ending: whether the replica takes no new request any more.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[object]],
        is_ending: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ping = ping
        self._is_ending = is_ending
        self._pings = ReadCache(clock, PING_SECONDS)

    async def __call__(self) -> str:
        """Why nothing can be done now; empty when something can."""
        if self._is_ending():
            return "the replica is ending"
        try:
            await self._pings.get("database", self._ping)
        except StorageUnavailable:
            return "the database cannot be used"
        return ""


async def health(path: str, ready: Ready) -> Response:
    """The answer at /healthz and /readyz; 404 at any other path."""
    if path == "/healthz":
        return JSONResponse({"status": "ok", "server": "amo-mcp", "version": __version__})
    if path == "/readyz":
        reason = await ready()
        answer = {"status": "unavailable", "reason": reason} if reason else {"status": "ok"}
        return JSONResponse(answer, HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK)
    return Response(status_code=HTTPStatus.NOT_FOUND)


class Operations:
    """The ASGI application that is for the operator alone, at an address of its own.

    Args:
        ready: for /readyz.
        figures: what is at /metrics, in the form of Prometheus; None where nothing is kept.
    """

    def __init__(self, ready: Ready, figures: Callable[[], Awaitable[bytes]] | None) -> None:
        self._ready = ready
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["path"] == "/metrics" and self._figures is not None:
            answer = Response(await self._figures(), media_type="text/plain; version=0.0.4; charset=utf-8")
        else:
            answer = await health(scope["path"], self._ready)
        await answer(scope, receive, send)
