"""`/_sandbox/`: lets a test in another process set faults, change the mode, sign in and read the state."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.sandbox.account import Account, Mode
from amo_mcp.sandbox.api.access import require_admin
from amo_mcp.sandbox.api.problems import ProblemError
from amo_mcp.sandbox.documents import read
from amo_mcp.sandbox.faults import recording
from amo_mcp.sandbox.faults.faults import Fault, Faults
from amo_mcp.sandbox.faults.pace import Pace
from amo_mcp.sandbox.oauth.oauth import ACCESS_LIFETIME, OAuth

_T = TypeVar("_T")


class _ModeBody(BaseModel, strict=True):
    mode: Mode


class _OAuthBody(BaseModel, strict=True, extra="forbid"):
    access_lifetime: Annotated[float, Field(gt=0, allow_inf_nan=False)] = ACCESS_LIFETIME
    moved_to: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")] | None = None


class _TokensBody(BaseModel, strict=True):
    expired: bool = False


@dataclass(eq=False)
class Control:
    """The sandbox's own endpoints, for the admin token only; no fault reaches them.

    `changed` is called after every change of the account or of its sign-in, before the response.
    """

    account: Account
    faults: Faults
    requests: list[recording.Request]
    oauth: OAuth
    pace: Pace
    changed: Callable[[], None]

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
        self.faults.add(await _admin_body(request, Fault))
        return _nothing()

    async def clear_faults(self, request: Request) -> Response:
        """Remove every fault."""
        require_admin(request)
        self.faults.clear()
        return _nothing()

    async def list_requests(self, request: Request) -> Response:
        """Every request recorded, as a JSON array."""
        require_admin(request)
        return JSONResponse([asdict(record) for record in self.requests])

    async def clear_requests(self, request: Request) -> Response:
        """Remove every request recorded."""
        require_admin(request)
        self.requests.clear()
        return _nothing()

    async def get_state(self, request: Request) -> Response:
        """The whole account."""
        require_admin(request)
        return JSONResponse(self.account.document())

    async def set_mode(self, request: Request) -> Response:
        """Switch the mode of the customers."""
        self.account.mode = (await _admin_body(request, _ModeBody)).mode
        self.changed()
        return JSONResponse({"mode": self.account.mode})

    async def get_oauth(self, request: Request) -> Response:
        """How many refreshes there were, and how many refresh tokens are live."""
        require_admin(request)
        counts = {"refreshes": self.oauth.refreshes, "live_refresh_tokens": self.oauth.live_refresh_tokens}
        return JSONResponse(counts)

    async def set_oauth(self, request: Request) -> Response:
        """Set how long access tokens live, or where the account has moved to, or both; the response has both."""
        settings = await _admin_body(request, _OAuthBody)
        if not settings.model_fields_set:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "an object with access_lifetime, moved_to or both is needed")
        for name in settings.model_fields_set:
            setattr(self.oauth, name, getattr(settings, name))
        self.changed()
        return JSONResponse({"access_lifetime": self.oauth.access_lifetime, "moved_to": self.oauth.moved_to})

    async def issue_tokens(self, request: Request) -> Response:
        """A new pair of tokens; an empty body asks for one that is not expired."""
        expired = (await _admin_body(request, _TokensBody, default=b"{}")).expired
        access, refresh = self.oauth.issue_tokens(expired=expired, host=request.url.netloc)
        return JSONResponse({"access_token": access, "refresh_token": refresh})

    async def issue_code(self, request: Request) -> Response:
        """A new authorization code."""
        require_admin(request)
        return JSONResponse({"code": self.oauth.issue_code()})

    async def get_pace(self, request: Request) -> Response:
        """The most requests to the API in one second, and how many were above the limit."""
        require_admin(request)
        return JSONResponse({"busiest_second": self.pace.busiest_second(), "over_limit": self.pace.over_limit})


async def _admin_body(request: Request, shape: type[_T], default: bytes = b"") -> _T:
    """The body of an administrator's request; `default` stands for an empty body.

    Raises:
        ProblemError: 400 when it is not JSON of that shape, 401 or 403 without the admin token.
    """
    require_admin(request)
    try:
        return read(shape, await request.body() or default)
    except ValueError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error


def _nothing() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)
