"""Runs: changes under way that any process of several can carry on, one at a time, under a lease.

A run is an unfinished change in a journal that processes share; its record is all that is needed to go on with it. Who
begins it holds its lease, and renews that. When the lease is over, because its holder died or hangs, another process
takes the run over: under a new epoch, which shuts the old holder out of the record. What that one had sent by then it
could not call back, so a request that writes is sent only while the lease outlives the request's timeout, and a step
that is found pending is looked up once the lease is over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Kind, Step


@dataclass(frozen=True)
class Asked:
    """Who asked for a change, as a shared journal keeps it.

    Attributes:
        owner: names the caller; only the same caller is told of the run and can stop it.
        by: what the others call them.
        approval_id: the approval that was used up, by which `confirm_change` finds the run again.
        person: the id of who asked, where people sign in.
        client: what they asked with, in its own words.
    """

    owner: str = ""
    by: str | None = None
    approval_id: str | None = None
    person: str | None = None
    client: str = ""


NOBODY = Asked()
"""Where nobody else will ask."""


@dataclass(frozen=True)
class Lease:
    """The right to carry out a change, and to record what comes of it; one process has it at a time.

    Attributes:
        record: the change as it is recorded when the lease is taken; its status is "running".
        change: the same as it was asked for, with the steps of the record.
        epoch: how many processes have had it by now, this one included.
        shared: where the lease has to be renewed; None where it lasts as long as the process.
        person: with whose rights it is carried out; None where everybody has the same.
    """

    record: ChangeRecord
    change: PendingChange
    epoch: int = 1
    shared: "RunStore | None" = None
    person: str | None = None

    @property
    def id(self) -> str:
        """The id of the change."""
        return self.record.id


class LeaseLost(Exception):
    """Another process has taken the change over, or the change has ended; nothing was recorded."""


@dataclass(frozen=True)
class RunState:
    """A run as the journal has it.

    Attributes:
        record: the change as it stands.
        change: the same as it was asked for.
        owner: who may watch it and stop it.
        noted: when something was last recorded of it, in Unix seconds.
        reason: why it stopped before its end, if it did, as JSON (`changes.reasons`).
    """

    record: ChangeRecord
    change: PendingChange
    owner: str
    noted: float
    reason: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Others:
    """What other changes created lately, or are creating: the ids that are known, and all names."""

    ids: Collection[int] = ()
    names: Collection[str] = ()


class RunStore(Protocol):
    """The runs of a journal that several processes share.

    Every method can raise `JournalUnusable` and, where no lease says which account is meant, what asking for it raises.

    All times are the storage's own, so that clocks of processes do not matter.

    Attributes:
        seconds: how long a lease lasts unless it is renewed.
    """

    seconds: float

    async def claim(self) -> Lease | None:
        """Take over the oldest change whose lease is over, if there is one; of several processes one gets it."""
        ...

    async def renew(self, lease: Lease) -> bool:
        """Let a lease last `seconds` from now on; whether somebody asked for the run to stop.

        Raises:
            LeaseLost: it was taken over.
        """
        ...

    async def renew_all(self) -> None:
        """Renew every lease that this process holds; those that were lost are forgotten."""
        ...

    async def give_back(self, lease: Lease) -> None:
        """End a lease of which nothing is on its way, so that the change can be taken over at once."""
        ...

    def let_lapse(self, lease: Lease) -> None:
        """Stop renewing a lease: something of the change may be on its way, or the storage is away."""
        ...

    async def created_beside(self, lease: Lease, kind: Kind) -> Others:
        """What other changes create while that one is carried out."""
        ...

    async def note_late(self, lease: Lease, made: Mapping[int, Sequence[Step]]) -> None:
        """Record what came of steps that were sent under a lease that had been lost by then, by position.

        Each is done, or unknown. What the next process has recorded otherwise is as it really is from now on
        (`history.with_late`): where that one has sent a creation too, its outcome is unknown, and `Create.also` has the
        rest.
        """
        ...

    async def request_stop(self, change_id: str) -> None:
        """Let a run stop between two of its steps; nothing happens when it has ended."""
        ...

    async def state(self, change_id: str) -> RunState | None:
        """A run, under way or ended; None when there is none of that id."""
        ...

    async def find(
        self,
        owner: str,
        *,
        plan_id: str | None = None,
        undoes: str | None = None,
        approval_id: str | None = None,
        told: bool = False,
    ) -> RunState | None:
        """The newest run of a caller of an approval, or of a plan or an undo until they were told its end.

        With `told` that of a plan also afterwards.
        """
        ...

    async def mark_told(self, change_id: str) -> None:
        """Note that the end of a run was told to who asked for it."""
        ...
