"""The table of slots that a rate limiter keeps of an account, whatever it is kept in.

A request takes a slot just before its first byte and gives it back when its answer begins; a second later the slot is
free again. So two requests in one slot reach the API more than a second apart, wherever between sending and answer each
of them arrives, and as many slots as the limit let no more than the limit into any one second.
"""

import secrets
from typing import Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from amo_mcp.amocrm.ratelimit import REUSE_AFTER

MAX_PAUSE = 3600.0
"""Seconds; should the API ask for a longer pause, it is asked again after these."""


class SlotTable(BaseModel):
    """The slots that are not free; all times are seconds of one clock.

    Attributes:
        noted_at: when the table was used last.
        paused_until: when the pause that the API asked for is over.
        taken: when each slot is free again, by the name under which it was taken.
    """

    model_config = ConfigDict(defer_build=True)

    noted_at: FiniteFloat
    paused_until: FiniteFloat = 0.0
    taken: dict[str, FiniteFloat] = {}

    @model_validator(mode="after")
    def _is_soon_free(self) -> Self:
        """Refuse what holds everybody back for longer than any limiter does."""
        if max(self.paused_until, *self.taken.values(), 0.0) > self.noted_at + MAX_PAUSE + 1:
            raise ValueError("no slot is taken for so long")
        return self

    def note(self, now: float) -> None:
        """Use it now. Where the clock began anew, since the machine did, what was left of each time is left now."""
        back = max(0.0, self.noted_at - now)
        self.noted_at, self.paused_until = now, self.paused_until - back
        self.taken = {lease: free_at - back for lease, free_at in self.taken.items() if free_at - back > now}

    def take(self, lease: str, count: int, timeout: float) -> float:
        """Take one of `count` slots if one is free, and give the seconds until it is worth asking again; 0 when taken.

        It is free after the timeout of a request and `REUSE_AFTER`, unless it is released: a process that dies holds
        it no longer.
        """
        if self.pause_left > 0:
            return self.pause_left
        if len(self.taken) >= count:
            return min(self.taken.values()) - self.noted_at
        self.taken[lease] = self.noted_at + timeout + REUSE_AFTER
        return 0.0

    def release(self, lease: str) -> None:
        """Let the slot be free after `REUSE_AFTER`; nothing happens when nobody holds it under that name."""
        if lease in self.taken:
            self.taken[lease] = self.noted_at + REUSE_AFTER

    def merge(self, other: Self) -> None:
        """Add the slots and the pause of another table; of a slot that both have, the other knows more."""
        self.taken |= {lease: free_at for lease, free_at in other.taken.items() if free_at > self.noted_at}
        self.paused_until = max(self.paused_until, other.paused_until)

    def of(self, process: str) -> Self:
        """The pause, and the slots whose names begin so."""
        taken = {lease: free_at for lease, free_at in self.taken.items() if lease.startswith(process)}
        return self.model_copy(update={"taken": taken})

    def occupy(self, count: int) -> None:
        """Let so many slots be taken for the next second: others may have sent requests in the last one."""
        self.taken |= {secrets.token_hex(8): self.noted_at + REUSE_AFTER for _ in range(count)}

    def pause(self, seconds: float) -> None:
        """Let no slot be taken for `seconds`, or longer where that was asked for before."""
        self.paused_until = max(self.paused_until, self.noted_at + min(seconds, MAX_PAUSE))

    @property
    def pause_left(self) -> float:
        """Seconds for which no slot can be taken, because the API asked for that."""
        return max(0.0, self.paused_until - self.noted_at)
