"""The sessions of 2025-11-25 that are open over HTTP, and which of them was idle longest."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_Use = Literal["call", "stream"]


class Sessions(OrderedDict[str, Counter[_Use]]):
    """What each open session has under way (calls, and streams on which its client listens), by id.

    They are in the order in which they were last used: the one idle longest is the first.
    """

    @property
    def streams(self) -> int:
        """How many streams are open on which a client hears of what it has not asked for."""
        return sum(uses["stream"] for uses in self.values())

    def add(self, session_id: str) -> None:
        """A session was opened."""
        self[session_id] = Counter()

    @contextmanager
    def using(self, session_id: str | None, use: _Use) -> Iterator[None]:
        """Around a call of the session, or while its client listens; nothing for a session that is not open."""
        uses = self.get(session_id or "", Counter())
        self._touch(session_id)
        uses[use] += 1
        try:
            yield
        finally:
            uses[use] -= 1
            self._touch(session_id)

    def idle_longest(self, *, but: str) -> str | None:
        """The session that gives way to another: one on which nobody listens, if there is one; none with a call."""
        idle = [session_id for session_id, uses in self.items() if not uses["call"] and session_id != but]
        return min(idle, key=lambda session_id: self[session_id]["stream"] > 0, default=None)

    def _touch(self, session_id: str | None) -> None:
        if session_id is not None and session_id in self:
            self.move_to_end(session_id)
