"""`/_sandbox/`: lets a test in another process set faults, change the mode and look inside."""

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.sandbox import body, recording
from amo_mcp.sandbox.access import require_admin
from amo_mcp.sandbox.account import MODES, Account
from amo_mcp.sandbox.faults import Fault, Faults
from amo_mcp.sandbox.problems import ProblemError


class Control:
    """The sandbox's own endpoints, for the admin token only; no fault reaches them."""

    def __init__(
        self, account: Account, faults: Faults, requests: list[recording.Request], changed: Callable[[], None]
    ) -> None:
        self._account = account
        self._faults = faults
        self._requests = requests
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


async def _data(request: Request) -> Any:
    try:
        return body.parse(await request.body())
    except ValueError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
