"""The order of the statuses: what counts of a position, and which one takes a status back to its place.

A position is a number that the account gives anew with every creation, move and deletion. So a place is what stands
around it: the nearest statuses before and after, of those that are there in both readings and that are not moved by the
same change.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import NamedTuple

from amo_mcp.amocrm.models import Segment, Status

Places = tuple[tuple[int, int], ...]
"""Statuses by their places: the id and the position of each."""


class Place(NamedTuple):
    """Where a status stands: between two others; None at an end."""

    after: int | None
    before: int | None


def places_of(entities: Iterable[Segment | Status]) -> Places:
    """The places of the statuses among the entities."""
    statuses = [(entity.id, entity.sort) for entity in entities if isinstance(entity, Status)]
    return tuple(sorted(statuses, key=lambda place: place[1]))


def place_in(places: Places, status_id: int, among: Collection[int]) -> Place:
    """Between which of the statuses `among` it stands."""
    order = [one for one, _ in places if one in among or one == status_id]
    index = order.index(status_id)
    return Place(order[index - 1] if index else None, order[index + 1] if index + 1 < len(order) else None)


def is_between(places: Places, status_id: int, place: Place) -> bool:
    """Whether a status stands after the one, and before the other."""
    rank = {one: number for number, (one, _) in enumerate(places)}
    mine = rank[status_id]
    is_after = place.after is None or rank[place.after] < mine
    return is_after and (place.before is None or mine < rank[place.before])


def has_moved(then: Places, now: Places, status_id: int) -> bool:
    """Whether a status may have been moved since; that others were moved around it does not count.

    It was not, where it still stands between its old neighbours; nor where the largest number of statuses that are in
    their old order includes it, whichever way they are chosen: then the others were moved.
    """
    there = {one for one, _ in then} & {one for one, _ in now}
    rank = {one: number for number, (one, _) in enumerate(now)}
    kept = [rank[one] for one, _ in then if one in there]
    if is_between(now, status_id, place_in(then, status_id, there - {status_id})):
        return False
    return _longest_rising(kept) == _longest_rising([number for number in kept if number != rank[status_id]])


def _longest_rising(ranks: Iterable[int]) -> int:
    """How many of the ranks, at most, follow each other in rising order."""
    ends: list[int] = []
    for rank in ranks:
        index = bisect_left(ends, rank)
        ends[index : index + 1] = [rank]
    return len(ends)


def is_intact(places: Places, place: Place) -> bool:
    """Whether a place is still there: both neighbours are, in the same order."""
    rank = {one: number for number, (one, _) in enumerate(places)}
    sides = [rank.get(one, -1) for one in place if one is not None]
    return -1 not in sides and sides == sorted(sides)


def is_exact(places: Places, place: Place) -> bool:
    """Whether the neighbours of a place stand side by side, so that there is no other place between them."""
    order = [one for one, _ in places]
    first = 0 if place.after is None else order.index(place.after) + 1
    return order[first : first + 1] == ([] if place.before is None else [place.before])


def place_left(places: Places, status_id: int, position: int, among: Collection[int]) -> Place:
    """Between which of the statuses `among` it stood once it had been given that position.

    Args:
        places: all statuses just before that.
        status_id: which one.
        position: the position that the account answered.
        among: those that count; where the account leaves gaps between its numbers, which side of a status with the same
            number it was put on is not known, and that one does not count.
    """
    others = [place for place in places if place[0] != status_id]
    if _is_without_gaps(places):
        before, after = others[:position], others[position:]
    else:
        before = [place for place in others if place[1] < position]
        after = [place for place in others if place[1] > position]
    return Place(
        next((one for one, _ in reversed(before) if one in among), None),
        next((one for one, _ in after if one in among), None),
    )


def with_placed(places: Places, status_id: int, position: int) -> Places:
    """The places once a status, one of them or a new one, was given a position.

    A status that moves forward is put before the one that has its new position, and one that moves back or is new is
    put after it (assumed).
    """
    old = dict(places).get(status_id, position)
    side = -1 if position < old else 1
    others = [place for place in places if place[0] != status_id]
    order = sorted([*others, (status_id, position)], key=lambda place: (place[1], side * (place[0] == status_id)))
    return _renumbered(order) if _is_without_gaps(places) else tuple(order)


def with_inserted(places: Places, status_id: int, place: Place) -> Places:
    """The places once a new status was put into its place."""
    index = 0 if place.after is None else [one for one, _ in places].index(place.after) + 1
    order = [*places[:index], (status_id, position_between(places, place)), *places[index:]]
    return _renumbered(order) if _is_without_gaps(places) else tuple(order)


def without(places: Places, status_id: int) -> Places:
    """The places once a status was deleted."""
    order = [place for place in places if place[0] != status_id]
    return _renumbered(order) if _is_without_gaps(places) else tuple(order)


def _is_without_gaps(places: Places) -> bool:
    return [number for _, number in places] == [*range(len(places))]


def _renumbered(order: Iterable[tuple[int, int]]) -> Places:
    return tuple((one, number) for number, (one, _) in enumerate(order))


def position_between(places: Places, place: Place) -> int:
    """The position that puts a new status into its place.

    Where there is no number between those of its neighbours, that of the one before it (`with_placed`).
    """
    numbers = dict(places)
    low = -1 if place.after is None else numbers[place.after]
    high = low + 2 if place.before is None else numbers[place.before]
    return max(0, (low + high) // 2)


def position_back(places: Places, status_id: int, was: Place, number: int = -1) -> int:
    """The position that puts a status back to its place.

    Its old number is taken where that leads to the old place (`with_placed`), else the number of the neighbour there.

    Args:
        places: all statuses as they are.
        status_id: which one.
        was: between which ones it stood.
        number: its position then; -1 when that does not count.
    """
    numbers = dict(places)
    now = numbers[status_id]
    low = -1 if was.after is None else numbers[was.after]
    high = max(numbers.values()) + 1 if was.before is None else numbers[was.before]
    if (low < number <= high) if number < now else (low <= number < high):
        return number
    if high < now:
        return high
    return max(low, now)
