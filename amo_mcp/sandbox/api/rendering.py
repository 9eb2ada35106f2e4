"""Success, in the HAL forms of amoCRM."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from amo_mcp.sandbox.account import JsonObject

DEFAULT_LIMIT = 50
MAX_LIMIT = 250
_MAX_DIGITS = 18


class HalResponse(JSONResponse):
    """A JSON response typed as amoCRM types its successes."""

    media_type = "application/hal+json"


def origin(request: Request) -> str:
    """Scheme and host as the caller wrote them."""
    return f"{request.url.scheme}://{request.url.netloc}"


def linked(entity: Mapping[str, Any], href: str) -> JsonObject:
    """`entity` with its link to itself."""
    return {**entity, "_links": {"self": {"href": href}}}


def collection(request: Request, name: str, entities: Sequence[Mapping[str, Any]]) -> JsonObject:
    """All `entities` in one response, each linked under the request's own path."""
    href = origin(request) + request.url.path
    return {
        "_total_items": len(entities),
        "_links": {"self": {"href": href}},
        "_embedded": {name: [linked(entity, f"{href}/{entity['id']}") for entity in entities]},
    }


def page(request: Request, name: str, entities: Sequence[Mapping[str, Any]]) -> JsonObject | None:
    """One page of `entities`, or None when it has none.

    `limit` above 250 is clamped silently; a `page` or `limit` that is no positive number counts as not given.
    """
    number = _positive(request.query_params.get("page")) or 1
    limit = min(_positive(request.query_params.get("limit")) or DEFAULT_LIMIT, MAX_LIMIT)
    shown = entities[(number - 1) * limit : number * limit]
    if not shown:
        return None
    response = collection(request, name, shown)
    href = response["_links"]["self"]["href"]
    return {
        "_total_items": len(entities),
        "_page": number,
        "_page_count": -(-len(entities) // limit),
        "_links": {"self": {"href": f"{href}?page={number}&limit={limit}"}},
        "_embedded": response["_embedded"],
    }


def _positive(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
