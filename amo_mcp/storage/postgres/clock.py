"""The time by which what replicas share grows old: the database's, however wrong the clock of a replica is."""

import time
from collections.abc import Callable

from amo_mcp.storage.postgres.database import Database

NOW = "coalesce($1, unix_now())"
"""The time that a statement goes by: its first value, or the database's own where that is null."""


class DatabaseClock:
    """Unix seconds of the database's clock: what it said last, and what has passed since.

    Args:
        given: gives the Unix seconds that count instead.
    """

    def __init__(self, given: Callable[[], float] | None = None) -> None:
        self._given = given
        self._ahead = time.time() - time.monotonic()

    @property
    def given(self) -> float | None:
        """The time that a statement is to go by; None for the database's own."""
        return self._given and self._given()

    def heard(self, now: float) -> float:
        """Take what the database has just said, and give it back."""
        self._ahead = now - time.monotonic()
        return now

    def __call__(self) -> float:
        """Unix seconds."""
        return self._given() if self._given else time.monotonic() + self._ahead


class ClockedStore:
    """What is kept in the database and grows old there.

    Args:
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock

    @property
    def _now(self) -> float | None:
        """The time that a statement is to go by; None for the database's own."""
        return self._clock and self._clock()
