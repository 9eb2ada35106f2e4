"""What every request to a team's server comes to first: by which name it is called, from which page, and by whom.

By another name than `AMO_PUBLIC_URL` has it answers nothing, whatever is asked for. A page in a browser is let in when
its origin is the server's own, an address of the browser's own machine (tools of developers, such as the Inspector), or
one that the operator has named. A page gains little by that: no cookie counts at /mcp, so that it can do what the token
allows that a person has given it, and nothing else.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.language import Language
from amo_mcp.team.authorization.app import AuthorizationServer
from amo_mcp.team.operations import Ready, health
from amo_mcp.team.people import READ, SCOPES, Token
from amo_mcp.team.sign_in import SignIn
from amo_mcp.team.signed_in import AsPerson
from amo_mcp.team.site import Site
from amo_mcp.team.step_up import StepUp
from amo_mcp.tools.runtime.catalog import catalog
from amo_mcp.transports.http import LOOPBACK_HOSTS, PATH

_PREFLIGHT_SECONDS = 600

_SCHEME = "bearer "
_SIGN_IN = "Clients that know OAuth let their person sign in with amoCRM."
_HINT = "Whoever runs this server makes one: `amo-mcp team token`."


def security_of(public_url: str, origins: Iterable[str]) -> TransportSecuritySettings:
    """By which name a server may be called, and from the pages of which origins.

    Args:
        public_url: the server's address, without a path.
        origins: what the operator has named.
    """
    scheme, _, host = public_url.partition("://")
    hosts = [host, f"{host}:{443 if scheme == 'https' else 80}"]
    loopback = [f"http://{name}{port}" for name in LOOPBACK_HOSTS for port in ("", ":*")]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[public_url, *origins, *loopback])


class Gate:
    """The ASGI application in front of the one that speaks MCP.

    Args:
        app: speaks MCP, at /mcp.
        sign_in: knows people by their tokens.
        security: from `security_of`.
        ready: for /readyz.
        authorization: signs people in with amoCRM; None where personal tokens are all that there is.
        pages: what browsers are shown.
        language: in which, whatever they ask for.
    """

    def __init__(
        self,
        app: ASGIApp,
        sign_in: SignIn,
        security: TransportSecuritySettings,
        ready: Ready,
        authorization: AuthorizationServer | None = None,
        pages: Sequence[BaseRoute] = (),
        language: Language | None = None,
    ) -> None:
        self._app = app
        self._as_person = AsPerson(app)
        self._sign_in = sign_in
        self._refusal = TransportSecurityMiddleware(security).validate_request
        self._ready = ready
        self._step_up = StepUp(catalog())
        self._authorization = authorization
        self._site = Site([*(authorization.routes if authorization else ()), *pages], language)
        self._public_url = security.allowed_origins[0]
        # Which origins may come was looked at before.
        self._mcp = CORSMiddleware(
            self._signed_in,
            allow_origin_regex=".*",
            allow_methods=["POST"],
            allow_headers=["*"],
            expose_headers=["WWW-Authenticate"],
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        answer: ASGIApp = self._app
        if scope["type"] == "http":
            scope = {**scope, "headers": [_in_lower_case(*header) for header in scope["headers"]]}
            refusal = await self._refusal(Request(scope))
            answer = refusal or await self._at(scope)
        await answer(scope, receive, send)

    async def _at(self, scope: Scope) -> ASGIApp:
        if scope["path"] == PATH:
            return self._mcp
        if self._site.has(scope):
            return self._site
        return await health(scope["path"], self._ready)

    async def _signed_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as whoever sends it."""
        presented = Headers(scope=scope).getlist("authorization")
        if len(presented) != 1 or not presented[0].lower().startswith(_SCHEME):
            await self._unauthorized("A token is needed: `Authorization: Bearer …`.")(scope, receive, send)
            return
        try:
            token = await self._sign_in.token(presented[0][len(_SCHEME) :].strip())
        except StorageUnavailable:
            # As nobody: what can be answered then is that nothing can be done now.
            await self._app(scope, receive, send)
        else:
            if token is None or token.resource not in (None, self._public_url + PATH):
                refused = self._unauthorized("The token is unknown, expired or revoked.", "invalid_token")
                await refused(scope, receive, send)
            else:
                await self._served(token, scope, receive, send)

    async def _served(self, token: Token, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            needs_more, receive = await self._step_up.looked_at(token, receive)
        except TimeoutError:
            await Response(status_code=HTTPStatus.REQUEST_TIMEOUT)(scope, receive, send)
            return
        if needs_more:
            if self._authorization:
                with suppress(StorageUnavailable):
                    await self._authorization.tell_to_ask(token.id)
            said = {"error": "insufficient_scope", "error_description": "The client was allowed to read only."}
            challenge = self._challenge(**said, scope=" ".join(SCOPES))
            await JSONResponse(said, HTTPStatus.FORBIDDEN, challenge)(scope, receive, send)
        else:
            await self._sign_in.while_good(token, self._as_person, scope, receive, send)

    def _unauthorized(self, what: str, error: str = "") -> Response:
        """Who sends the request is not known (RFC 6750, section 3)."""
        hint = _SIGN_IN if self._authorization else _HINT
        answer = {"error_description": f"{what} {hint}"} | ({"error": error} if error else {})
        said = {"error": error, "error_description": what} if error else {}
        return JSONResponse(answer, HTTPStatus.UNAUTHORIZED, self._challenge(**said, scope=READ))

    def _challenge(self, scope: str, **said: str) -> dict[str, str]:
        parts = ['realm="amo-mcp"', *(f'{name}="{value}"' for name, value in said.items())]
        if self._authorization:
            parts += [f'scope="{scope}"', self._authorization.challenge]
        return {"www-authenticate": f"Bearer {', '.join(parts)}"}


def _in_lower_case(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header of a request; the name of a host is the same in any case (RFC 9110, section 4.2.3)."""
    return name, value.lower() if name == b"host" else value
