"""Places among the statuses: what counts as moved, and which position leads back."""

from itertools import permutations

import pytest

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.positions import (
    Place,
    Places,
    has_moved,
    is_between,
    is_exact,
    place_in,
    place_left,
    places_of,
    position_back,
    position_between,
    with_inserted,
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


@pytest.mark.parametrize(
    ("now", "moved"),
    [
        (in_order(1, 2, 3, 4, 5), False),
        (in_order(3, 1, 2, 4, 5), True),
        (in_order(1, 2, 4, 5, 3), True),
        (in_order(2, 4, 3, 1, 5), True),
        (in_order(1, 3, 4, 5, 2), False),
        (in_order(4, 1, 2, 3, 5), False),
        (in_order(4, 1, 5, 3, 2), True),
        (in_order(3, 4, 5, 9), False),
        (in_order(3), False),
    ],
)
def test_a_status_counts_as_moved_by_somebody_only_where_the_others_alone_do_not_account_for_the_order(
    now: Places, moved: bool
) -> None:
    assert has_moved(in_order(1, 2, 3, 4, 5), now, 3) == moved


@pytest.mark.parametrize(
    ("place", "exact"),
    [
        (Place(1, 2), True),
        (Place(1, 3), False),
        (Place(None, 1), True),
        (Place(None, 2), False),
        (Place(4, None), True),
        (Place(3, None), False),
        (Place(None, None), False),
    ],
)
def test_a_place_is_exact_when_nothing_else_stands_in_it(place: Place, exact: bool) -> None:
    assert is_exact(FOUR, place) == exact
    assert is_exact((), Place(None, None))


@pytest.mark.parametrize(
    ("places", "place", "position", "order"),
    [
        (FOUR, Place(2, 3), 1, [1, 2, 9, 3, 4]),
        (FOUR, Place(None, 1), 0, [9, 1, 2, 3, 4]),
        (FOUR, Place(4, None), 4, [1, 2, 3, 4, 9]),
        (SPARSE, Place(2, 3), 25, [1, 2, 9, 3, 4]),
        (SPARSE, Place(None, 1), 4, [9, 1, 2, 3, 4]),
        (SPARSE, Place(4, None), 41, [1, 2, 3, 4, 9]),
        ((), Place(None, None), 0, [9]),
    ],
)
def test_a_new_status_is_given_a_number_between_those_of_its_neighbours_where_there_is_one(
    places: Places, place: Place, position: int, order: list[int]
) -> None:
    assert position_between(places, place) == position
    assert [one for one, _ in with_inserted(places, 9, place)] == order


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
