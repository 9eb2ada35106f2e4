"""Taking a move back: everybody into what they were in before, and out of what they were put into."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.members import Member
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Delete, Entity, Move
from amo_mcp.language import Message, counted_message

_Places = tuple[tuple[int, ...], tuple[int, ...]]
"""What customers are put into, and what they are taken out of: ids, in order."""


@dataclass
class _Back:
    """Where the customers of one move go back to.

    Attributes:
        coming: what the same undo creates again, by its old id: the position of its deletion, and what it was.
        groups: those who go the same way. Into and out of are ways of their own: an API that only adds segments brings
            everybody back into what they were in, though nobody out of what they were put into.
        gone: how many are not in the account any more.
        moved_on: how many were moved since, by the account's rules or by somebody.
        missing: how many cannot go back into something, by its id, since it is not there any more.
    """

    step: Move
    account: Snapshot
    recreated: RecreatedIds
    coming: Mapping[int, tuple[int, Entity]] = field(default_factory=dict)
    groups: dict[_Places, list[Member]] = field(default_factory=lambda: defaultdict(list))
    gone: int = 0
    moved_on: int = 0
    missing: Counter[int] = field(default_factory=Counter)

    def place(self, place_id: int) -> Entity | None:
        """A segment or a status as it is now, under whichever id it came back."""
        if place_id in self.coming:
            return self.coming[place_id][1]
        return self.account.entities.get(self.step.kind, {}).get(self.today(place_id))

    def today(self, place_id: int) -> int:
        """The id that a segment or a status has by now; of what the same undo creates again its old one."""
        is_known = place_id in self.coming or place_id in self.account.entities.get(self.step.kind, {})
        return place_id if is_known else self.recreated.current_id(self.step.kind, place_id)

    def into(self, ids: Collection[int]) -> tuple[int, ...]:
        """Today's ids of what somebody goes back into; what is gone is counted in `missing`."""
        places = {one: self.place(one) for one in ids}
        self.missing.update(one for one, place in places.items() if place is None)
        return tuple(sorted(place.id for place in places.values() if place is not None))

    def move(self, places: _Places, members: Sequence[Member]) -> Move:
        """The move of those who go the same way."""
        into, out_of = ([one for one in map(self.place, ids) if one is not None] for ids in places)
        recreated = next((self.coming[one][0] for one in places[0] if one in self.coming), None)
        return Move(self.step.kind, tuple(members), tuple(into), tuple(out_of), recreated=recreated)

    def add(self, was: Member, left: Member, now: Member | None) -> None:
        """Find the way back for a customer that was somewhere, was left somewhere by the move, and is somewhere now."""
        if now is None:
            self.gone += 1
            return
        if self.step.kind == "status":
            if was.status_id is not None and left.status_id is not None:
                self._back_to_status(self.today(was.status_id), self.today(left.status_id), now)
        elif was.segments is not None and left.segments is not None:
            self._back_into_segments({*map(self.today, was.segments)}, {*map(self.today, left.segments)}, now)

    def _back_to_status(self, was: int, left: int, now: Member) -> None:
        if was in (left, now.status_id):
            return
        if now.status_id != left:
            self.moved_on += 1
        elif into := self.into({was}):
            self.groups[into, ()].append(now)

    def _back_into_segments(self, was: set[int], left: set[int], now: Member) -> None:
        current = {*(now.segments or ())}
        self.moved_on += now.segments is None or not left - was <= current or bool((was - left) & current)
        out_of = tuple(sorted((left - was) & {*map(self.today, self.step.placement.into)} & current))
        into = tuple(one for one in self.into((was - left) - current) if one not in current)
        if now.segments is None:
            return
        if into:
            self.groups[into, ()].append(now)
        if out_of:
            self.groups[(), out_of].append(now)


def moved_back(
    step: Move, account: Snapshot, recreated: RecreatedIds, coming: Mapping[int, tuple[int, Entity]]
) -> tuple[list[Move], list[Message]]:
    """The moves that take a move back, and what of it cannot be taken back, a sentence each.

    Args:
        step: the move, done.
        account: everything of its kind, and its customers, as they are now.
        recreated: under which ids came back what had been deleted since.
        coming: what the same undo creates again, by its old id: the position of its deletion, and what it was.
    """
    back = _Back(step, account, recreated, coming)
    left = {member.id: member for member in step.found or ()}
    for was in step.customers:
        if was.id in left:
            customer = account.customers.get(was.id)
            back.add(was, left[was.id], None if customer is None else Member.of(customer))
    # Those who are put into something come first, so that nobody is in fewer segments meanwhile.
    ways = sorted(back.groups.items(), key=lambda way: (not way[0][0], way[0]))
    return [back.move(places, members) for places, members in ways], [*_not_restored(back)]


def members_back(
    step: Delete, into: Entity, account: Snapshot, position: int | None
) -> tuple[list[Move], list[Message]]:
    """The move of those who were in what was deleted, back into it, and how many of them do not come back.

    Args:
        step: the deletion, done, with the members that were read.
        into: what they go back into, as it is, or as it was where the same undo creates it again.
        account: the customers as they are now.
        position: of the deletion, where what it deleted is created again by the same undo.
    """
    members = step.members or ()
    now = {one.id: Member.of(account.customers[one.id]) for one in members if one.id in account.customers}
    placed = Move(step.kind, (), (into,), recreated=position)
    there = () if position is not None else [one for one in now.values() if placed.placement.is_reached(one)]
    back = tuple(one for one in now.values() if one not in there)
    gone = len(members) - len(now)
    return [replace(placed, customers=back)] if back else [], [_gone(gone)] if gone else []


def _gone(count: int) -> Message:
    return counted_message(
        "{count} customer is no longer in the account.", "{count} customers are no longer in the account.", count
    )


def _not_restored(back: _Back) -> list[Message]:
    told = []
    if back.gone:
        told.append(_gone(back.gone))
    if back.moved_on:
        told.append(
            counted_message(
                "{count} customer was moved on since, by a rule of the account or by somebody, and stays there.",
                "{count} customers were moved on since, by rules of the account or by somebody, and stay there.",
                back.moved_on,
            )
        )
    told += [
        counted_message(
            "{count} customer cannot be put back where it was: the id {id} is no longer there.",
            "{count} customers cannot be put back where they were: the id {id} is no longer there.",
            count,
            id=one,
        )
        for one, count in sorted(back.missing.items())
    ]
    return told
