"""The endpoints of the API: who may call them, in which mode, and what they respond with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api import body, customers, segments, statuses
from amo_mcp.sandbox.api.access import user_id
from amo_mcp.sandbox.api.problems import ProblemError, not_found
from amo_mcp.sandbox.api.rendering import collection, linked, page, page_without_total, url_of
from amo_mcp.sandbox.unknowns import Unknowns

# The reference's example of one segment links to another host than the one asked.
_OTHER_HOST = "https://shard151.amocrm.ru"

_MODE_IS_OFF = {
    "periodicity": "Не включен функционал периодических покупок для покупателей",
    "segments": "Не включен функционал сегментации для покупателей",
    "customers": "Не включен функционал покупателей",
}
# That customers are there in any mode but those without them is assumed.
_MODES = {"periodicity": {"periodicity"}, "segments": {"segments"}, "customers": {"segments", "periodicity", "dynamic"}}


class _IdConvertor(IntegerConvertor):
    # Starlette's own takes any number of digits, and Python refuses to convert more than 4300.
    regex = "[0-9]{1,18}"


register_url_convertor("amocrm_id", _IdConvertor())

_Endpoint = Callable[[Request], Awaitable[JsonObject | None]]


@dataclass(eq=False)
class Api:
    """The endpoints over one account.

    `changed` is called after every change, before the response; `granted_by` gives the user who granted a token.
    """

    account: Account
    clock: Callable[[], float]
    changed: Callable[[], None]
    granted_by: Callable[[str], int | None]
    unknowns: Unknowns

    def routes(self) -> list[Route]:
        """The routes, each with its one method."""
        one_customer = "/customers/{id:amocrm_id}"
        segments_path, one_segment = "/customers/segments", "/customers/segments/{id:amocrm_id}"
        statuses_path, one_status = "/customers/statuses", "/customers/statuses/{id:amocrm_id}"
        return [
            self._route("GET", "/account", None, self._get_account),
            self._route("GET", "/users", None, self._list_users),
            self._route("GET", "/users/{id:amocrm_id}", None, self._get_user),
            self._route("GET", "/customers", "customers", self._list_customers),
            self._route("PATCH", "/customers", "customers", self._update_customers),
            self._route("GET", one_customer, "customers", self._get_customer),
            self._route("PATCH", one_customer, "customers", self._update_customer),
            self._route("GET", f"{segments_path}/custom_fields", "segments", self._list_fields),
            self._route("GET", segments_path, "segments", self._list_segments),
            self._route("POST", segments_path, "segments", self._create_segment),
            self._route("GET", one_segment, "segments", self._get_segment),
            self._route("PATCH", one_segment, "segments", self._update_segment),
            self._route("DELETE", one_segment, "segments", self._delete_segment),
            self._route("GET", statuses_path, "periodicity", self._list_statuses),
            self._route("POST", statuses_path, "periodicity", self._create_statuses),
            self._route("GET", one_status, "periodicity", self._get_status),
            self._route("PATCH", one_status, "periodicity", self._update_status),
            self._route("DELETE", one_status, "periodicity", self._delete_status),
        ]

    def _route(self, method: str, path: str, mode: str | None, endpoint: _Endpoint) -> Route:
        """One route, for a key of `_MODES` only; it responds with the document of `endpoint`, or with 204 for None."""

        async def respond(request: Request) -> Response:
            if not self._is_admin(request) and method != "GET":
                raise ProblemError(HTTPStatus.FORBIDDEN)
            if mode and self.account.mode not in _MODES[mode]:
                raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, _MODE_IS_OFF[mode])
            customers.settle(self.account, self.clock())
            document = await endpoint(request)
            if method != "GET":
                self.changed()
            if document is None:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return JSONResponse(document, media_type="application/hal+json")

        return Route(f"/api/v4{path}", respond, methods=[method])

    async def _get_account(self, request: Request) -> JsonObject:
        current = user_id(request, self.account, self.granted_by)
        account = {**self.account.profile, "current_user_id": current, "customers_mode": self.account.mode}
        settings = account.pop("datetime_settings", None)
        asked = request.query_params.get("with", "").split(",")
        if settings is not None and "datetime_settings" in asked:
            account["_embedded"] = {"datetime_settings": settings}
        if "is_api_filter_enabled" in asked:
            account["is_api_filter_enabled"] = self.unknowns.api_filter
        return linked(account, url_of(request))

    async def _get_user(self, request: Request) -> JsonObject | None:
        if not self._is_admin(request):
            raise ProblemError(HTTPStatus.FORBIDDEN)
        return _known(request, self.account.current_users)

    async def _list_users(self, request: Request) -> JsonObject | None:
        if not self._is_admin(request):
            raise ProblemError(HTTPStatus.FORBIDDEN)
        return page(request, "users", list(self.account.current_users.values()))

    def _is_admin(self, request: Request) -> bool:
        return self.account.is_admin(user_id(request, self.account, self.granted_by))

    async def _list_customers(self, request: Request) -> JsonObject | None:
        return page_without_total(
            request,
            "customers",
            [
                customers.whole(self.account, customer, url_of(request))
                for customer in customers.found(self.account, request.query_params, self.unknowns)
            ],
        )

    async def _get_customer(self, request: Request) -> JsonObject | None:
        customer = self.account.customers.get(request.path_params["id"])
        path = url_of(request).rpartition("/")[0]
        return customer and linked(customers.whole(self.account, customer, path), url_of(request))

    async def _update_customers(self, request: Request) -> JsonObject:
        data = body.read(await request.body(), list)
        document = collection(request, "customers", customers.update(self.account, data, self.unknowns, self.clock()))
        del document["_total_items"]
        return document

    async def _update_customer(self, request: Request) -> JsonObject:
        customer_id = _changed_id(request, self.account.customers)
        data = {**body.read(await request.body(), dict), "id": customer_id}
        [changed] = customers.update(self.account, [data], self.unknowns, self.clock())
        return linked(changed, url_of(request))

    async def _list_fields(self, request: Request) -> JsonObject | None:
        return page(request, "custom_fields", list(self.account.fields.values()))

    async def _list_segments(self, request: Request) -> JsonObject | None:
        return page(request, "segments", segments.ordered(self.account))

    async def _create_segment(self, request: Request) -> JsonObject:
        segment = segments.create(self.account, body.read(await request.body(), dict), int(self.clock()))
        return linked(segment, f"{url_of(request)}/{segment['id']}")

    async def _get_segment(self, request: Request) -> JsonObject | None:
        segment = _known(request, self.account.segments)
        return segment and linked(segment, _OTHER_HOST + request.url.path)

    async def _update_segment(self, request: Request) -> JsonObject:
        segment_id = _changed_id(request, self.account.segments)
        data = body.read(await request.body(), dict)
        return linked(segments.update(self.account, segment_id, data, int(self.clock())), url_of(request))

    async def _delete_segment(self, request: Request) -> None:
        segments.delete(self.account, request.path_params["id"])

    async def _list_statuses(self, request: Request) -> JsonObject:
        return collection(request, "statuses", statuses.ordered(self.account))

    async def _create_statuses(self, request: Request) -> JsonObject:
        data = body.read(await request.body(), list)
        return collection(request, "statuses", statuses.create(self.account, data, self.unknowns))

    async def _get_status(self, request: Request) -> JsonObject | None:
        return _known(request, self.account.statuses)

    async def _update_status(self, request: Request) -> JsonObject:
        status_id = _changed_id(request, self.account.statuses)
        data = body.read(await request.body(), dict)
        return linked(statuses.update(self.account, status_id, data, self.unknowns), url_of(request))

    async def _delete_status(self, request: Request) -> None:
        status_id = request.path_params["id"]
        statuses.delete(self.account, status_id)
        customers.leave_status(self.account, status_id, self.unknowns, self.clock())


def _known(request: Request, entities: dict[int, JsonObject]) -> JsonObject | None:
    """The entity asked for, or None: that a GET of an unknown id responds with 204 is assumed."""
    entity = entities.get(request.path_params["id"])
    return entity and linked(entity, url_of(request))


def _changed_id(request: Request, entities: dict[int, JsonObject]) -> int:
    entity_id: int = request.path_params["id"]
    if entity_id not in entities:
        raise not_found(request.method, str(request.url))
    return entity_id
