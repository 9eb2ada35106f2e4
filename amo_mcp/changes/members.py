"""Where a customer is, where a step puts it, and what came of that."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from amo_mcp.amocrm.models import Customer

Fate = Literal["moved", "gone", "hidden", "refused", "ignored", "stays", "elsewhere"]
"""What came of a step for one customer.

| | |
|---|---|
| `moved` | it is where it was to be |
| `gone` | the account has no such customer any more |
| `hidden` | the API does not tell where it is, so nothing was sent for it |
| `refused` | the API refused it |
| `ignored` | the API answered that it was done, and the customer is where it was |
| `stays` | it is in what it was put into, and still in what it was taken out of |
| `elsewhere` | it is neither where it was nor where it was to be: a rule of the account, or somebody, moved it on |
"""


class Member(NamedTuple):
    """Where one customer is, as it was read. Its name is left out: only a question shows that.

    Attributes:
        segments: the ids of its segments; None where the API does not tell them.
        status_id: the id of its status, of which it has one.
    """

    id: int
    segments: tuple[int, ...] | None = None
    status_id: int | None = None

    @classmethod
    def of(cls, customer: Customer) -> "Member":
        """Where a customer is."""
        segments = None if customer.segments is None else tuple(sorted(customer.segments))
        return cls(customer.id, segments, customer.status_id)


@dataclass(frozen=True)
class Placement:
    """Where customers are put: into segments and out of others, or to a status."""

    into: frozenset[int] = frozenset()
    out_of: frozenset[int] = frozenset()
    status_id: int | None = None

    def knows(self, member: Member) -> bool:
        """Whether the API tells where a customer is; else nothing is sent, since its other segments are sent too."""
        return (member.segments if self.status_id is None else member.status_id) is not None

    def is_reached(self, member: Member) -> bool:
        """Whether a customer is where it is to be."""
        if self.status_id is not None:
            return member.status_id == self.status_id
        segments = {*(member.segments or ())}
        return member.segments is not None and self.into <= segments and not self.out_of & segments

    def segments_of(self, member: Member, *more: int) -> tuple[int, ...]:
        """All the segments that a customer is to be in: those it is in, and those it is put into."""
        return tuple(sorted(({*(member.segments or ()), *more} | self.into) - self.out_of))

    def lost(self, before: Member, after: Member) -> frozenset[int]:
        """The segments that a customer is not in any more, and was to stay in."""
        if self.status_id is not None or before.segments is None or after.segments is None:
            return frozenset()
        return frozenset(before.segments) - self.out_of - frozenset(after.segments)

    def fate(self, before: Member, after: Member | None) -> Fate:
        """What came of it for a customer for which something was sent."""
        if after is None:
            return "gone"
        if not self.knows(before) or not self.knows(after):
            return "hidden"
        if self.is_reached(after):
            return "moved"
        if self.status_id is not None:
            return "ignored" if after.status_id == before.status_id else "elsewhere"
        was, now = frozenset(before.segments or ()), frozenset(after.segments or ())
        if self.out_of & now and self.into <= now and was != now:
            return "stays"
        return "ignored" if was == now else "elsewhere"


@dataclass(frozen=True)
class Crowd:
    """All customers, as far as they were looked through.

    Attributes:
        members: where each is, after the page that it was on.
        pages: how many pages were read.
        is_complete: whether these are all.
    """

    members: tuple[tuple[int, Member], ...] = ()
    pages: int = 0
    is_complete: bool = False

    def to_move(self, placement: Placement, source_id: int) -> list[tuple[int, Member]]:
        """Those of a segment or a status who are not where they are put."""
        is_status = placement.status_id is not None
        return [
            (page, one)
            for page, one in self.members
            if source_id in ((one.status_id,) if is_status else (one.segments or ())) and not placement.is_reached(one)
        ]

    def members_of(self, segment_id: int) -> list[Member] | None:
        """Everybody who is in a segment; None where they cannot all be told."""
        if not self.is_complete:
            return None
        return [one for _, one in self.members if segment_id in (one.segments or ())]

    def count(self, place_id: int, *, is_status: bool) -> int:
        """How many are in a segment or have a status."""
        return sum(place_id in ((one.status_id,) if is_status else (one.segments or ())) for _, one in self.members)


NOBODY = Crowd()
"""Where nobody was looked for."""
