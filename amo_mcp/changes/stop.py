"""A server that ends stops the changes that are under way between two steps, and waits for no person any more."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import anyio

_Phase = Literal["interruptible", "sending"]


class Stop:
    """Asked for once by a server that ends, and heard by everything that is under way in it."""

    def __init__(self) -> None:
        self._deadlines: dict[_Phase, float] = {"interruptible": math.inf, "sending": math.inf}
        self._scopes: dict[anyio.CancelScope, _Phase] = {}

    def request(self, seconds: float) -> None:
        """Break off what can be broken off; what was sent has so many `seconds` more, or fewer if asked again."""
        now = anyio.current_time()
        self._deadlines = {"interruptible": now, "sending": min(self._deadlines["sending"], now + seconds)}
        for scope, phase in self._scopes.items():
            scope.deadline = self._deadlines[phase]

    @contextmanager
    def interruptible(self) -> Iterator[anyio.CancelScope]:
        """Around what is broken off at once: waiting, reading, going on to a next step."""
        with self._heard_by(anyio.CancelScope(), "interruptible") as scope:
            yield scope

    @contextmanager
    def sending(self) -> Iterator[anyio.CancelScope]:
        """Around what is sent and should be heard to its end; nothing but the end of the seconds breaks it off."""
        with self._heard_by(anyio.CancelScope(shield=True), "sending") as scope:
            yield scope

    @contextmanager
    def _heard_by(self, scope: anyio.CancelScope, phase: _Phase) -> Iterator[anyio.CancelScope]:
        scope.deadline = self._deadlines[phase]
        self._scopes[scope] = phase
        try:
            with scope:
                yield scope
        finally:
            del self._scopes[scope]
