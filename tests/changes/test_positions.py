"""Places among the statuses: what counts as moved, and which position leads back."""

from itertools import permutations

import pytest

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.positions import (
    Place,
    Places,
    is_between,
    place_in,
    place_left,
    places_of,
    position_back,
)
from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.api import statuses

FOUR: Places = ((1, 0), (2, 1), (3, 2), (4, 3))
SPARSE: Places = ((1, 10), (2, 20), (3, 30), (4, 40))
IDS = {1, 2, 3, 4}


def in_order(*ids: int) -> Places:
    return tuple((one, position) for position, one in enumerate(ids))


def test_places_are_those_of_statuses_by_position() -> None:
    entities: list[Segment | Status] = [
        Status(id=2, name="Б", sort=5),
        Segment(id=9, name="С"),
        Status(id=1, name="А", sort=1),
    ]
    assert places_of(entities) == ((1, 1), (2, 5))


@pytest.mark.parametrize(
    ("among", "place"),
    [
        (IDS, Place(2, 4)),
        ({1, 4}, Place(1, 4)),
        ({4}, Place(None, 4)),
        ({1, 2}, Place(2, None)),
        ((), Place(None, None)),
    ],
)
def test_a_place_is_told_by_the_nearest_of_those_that_count(among: set[int], place: Place) -> None:
    assert place_in(FOUR, 3, among) == place


@pytest.mark.parametrize(
    ("now", "stays"),
    [
        (in_order(1, 2, 3, 4), True),
        (in_order(2, 1, 3, 4), True),
        (in_order(2, 3, 1, 4), True),
        (in_order(1, 3, 2, 4), False),
        (in_order(1, 2, 4, 3), False),
        (in_order(3, 1, 2, 4), False),
    ],
)
def test_a_status_has_moved_when_it_is_no_longer_between_its_neighbours(now: Places, stays: bool) -> None:
    assert is_between(now, 3, place_in(FOUR, 3, IDS - {3})) == stays


def test_where_the_account_numbers_without_gaps_a_position_says_between_which_others_a_status_stands() -> None:
    assert place_left(FOUR, 1, 2, IDS - {1}) == Place(3, 4)
    assert place_left(FOUR, 4, 0, IDS - {4}) == Place(None, 1)
    assert place_left(FOUR, 1, 99, IDS - {1}) == Place(4, None)


def test_where_it_leaves_gaps_a_status_with_the_same_number_does_not_count() -> None:
    assert place_left(SPARSE, 1, 35, IDS - {1}) == Place(3, 4)
    assert place_left(SPARSE, 1, 30, IDS - {1}) == Place(2, 4)


@pytest.mark.parametrize("gone", [None, 0, 2, 4])
def test_a_status_comes_back_to_its_place_whatever_else_was_deleted_or_numbered_meanwhile(gone: int | None) -> None:
    for moved, target in permutations(range(5), 2):
        account = Sandbox(mode="periodicity").account
        order = [status["id"] for status in statuses.ordered(account)][:5]
        account.statuses = {
            one: account.statuses[one] | {"is_default": False, "sort": place} for place, one in enumerate(order)
        }
        one = order[moved]
        before = in_order(*order)
        statuses.update(account, one, {"sort": target})
        if gone is not None and gone != moved:
            statuses.delete(account, order.pop(gone))
        now = tuple((status["id"], status["sort"]) for status in statuses.ordered(account))
        place = place_in(before, one, {*order} - {one})
        statuses.update(account, one, {"sort": position_back(now, one, place, moved)})
        assert [status["id"] for status in statuses.ordered(account)] == order, (moved, target)
