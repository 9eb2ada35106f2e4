"""Success, in the HAL forms that amoCRM answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from amo_mcp.sandbox.account import Model

DEFAULT_LIMIT = 50
MAX_LIMIT = 250


class HalResponse(JSONResponse):
    """A JSON answer typed as amoCRM types its successes."""

    media_type = "application/hal+json"


def origin(request: Request) -> str:
    """Scheme and host as the caller wrote them."""
    return f"{request.url.scheme}://{request.url.netloc}"


def linked(model: Mapping[str, Any], href: str) -> Model:
    """`model` with its link to itself."""
    return {**model, "_links": {"self": {"href": href}}}


def collection(request: Request, name: str, models: Sequence[Mapping[str, Any]]) -> Model:
    """All `models` in one answer, each linked under the request's own path."""
    href = origin(request) + request.url.path
    return {
        "_total_items": len(models),
        "_links": {"self": {"href": href}},
        "_embedded": {name: [linked(model, f"{href}/{model['id']}") for model in models]},
    }


def page(request: Request, name: str, models: Sequence[Mapping[str, Any]]) -> Model | None:
    """One page of `models`, or None when there is nothing on it.

    `limit` above 250 is clamped silently; a `page` or `limit` that is no positive number counts as not given.
    """
    number = _positive(request.query_params.get("page")) or 1
    limit = min(_positive(request.query_params.get("limit")) or DEFAULT_LIMIT, MAX_LIMIT)
    shown = models[(number - 1) * limit : number * limit]
    if not shown:
        return None
    answer = collection(request, name, shown)
    href = answer["_links"]["self"]["href"]
    return {
        "_total_items": len(models),
        "_page": number,
        "_page_count": -(-len(models) // limit),
        "_links": {"self": {"href": f"{href}?page={number}&limit={limit}"}},
        "_embedded": answer["_embedded"],
    }


def _positive(text: str | None) -> int:
    digits = 18
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= digits else 0
