"""`/_sandbox/`: lets a test in another process set faults, change the mode, sign in and look inside."""

import re
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.sandbox.account import MODES, Account
from amo_mcp.sandbox.api import body
from amo_mcp.sandbox.api.access import require_admin
from amo_mcp.sandbox.api.problems import ProblemError
from amo_mcp.sandbox.faults import recording
from amo_mcp.sandbox.faults.faults import Fault, Faults
from amo_mcp.sandbox.faults.pace import Pace
from amo_mcp.sandbox.oauth.oauth import OAuth

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


class Control:
    """The sandbox's own endpoints, for the admin token only; no fault reaches them."""

    def __init__(
        self,
        account: Account,
        faults: Faults,
        requests: list[recording.Request],
        oauth: OAuth,
        pace: Pace,
        changed: Callable[[], None],
    ) -> None:
        self._account = account
        self._faults = faults
        self._requests = requests
        self._oauth = oauth
        self._pace = pace
        self._changed = changed

    def routes(self) -> list[Route]:
        """The routes, each with its one method."""
        return [
            Route("/_sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/_sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/_sandbox/requests", self.list_requests, methods=["GET"]),
            Route("/_sandbox/requests", self.clear_requests, methods=["DELETE"]),
            Route("/_sandbox/state", self.get_state, methods=["GET"]),
            Route("/_sandbox/mode", self.set_mode, methods=["PUT"]),
            Route("/_sandbox/oauth", self.get_oauth, methods=["GET"]),
            Route("/_sandbox/oauth", self.set_oauth, methods=["PUT"]),
            Route("/_sandbox/oauth/tokens", self.issue_tokens, methods=["POST"]),
            Route("/_sandbox/oauth/codes", self.issue_code, methods=["POST"]),
            Route("/_sandbox/pace", self.get_pace, methods=["GET"]),
        ]

    async def add_fault(self, request: Request) -> Response:
        """Add the fault that the body describes."""
        require_admin(request)
        try:
            fault = Fault.read(await _data(request))
        except ValueError as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error
        self._faults.add(fault)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def clear_faults(self, request: Request) -> Response:
        """Forget every fault."""
        require_admin(request)
        self._faults.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def list_requests(self, request: Request) -> Response:
        """Every request recorded, as a JSON array."""
        require_admin(request)
        return JSONResponse([asdict(record) for record in self._requests])

    async def clear_requests(self, request: Request) -> Response:
        """Forget every request recorded."""
        require_admin(request)
        self._requests.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def get_state(self, request: Request) -> Response:
        """The whole account."""
        require_admin(request)
        return JSONResponse(self._account.document())

    async def set_mode(self, request: Request) -> Response:
        """Switch the mode of the customers."""
        require_admin(request)
        data = await _data(request)
        mode = data.get("mode") if isinstance(data, dict) else None
        if mode not in MODES:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"mode must be one of {', '.join(MODES)}")
        self._account.mode = mode
        self._changed()
        return JSONResponse({"mode": mode})

    async def get_oauth(self, request: Request) -> Response:
        """How many refreshes there were, and how many refresh tokens live."""
        require_admin(request)
        counts = {"refreshes": self._oauth.refreshes, "live_refresh_tokens": self._oauth.live_refresh_tokens}
        return JSONResponse(counts)

    async def set_oauth(self, request: Request) -> Response:
        """Set how long access tokens live, or where the account has moved to, or both; the answer has both."""
        require_admin(request)
        data = await _data(request)
        if not isinstance(data, dict) or not data or set(data) - {"access_lifetime", "moved_to"}:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "an object with access_lifetime, moved_to or both is needed")
        lifetime = data.get("access_lifetime", self._oauth.access_lifetime)
        moved_to = data.get("moved_to", self._oauth.moved_to)
        if type(lifetime) not in (int, float) or lifetime <= 0:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "access_lifetime must be a positive number of seconds")
        if moved_to is not None and not (isinstance(moved_to, str) and _HOST.fullmatch(moved_to)):
            raise ProblemError(HTTPStatus.BAD_REQUEST, "moved_to must be a host or null")
        self._oauth.access_lifetime, self._oauth.moved_to = lifetime, moved_to
        self._changed()
        return JSONResponse({"access_lifetime": lifetime, "moved_to": moved_to})

    async def issue_tokens(self, request: Request) -> Response:
        """A new pair of tokens; an empty body asks for one that is not expired."""
        require_admin(request)
        data = await _data(request) if await request.body() else {}
        expired = data.get("expired", False) if isinstance(data, dict) else None
        if not isinstance(expired, bool):
            raise ProblemError(HTTPStatus.BAD_REQUEST, "expired must be true or false")
        access, refresh = self._oauth.issue_tokens(expired=expired, host=request.url.netloc)
        return JSONResponse({"access_token": access, "refresh_token": refresh})

    async def issue_code(self, request: Request) -> Response:
        """A new authorization code."""
        require_admin(request)
        return JSONResponse({"code": self._oauth.issue_code()})

    async def get_pace(self, request: Request) -> Response:
        """How fast the API was asked at most, and how often too fast."""
        require_admin(request)
        return JSONResponse({"busiest_second": self._pace.busiest_second(), "over_limit": self._pace.over_limit})


async def _data(request: Request) -> Any:
    try:
        return body.parse(await request.body())
    except ValueError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
