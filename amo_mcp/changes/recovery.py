"""Changes that were left unfinished, as when a process died: the account is read to find out what came of them."""

from collections.abc import Sequence

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, Refused, Unavailable
from amo_mcp.changes.delivery import spans, verify_write
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.steps import Step


async def recover(client: AmoClient | None, journal: Journal) -> None:
    """Find out what came of every unfinished change, and record it.

    While what was sent may still arrive, only what was made is recorded.

    Args:
        client: answers for the journal's account alone (`AmoClient.meaning`); None while the account cannot be asked.
        journal: where the changes are.

    Raises:
        JournalUnusable: the journal cannot be read or written.
    """
    for unsettled in await journal.unsettled():
        steps, found = unsettled.record.steps, dict[int, Step]()
        for span in spans(steps):
            batch = steps[span.start : span.stop]
            if client is not None and batch[0].outcome == "pending":
                found |= zip(span, await _settled(client, batch, at_rest=unsettled.at_rest), strict=False)
        await journal.settle(unsettled.record.id, found)


async def _settled(client: AmoClient, batch: Sequence[Step], *, at_rest: bool) -> Sequence[Step]:
    """The steps with what came of them; none when that cannot be said yet."""
    try:
        done = await verify_write(client, batch)
    except (Refused, Unavailable):
        return []
    except AmoError:
        return [step.with_outcome("unknown") for step in batch] if at_rest else []
    if done is not None:
        return done
    return [step.with_outcome("failed") for step in batch] if at_rest else []
