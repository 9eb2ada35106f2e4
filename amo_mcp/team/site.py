"""What a team's server has for browsers, and for clients that sign in: everything but /mcp."""

import math
from collections.abc import Sequence
from http import HTTPStatus

import anyio
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.language import Language, message
from amo_mcp.team.page import notice

MAX_BYTES = 64 * 1024
"""Bytes of a request's body."""

MAX_QUERY = 8 * 1024
"""Bytes of what stands after the `?` in an address: what a client says there is kept until its person has answered."""

SECONDS = 20.0
"""Seconds from a request to the beginning of its answer."""

_AWAY = {"error": "temporarily_unavailable", "error_description": "the server's database cannot be used now"}
_AWAY_HEADING = message("The server cannot do this now")
_AWAY_TEXT = message("Try again in a minute.")


class Site:
    """The ASGI application of some routes.

    Args:
        language: of its pages, whatever a browser asks for; None for what that does.
    """

    def __init__(self, routes: Sequence[BaseRoute], language: Language | None = None) -> None:
        self._routes = routes
        self._state = {"language": language}
        self._app = RequestBodyLimitMiddleware(Router(routes, redirect_slashes=False), MAX_BYTES)

    def has(self, scope: Scope) -> bool:
        """Whether the path of a request is one of its own."""
        return any(route.matches(scope)[0] is not Match.NONE for route in self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        scope = {**scope, "state": {**scope.get("state", {}), **self._state}}
        if len(scope["query_string"]) > MAX_QUERY:
            await Response(status_code=HTTPStatus.REQUEST_URI_TOO_LONG)(scope, receive, send)
            return
        try:
            with anyio.fail_after(SECONDS) as limit:

                async def begun(message: Message) -> None:
                    limit.deadline = math.inf
                    await send(message)

                await self._app(scope, receive, begun)
        except ClientDisconnect:
            return
        except MultiPartException:
            await Response(status_code=HTTPStatus.BAD_REQUEST)(scope, receive, send)
        except TimeoutError:
            await Response(status_code=HTTPStatus.REQUEST_TIMEOUT)(scope, receive, send)
        except StorageUnavailable:
            await _away(Request(scope))(scope, receive, send)


def _away(request: Request) -> Response:
    """A page for a person; a program, whose requests ask for no page, is told as OAuth does."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(_AWAY, HTTPStatus.SERVICE_UNAVAILABLE)
    return notice(request, _AWAY_HEADING, _AWAY_TEXT, HTTPStatus.SERVICE_UNAVAILABLE)
