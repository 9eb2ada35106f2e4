"""The events of changes that were made, or may have been, and who listens to them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from amo_mcp.changes.steps import Kind, Move, Step


@dataclass(frozen=True)
class ChangeEvent:
    """A change that was made, or may have been.

    Attributes:
        kind: what it was made to; "journal" when a change was recorded to its end; "anything" when nothing is known of
            it, because what was told of it was missed.
        ids: which entities, as far as they are known.
        adds_or_removes: whether an entity appeared or went.
    """

    kind: Kind | Literal["journal", "anything"]
    ids: tuple[int, ...] = ()
    adds_or_removes: bool = False


ANYTHING = ChangeEvent("anything", adds_or_removes=True)
"""Whatever there is may have been changed."""


def event_of(batch: Sequence[Step]) -> ChangeEvent:
    """The event of a batch that was made, or may have been."""
    step = batch[0]
    if isinstance(step, Move):
        return ChangeEvent(step.kind, tuple(place.id for place in step.places))
    ids = tuple(step.target_id for step in batch if step.target_id is not None)
    return ChangeEvent(step.kind, ids, adds_or_removes=step.action != "update")


Listener = Callable[[ChangeEvent], Awaitable[None]]
"""Is awaited with every event that is published."""


class ChangeEvents(Protocol):
    """Carries events to everybody who listens, in this process and, where the storage is shared, in others."""

    async def publish(self, event: ChangeEvent) -> None:
        """Tell every listener of this process, in the order in which they subscribed, before this returns.

        Those of other processes hear it soon after, and `ANYTHING` when they may have missed something.
        """
        ...

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        ...
