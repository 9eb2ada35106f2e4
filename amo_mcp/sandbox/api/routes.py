"""The endpoints of the API: who may call them, in which mode, and what they respond with."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api import body, segments, statuses
from amo_mcp.sandbox.api.access import is_admin, require_admin
from amo_mcp.sandbox.api.problems import ProblemError, not_found
from amo_mcp.sandbox.api.rendering import HalResponse, collection, linked, origin, page

_API = "/api/v4"
_CUSTOMERS = f"{_API}/customers"
# The reference's example of one segment links to another host than the one asked.
_OTHER_HOST = "https://shard151.amocrm.ru"

_MODE_IS_OFF = {
    "periodicity": "Не включен функционал периодических покупок для покупателей",
    "segments": "Не включен функционал сегментации для покупателей",
}


class _IdConvertor(IntegerConvertor):
    # Starlette's own takes any number of digits, and Python refuses to convert more than 4300.
    regex = "[0-9]{1,18}"


register_url_convertor("amocrm_id", _IdConvertor())


@dataclass(eq=False)
class Api:
    """The endpoints over one account.

    `changed` is called after every change, before the response; `issued` returns whether a sign-in issued a token.
    """

    account: Account
    clock: Callable[[], float]
    changed: Callable[[], None]
    issued: Callable[[str], bool]

    def routes(self) -> list[Route]:
        """The routes, each with its one method."""
        one_segment = f"{_CUSTOMERS}/segments/{{id:amocrm_id}}"
        one_status = f"{_CUSTOMERS}/statuses/{{id:amocrm_id}}"
        return [
            Route(f"{_API}/account", self.get_account, methods=["GET"]),
            Route(f"{_API}/users/{{id:amocrm_id}}", self.get_user, methods=["GET"]),
            Route(f"{_CUSTOMERS}/segments/custom_fields", self.list_fields, methods=["GET"]),
            Route(f"{_CUSTOMERS}/segments", self.list_segments, methods=["GET"]),
            Route(f"{_CUSTOMERS}/segments", self.create_segment, methods=["POST"]),
            Route(one_segment, self.get_segment, methods=["GET"]),
            Route(one_segment, self.update_segment, methods=["PATCH"]),
            Route(one_segment, self.delete_segment, methods=["DELETE"]),
            Route(f"{_CUSTOMERS}/statuses", self.list_statuses, methods=["GET"]),
            Route(f"{_CUSTOMERS}/statuses", self.create_statuses, methods=["POST"]),
            Route(one_status, self.get_status, methods=["GET"]),
            Route(one_status, self.update_status, methods=["PATCH"]),
            Route(one_status, self.delete_status, methods=["DELETE"]),
        ]

    async def get_account(self, request: Request) -> Response:
        """The account, with the mode of its customers."""
        user_id = self.account.user_id(admin=is_admin(request, self.issued))
        account = {**self.account.profile, "current_user_id": user_id, "customers_mode": self.account.mode}
        return HalResponse(linked(account, origin(request) + request.url.path))

    async def get_user(self, request: Request) -> Response:
        """One user, or 204."""
        is_admin(request, self.issued)
        return _one(request, self.account.users)

    async def list_fields(self, request: Request) -> Response:
        """One page of the custom fields that segments have."""
        self._enter(request, "segments")
        return _some(page(request, "custom_fields", list(self.account.fields.values())))

    async def list_segments(self, request: Request) -> Response:
        """One page of the segments."""
        self._enter(request, "segments")
        return _some(page(request, "segments", segments.ordered(self.account)))

    async def create_segment(self, request: Request) -> Response:
        """Create one segment; the response has it whole."""
        self._enter(request, "segments", writes=True)
        segment = segments.create(self.account, body.read(await request.body(), dict), int(self.clock()))
        self.changed()
        return HalResponse(linked(segment, f"{origin(request)}{request.url.path}/{segment['id']}"))

    async def get_segment(self, request: Request) -> Response:
        """One segment, or 204: the assumed response of a GET to an unknown id."""
        self._enter(request, "segments")
        return _one(request, self.account.segments, _OTHER_HOST)

    async def update_segment(self, request: Request) -> Response:
        """Change a segment; the response has it whole."""
        segment_id = self._enter_one(request, "segments", self.account.segments)
        segment = segments.update(self.account, segment_id, body.read(await request.body(), dict), int(self.clock()))
        self.changed()
        return HalResponse(linked(segment, origin(request) + request.url.path))

    async def delete_segment(self, request: Request) -> Response:
        """Delete a segment; the response is empty."""
        self._enter(request, "segments", writes=True)
        segments.delete(self.account, request.path_params["id"])
        self.changed()
        return _nothing()

    async def list_statuses(self, request: Request) -> Response:
        """All the statuses, in their order."""
        self._enter(request, "periodicity")
        return HalResponse(collection(request, "statuses", statuses.ordered(self.account)))

    async def create_statuses(self, request: Request) -> Response:
        """Create statuses; the response has their ids."""
        self._enter(request, "periodicity", writes=True)
        created = statuses.create(self.account, body.read(await request.body(), list))
        self.changed()
        return HalResponse(collection(request, "statuses", created))

    async def get_status(self, request: Request) -> Response:
        """One status, or 204."""
        self._enter(request, "periodicity")
        return _one(request, self.account.statuses)

    async def update_status(self, request: Request) -> Response:
        """Change a status; the response has it whole."""
        status_id = self._enter_one(request, "periodicity", self.account.statuses)
        status = statuses.update(self.account, status_id, body.read(await request.body(), dict))
        self.changed()
        return HalResponse(linked(status, origin(request) + request.url.path))

    async def delete_status(self, request: Request) -> Response:
        """Delete a status; the response is empty."""
        self._enter(request, "periodicity", writes=True)
        statuses.delete(self.account, request.path_params["id"])
        self.changed()
        return _nothing()

    def _enter(self, request: Request, mode: str, *, writes: bool = False) -> None:
        if writes:
            require_admin(request, self.issued)
        else:
            is_admin(request, self.issued)
        if self.account.mode != mode:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, _MODE_IS_OFF[mode])

    def _enter_one(self, request: Request, mode: str, entities: dict[int, JsonObject]) -> int:
        self._enter(request, mode, writes=True)
        entity_id: int = request.path_params["id"]
        if entity_id not in entities:
            raise not_found(request.method, str(request.url))
        return entity_id


def _one(request: Request, entities: dict[int, JsonObject], host: str | None = None) -> Response:
    entity = entities.get(request.path_params["id"])
    if entity is None:
        return _nothing()
    return HalResponse(linked(entity, (host or origin(request)) + request.url.path))


def _some(document: JsonObject | None) -> Response:
    return _nothing() if document is None else HalResponse(document)


def _nothing() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)
