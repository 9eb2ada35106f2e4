"""Tells the audit what people were refused for their role; of a replica not more often than it has to be known."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.team.audit import Actor, Audit, Entry

MAX_KNOWN_REFUSALS = 1000
"""Refusals that one replica remembers to have told."""

_SECONDS = 60.0
"""Seconds for which the same is not told again: a program may try without an end."""


class Refusals:
    """What was refused at one replica.

    Args:
        audit: is told.
        clock: gives monotonic seconds.
    """

    def __init__(self, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._told: OrderedDict[tuple[str | None, str], float] = OrderedDict()

    async def note(self, by: Actor, what: str) -> None:
        """Tell of a refusal; where it cannot be told now, it is refused all the same."""
        refused, now = (by.person, what), self._clock()
        if now < self._told.get(refused, -math.inf) + _SECONDS:
            return
        self._told[refused] = now
        self._told.move_to_end(refused)
        if len(self._told) > MAX_KNOWN_REFUSALS:
            self._told.popitem(last=False)
        with suppress(StorageUnavailable):
            await self._audit.add(Entry(kind="refusal", what=what, outcome="forbidden", by=by))
