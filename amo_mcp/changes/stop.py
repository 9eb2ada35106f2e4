"""A server that ends stops the changes that are under way between two steps, and waits for no person any more."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Stop:
    """Asked for once by a server that ends, and heard by everything that is under way in it."""

    def __init__(self) -> None:
        self._deadlines = {False: math.inf, True: math.inf}
        self._scopes: dict[anyio.CancelScope, bool] = {}

    def request(self, seconds: float) -> None:
        """Break off what can be broken off; what was sent has so many `seconds` more, or fewer if asked again."""
        now = anyio.current_time()
        self._deadlines = {False: now, True: min(self._deadlines[True], now + seconds)}
        for scope, sent in self._scopes.items():
            scope.deadline = self._deadlines[sent]

    @contextmanager
    def interruptible(self) -> Iterator[anyio.CancelScope]:
        """Around what is broken off at once: waiting, reading, going on to a next step."""
        with self._heard_by(anyio.CancelScope(), sent=False) as scope:
            yield scope

    @contextmanager
    def sending(self) -> Iterator[anyio.CancelScope]:
        """Around what is sent and should be heard to its end; nothing but the end of the seconds breaks it off."""
        with self._heard_by(anyio.CancelScope(shield=True), sent=True) as scope:
            yield scope

    @contextmanager
    def _heard_by(self, scope: anyio.CancelScope, *, sent: bool) -> Iterator[anyio.CancelScope]:
        scope.deadline = self._deadlines[sent]
        self._scopes[scope] = sent
        try:
            with scope:
                yield scope
        finally:
            del self._scopes[scope]
