"""What a response of the API has in it: an entity, a list of some, the outcome of a write, the problems of a batch."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from amo_mcp.amocrm.errors import NotFound, OutcomeUnknown, Problem, Unavailable
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import ApiEntity

PAGE_SIZE = 250
"""Entities on one page; the API clamps a larger `limit` to this silently."""

_DIGITS = re.compile("[0-9]{1,9}", re.ASCII)

_UNEXPECTED = "returned an unexpected response"

_EntityT = TypeVar("_EntityT", bound=ApiEntity)


def one(model: type[_EntityT], response: Any, entity_id: int | None = None) -> _EntityT:
    """The model of a read; an empty response says that there is no such entity, and one about another entity nothing.

    Raises:
        NotFound: the response is empty.
        Unavailable: it cannot be read, or is not about `entity_id`.
    """
    if response is None:
        raise NotFound(204)
    try:
        found = model.model_validate(_without_hal(model, response))
    except ValidationError as error:
        raise Unavailable(_UNEXPECTED) from error
    if entity_id not in (None, found.id):
        raise Unavailable(_UNEXPECTED)
    return found


def many(model: type[_EntityT], response: Any, key: str) -> Listing[_EntityT]:
    """The models of a list, of as many entries as can be read; an empty response is an empty list.

    Raises:
        Unavailable: it has no list under `key`.
    """
    if response is None:
        return Listing()
    items = embedded(response, key)
    if not isinstance(items, list):
        raise Unavailable(_UNEXPECTED)
    readable, unreadable = [], []
    for item in items:
        try:
            readable.append(model.model_validate(_without_hal(model, item)))
        except ValidationError:
            entry_id = item.get("id") if isinstance(item, dict) else None
            unreadable.append(entry_id if isinstance(entry_id, int) else None)
    return Listing(readable, unreadable)


def check_readable(listing: Listing[_EntityT]) -> Listing[_EntityT]:
    """`listing`, unless nothing in it could be read: that is no empty list.

    Raises:
        Unavailable: there are entries, and none of them can be read.
    """
    if listing.unreadable and not listing:
        raise Unavailable(_UNEXPECTED)
    return listing


def written(model: type[_EntityT], response: Any, entity_id: int | None = None) -> _EntityT:
    """The model of a write; a response that cannot be read leaves it unsaid what was done.

    Raises:
        OutcomeUnknown: it cannot be read, or is not about `entity_id`.
    """
    try:
        return one(model, response, entity_id)
    except (NotFound, Unavailable) as error:
        raise OutcomeUnknown(_UNEXPECTED) from error


def all_written(model: type[_EntityT], response: Any, key: str, count: int) -> Listing[_EntityT]:
    """The models of a write of `count` entities at once.

    Raises:
        OutcomeUnknown: they cannot all be read, or are not so many.
    """
    try:
        listing = many(model, response, key)
    except Unavailable as error:
        raise OutcomeUnknown(_UNEXPECTED) from error
    if listing.unreadable or len(listing) != count:
        raise OutcomeUnknown(_UNEXPECTED)
    return listing


def check_deleted(response: Any) -> None:
    """A deletion is answered with nothing (status 204).

    Raises:
        OutcomeUnknown: there is something, which leaves it unsaid what was done.
    """
    if response is not None:
        raise OutcomeUnknown(_UNEXPECTED)


def embedded(response: Any, key: str) -> Any:
    """What a document has embedded under a key; None when there is nothing."""
    parts = response.get("_embedded") if isinstance(response, dict) else None
    return parts.get(key) if isinstance(parts, dict) else None


def has_more(response: Any, page: int, on_page: int, so_far: int) -> bool:
    """Whether there may be another page: this one is full, or the response says so in any of three ways.

    `_links.next` only says that there is one; it may name another host, and is never followed.
    """
    if on_page >= PAGE_SIZE:
        return True
    if not isinstance(response, dict):
        return False
    return tells_next(response) or page_count(response) > page or _number(response.get("_total_items")) > so_far


def tells_next(response: Any) -> bool:
    """Whether a page links to the next one."""
    links = response.get("_links") if isinstance(response, dict) else None
    return isinstance(links, dict) and bool(links.get("next"))


def page_number(response: Any) -> int:
    """The number that a page gives itself; 0 when it gives none."""
    return _number(response.get("_page")) if isinstance(response, dict) else 0


def page_count(response: Any) -> int:
    """How many pages a page says that there are; 0 when it says nothing of that."""
    return _number(response.get("_page_count")) if isinstance(response, dict) else 0


def placed(problems: Sequence[Problem], entries: Sequence[str]) -> tuple[Problem, ...]:
    """The problems of a batch of statuses, each with its place among the `request_id`s of the batch."""
    return tuple(
        replace(problem, path=f"statuses.{entries.index(problem.entry)}.{problem.path}")
        if problem.entry in entries
        else problem
        for problem in problems
    )


def _number(value: Any) -> int:
    """A number, or the digits of one as text; 0 for anything else."""
    return int(value) if isinstance(value, int) or _DIGITS.fullmatch(str(value)) else 0


def _without_hal(model: type[ApiEntity], item: Any) -> Any:
    """An entity without the keys of HAL, which are no part of it, but with what the model calls embedded."""
    if isinstance(item, dict):
        item.pop("_links", None)
        parts = item.pop("_embedded", None)
        if isinstance(parts, dict):
            item |= {key: parts[key] for key in model.embedded if key in parts}
    return item
