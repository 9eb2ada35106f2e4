"""What the changes of an account are carried out with."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.events import ChangeEvents
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.parts import progress
from amo_mcp.changes.steps import Step
from amo_mcp.changes.stop import Stop
from amo_mcp.changes.titles import summary_of
from amo_mcp.language import Message, message

Report = Callable[[float, float | None, Message], Awaitable[None]]
"""Reports how far a call is: progress, its total where that is known, and a message."""


@dataclass(frozen=True)
class Means:
    """What the changes of one account are carried out with.

    Attributes:
        client: the API, which answers for that account alone (`AmoClient.meaning`).
        report: reports how far a change is; None when nobody listens.
        clock: gives monotonic seconds.
        stop: no step is begun once it is requested.
        zone: where the account's days begin.
    """

    client: AmoClient
    journal: Journal
    events: ChangeEvents
    report: Report | None = None
    clock: Callable[[], float] = time.monotonic
    stop: Stop = field(default_factory=Stop)
    zone: Zone = UNKNOWN

    async def report_step(self, place: int, steps: Sequence[Step]) -> None:
        """Report that the step at `place` is next; with only one step there is nothing to report."""
        if self.report is not None and len(steps) > 1:
            done, total, part = progress(steps, place)
            await self.report(done, total, message("Done") if part is None else summary_of(part))
