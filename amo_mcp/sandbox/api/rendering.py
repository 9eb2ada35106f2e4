"""Documents of success, in the HAL forms of amoCRM."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from amo_mcp.sandbox.account import JsonObject

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 250
_MAX_DIGITS = 18


def linked(entity: Mapping[str, Any], href: str) -> JsonObject:
    """`entity` with its link to itself."""
    return {**entity, "_links": {"self": {"href": href}}}


def url_of(request: Request) -> str:
    """The URL of the request without its query, scheme and host as the caller wrote them."""
    return f"{request.url.scheme}://{request.url.netloc}{request.url.path}"


def collection(request: Request, name: str, entities: Sequence[Mapping[str, Any]]) -> JsonObject:
    """All `entities` in one response, each linked under the request's own path."""
    href = url_of(request)
    return {
        "_total_items": len(entities),
        "_links": {"self": {"href": href}},
        "_embedded": {name: [linked(entity, f"{href}/{entity['id']}") for entity in entities]},
    }


def page(request: Request, name: str, entities: Sequence[Mapping[str, Any]]) -> JsonObject | None:
    """One page of `entities`, or None when it has none.

    `limit` above 250 is clamped silently; a `page` or `limit` that is no positive number counts as not given.
    """
    number, limit = _asked(request)
    shown = entities[(number - 1) * limit : number * limit]
    if not shown:
        return None
    return {
        **collection(request, name, shown),
        "_total_items": len(entities),
        "_page": number,
        "_page_count": -(-len(entities) // limit),
        "_links": {"self": {"href": f"{url_of(request)}?page={number}&limit={limit}"}},
    }


def page_without_total(request: Request, name: str, entities: Sequence[Mapping[str, Any]]) -> JsonObject | None:
    """The same for a list that does not tell how many there are, but links to the next page while there is one."""
    document = page(request, name, entities)
    if document is None:
        return None
    number, limit = _asked(request)
    if number < document.pop("_page_count"):
        document["_links"]["next"] = {"href": f"{url_of(request)}?page={number + 1}&limit={limit}"}
    del document["_total_items"]
    return document


def _asked(request: Request) -> tuple[int, int]:
    limit = min(_positive(request.query_params.get("limit")) or _DEFAULT_LIMIT, _MAX_LIMIT)
    return _positive(request.query_params.get("page")) or 1, limit


def _positive(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
