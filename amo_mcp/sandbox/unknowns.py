"""What the reference leaves open about customers and the order of statuses, a switch for each reading."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

Seconds = Annotated[float, Field(ge=0)]


@dataclass(config={"strict": True, "extra": "forbid", "allow_inf_nan": False, "defer_build": True})
class Rule:
    """A rule of the account's own: a customer that the API puts into `id` is moved on to `to`.

    Attributes:
        kind: whether `id` and `to` are segments or statuses.
        id: where the customer has come.
        to: where the rule moves it; None takes it out of the segment.
        after: seconds until then.
    """

    kind: Literal["segment", "status"]
    id: int
    to: int | None = None
    after: Seconds = 0


@dataclass(config={"strict": True, "extra": "forbid", "allow_inf_nan": False, "defer_build": True})
class Unknowns:
    """How this account reads what no documentation says; each default is a guess.

    Attributes:
        api_filter: whether the account has the filter of the API, as `is_api_filter_enabled` tells; without it the
            parameters `filter[…]` are ignored.
        segments_patch: what a PATCH does with the segments of a customer: they replace those that it has, are added to
            them, or are ignored (the response is the same).
        empty_list: whether an empty list of segments takes the customer out of all.
        null: whether `null` in the place of that list does.
        rules: the account's own rules.
        status_deleted_after: seconds after which the customers of a deleted status are in another; the reference says
            "within some time".
        taken_position: on which side of the status that has a position a new one stands that is given the same.
        status_moves: whether a PATCH of a position moves the status (the response is the same).
    """

    api_filter: bool = False
    segments_patch: Literal["replaces", "adds", "ignored"] = "replaces"
    empty_list: bool = True
    null: bool = True
    rules: list[Rule] = field(default_factory=list)
    status_deleted_after: Seconds = 30
    taken_position: Literal["after", "before"] = "after"
    status_moves: bool = True
