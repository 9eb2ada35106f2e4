"""The sandbox itself: one account, its API and sign-in, and the faults that a test can cause."""

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from amo_mcp.sandbox import shop
from amo_mcp.sandbox.account import check_mode
from amo_mcp.sandbox.api.problems import ProblemError, not_found
from amo_mcp.sandbox.api.routes import Api
from amo_mcp.sandbox.faults.control import Control
from amo_mcp.sandbox.faults.faults import Faults
from amo_mcp.sandbox.faults.interference import interfere
from amo_mcp.sandbox.faults.recording import Recording
from amo_mcp.sandbox.oauth.oauth import OAuth, OAuthState
from amo_mcp.sandbox.oauth.sign_in import SignIn, relocate
from amo_mcp.sandbox.state_file import StateFile
from amo_mcp.sandbox.unknowns import Unknowns


class Sandbox:
    """A local amoCRM sandbox.

    With a `state_file` that exists, everything comes from it, the mode included, and `mode` and `empty` are ignored;
    otherwise the account starts as the example shop, or with system statuses only when `empty`.

    With a `rate_limit`, a request under `/api/` that arrives when there were that many in the last second is refused
    with 429; refused ones count too.

    Attributes:
        app: the ASGI application.
        account: the account's state, free to be read and changed; a change made by hand is written to the
            `state_file` only together with the next change made through the API.
        faults: what goes wrong next.
        unknowns: how it reads what the reference leaves open.
        oauth: the integration's sign-in: its codes and tokens.
        requests: the last 2,000 requests received under `/api/` and `/oauth2/`, in order.

    Raises:
        ValueError: `mode` is not one of "segments", "periodicity", "disabled", "unavailable" and "dynamic", the
            `rate_limit` is less than 1, or the `state_file` does not hold a sandbox's state.
        OSError: the `state_file` can be neither read nor written.
    """

    def __init__(
        self,
        *,
        mode: str = "segments",
        state_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        empty: bool = False,
        rate_limit: int | None = None,
    ) -> None:
        check_mode(mode)
        self._file = StateFile(state_file) if state_file else None
        kept = self._file.load() if self._file else None
        self.account, signed_in = kept or (shop.account(mode, empty=empty), OAuthState())
        self.oauth = OAuth(self.account, signed_in, clock, self._save)
        self.faults = Faults()
        self.unknowns = Unknowns()
        self._recording = Recording(rate_limit)
        self.requests = self._recording.requests
        if kept is None:
            self._save()
        routed = partial(relocate, self._routed(clock), self.oauth)
        self.app = self._recording.around(partial(interfere, routed, self.faults))

    @property
    def over_limit(self) -> int:
        """How many requests were refused for the `rate_limit`."""
        return self._recording.over_limit

    def busiest_second(self) -> int:
        """The largest number of `requests` under `/api/` that arrived within one second, wherever it begins."""
        return self._recording.busiest_second()

    def _routed(self, clock: Callable[[], float]) -> ASGIApp:
        api = Api(self.account, clock, self._save, self.oauth.granted_by, self.unknowns)
        sign_in = SignIn(self.account, self.oauth, clock)
        control = Control(self.account, self.faults, self._recording, self.oauth, self.unknowns, self._save)
        routed = Starlette(
            routes=[*api.routes(), *sign_in.routes(), *control.routes()],
            exception_handlers={ProblemError: _refuse, HTTPException: _no_route},
        )
        routed.router.redirect_slashes = False
        return routed

    def _save(self) -> None:
        if self._file:
            self._file.save(self.account, self.oauth.state())


# Starlette types every handler for any exception.
async def _refuse(_request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _no_route(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Response(status_code=error.status_code, headers=error.headers)
    if request.url.path.startswith("/api/"):
        return not_found(request.method, str(request.url)).response()
    return HTMLResponse("<h1>404 Not Found</h1>", status_code=HTTPStatus.NOT_FOUND)
