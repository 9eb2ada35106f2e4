"""What a list that was read whole comes to."""

from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


class Listing(list[_T]):
    """All entities of a kind that could be read.

    Attributes:
        unreadable: the ids of those that the account has and that could not be read; None where not even the id could.
    """

    def __init__(self, readable: Iterable[_T] = (), unreadable: Iterable[int | None] = ()) -> None:
        super().__init__(readable)
        self.unreadable = tuple(unreadable)

    @property
    def size(self) -> int:
        """How many the account has, whether they could be read or not."""
        return len(self) + len(self.unreadable)
