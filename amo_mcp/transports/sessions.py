"""The sessions of 2025-11-25 that are open over HTTP, and which of them was idle longest."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Use:
    """What a session has under way: calls, and the streams on which its client listens."""

    calls: int = 0
    streams: int = 0


class Sessions:
    """The open sessions by id, in the order in which they were last used."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def __contains__(self, session_id: object) -> bool:
        """Whether the session is open."""
        return session_id in self._uses

    def __len__(self) -> int:
        """How many sessions are open."""
        return len(self._uses)

    @property
    def ids(self) -> list[str]:
        """The ids, the one idle longest first."""
        return list(self._uses)

    @property
    def streams(self) -> int:
        """How many streams are open on which a client hears of what it has not asked for."""
        return sum(use.streams for use in self._uses.values())

    def add(self, session_id: str) -> None:
        """A session was opened."""
        self._uses[session_id] = _Use()

    def discard(self, session_id: str) -> None:
        """A session has ended."""
        self._uses.pop(session_id, None)

    @contextmanager
    def call(self, session_id: str | None) -> Iterator[None]:
        """Around a call of the session, if it is one of the open ones."""
        if session_id is None or (use := self._uses.get(session_id)) is None:
            yield
            return
        self._touch(session_id)
        use.calls += 1
        try:
            yield
        finally:
            use.calls -= 1
            self._touch(session_id)

    @contextmanager
    def stream(self, session_id: str) -> Iterator[None]:
        """While the session's client listens."""
        use = self._uses.get(session_id, _Use())
        self._touch(session_id)
        use.streams += 1
        try:
            yield
        finally:
            use.streams -= 1
            self._touch(session_id)

    def idle_longest(self, *, but: str) -> str | None:
        """The session that gives way to another: one on which nobody listens, if there is one; none with a call."""
        idle = [item for item, use in self._uses.items() if not use.calls and item != but]
        return next((item for item in idle if not self._uses[item].streams), idle[0] if idle else None)

    def _touch(self, session_id: str) -> None:
        if session_id in self._uses:
            self._uses[session_id] = self._uses.pop(session_id)
