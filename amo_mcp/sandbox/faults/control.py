"""`/_sandbox/`: lets a test in another process set faults, change the mode, sign in and read the state."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.sandbox.account import Account, JsonObject, Mode
from amo_mcp.sandbox.api.access import user_id
from amo_mcp.sandbox.api.problems import ProblemError
from amo_mcp.sandbox.documents import read
from amo_mcp.sandbox.faults.faults import Fault, Faults
from amo_mcp.sandbox.faults.recording import Recording
from amo_mcp.sandbox.oauth.oauth import ACCESS_LIFETIME, OAuth
from amo_mcp.sandbox.unknowns import Unknowns

_T = TypeVar("_T")


class _ModeBody(BaseModel, strict=True):
    mode: Mode


class _OAuthBody(BaseModel, strict=True, extra="forbid"):
    access_lifetime: Annotated[float, Field(gt=0, allow_inf_nan=False)] = ACCESS_LIFETIME
    moved_to: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")] | None = None
    redirect_uri: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] = ""


class _TokensBody(BaseModel, strict=True):
    expired: bool = False


class _RemovedBody(BaseModel, strict=True):
    removed: list[int]


_Endpoint = Callable[[Request], Awaitable[JsonObject | list[JsonObject] | None]]


@dataclass(eq=False)
class Control:
    """The sandbox's own endpoints, for the admin token only; no fault reaches them.

    `changed` is called after every change of the account or of its sign-in, before the response.
    """

    account: Account
    faults: Faults
    recording: Recording
    oauth: OAuth
    unknowns: Unknowns
    changed: Callable[[], None]

    def routes(self) -> list[Route]:
        """The routes, each with its one method."""
        return [
            self._route("POST", "faults", self._add_fault),
            self._route("DELETE", "faults", self._clear_faults),
            self._route("GET", "requests", self._list_requests),
            self._route("DELETE", "requests", self._clear_requests),
            self._route("GET", "state", self._get_state),
            self._route("PUT", "mode", self._set_mode),
            self._route("PUT", "unknowns", self._set_unknowns),
            self._route("GET", "oauth", self._count_tokens),
            self._route("PUT", "oauth", self._set_oauth),
            self._route("POST", "oauth/tokens", self._issue_tokens),
            self._route("POST", "oauth/codes", self._issue_code),
            self._route("POST", "oauth/disconnect", self._disconnect),
            self._route("PUT", "users", self._remove_users),
            self._route("GET", "pace", self._get_pace),
        ]

    async def _add_fault(self, request: Request) -> None:
        self.faults.add(await _body(request, Fault))

    async def _clear_faults(self, _request: Request) -> None:
        self.faults.clear()

    async def _list_requests(self, _request: Request) -> list[JsonObject]:
        return [asdict(record) for record in self.recording.requests]

    async def _clear_requests(self, _request: Request) -> None:
        self.recording.requests.clear()

    async def _get_state(self, _request: Request) -> JsonObject:
        return self.account.document()

    async def _set_mode(self, request: Request) -> JsonObject:
        self.account.mode = (await _body(request, _ModeBody)).mode
        self.changed()
        return {"mode": self.account.mode}

    async def _set_unknowns(self, request: Request) -> JsonObject:
        """Set every switch: one that is not given is as at the start."""
        vars(self.unknowns).update(vars(await _body(request, Unknowns)))
        return asdict(self.unknowns)

    async def _count_tokens(self, _request: Request) -> JsonObject:
        return {"refreshes": self.oauth.refreshes, "live_refresh_tokens": self.oauth.live_refresh_tokens}

    async def _set_oauth(self, request: Request) -> JsonObject:
        settings = await _body(request, _OAuthBody)
        if not settings.model_fields_set:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "an object with access_lifetime, moved_to or redirect_uri is needed"
            )
        for name in settings.model_fields_set:
            setattr(self.oauth, name, getattr(settings, name))
        self.changed()
        return {name: getattr(self.oauth, name) for name in _OAuthBody.model_fields}

    async def _issue_tokens(self, request: Request) -> JsonObject:
        expired = (await _body(request, _TokensBody, default=b"{}")).expired
        access, refresh = self.oauth.issue_tokens(expired=expired, host=request.url.netloc)
        return {"access_token": access, "refresh_token": refresh}

    async def _issue_code(self, _request: Request) -> JsonObject:
        return {"code": self.oauth.issue_code()}

    async def _disconnect(self, _request: Request) -> JsonObject:
        return {**self.oauth.disconnect()}

    async def _remove_users(self, request: Request) -> JsonObject:
        """Say which users were removed; whoever is not named is in the account."""
        removed = (await _body(request, _RemovedBody)).removed
        if not {*removed} <= {*self.account.users}:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "only users of the account can be removed")
        self.account.removed_users = removed
        self.changed()
        return {"removed": removed}

    async def _get_pace(self, _request: Request) -> JsonObject:
        return {"busiest_second": self.recording.busiest_second(), "over_limit": self.recording.over_limit}

    def _route(self, method: str, path: str, endpoint: _Endpoint) -> Route:
        async def respond(request: Request) -> Response:
            if not self.account.is_admin(user_id(request, self.account)):
                raise ProblemError(HTTPStatus.FORBIDDEN)
            document = await endpoint(request)
            return Response(status_code=HTTPStatus.NO_CONTENT) if document is None else JSONResponse(document)

        return Route(f"/_sandbox/{path}", respond, methods=[method])


async def _body(request: Request, shape: type[_T], default: bytes = b"") -> _T:
    try:
        return read(shape, await request.body() or default)
    except ValueError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error
