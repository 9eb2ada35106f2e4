"""What is wrong with the segments or statuses, and what could be done about it."""

from amo_mcp.accounts.cache import CachedReads
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.changes.steps import check_mode
from amo_mcp.reorganize.audit import Finding
from amo_mcp.reorganize.audit import audit_segments as find_in_segments
from amo_mcp.reorganize.audit import audit_statuses as find_in_statuses
from amo_mcp.tools.runtime.answers import UnreadableEntries, unreadable_in
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class Audit(Output):
    """The findings, in a stable order, and how many entities were examined."""

    findings: list[Finding]
    examined: int
    unreadable: UnreadableEntries = None


@tool("Audit segments", READ, on_board=True)
async def audit_segments(account: CurrentAccount) -> Audit:
    """Find what to tidy, merge or clean up in segments (or statuses). plan_changes takes what it suggests as it is."""
    return await audit(account.client)


async def audit(reads: AmoClient | CachedReads) -> Audit:
    """The findings about what is read, by the account's mode."""
    mode = (await reads.account()).customers_mode
    if mode == "periodicity":
        statuses = await reads.statuses()
        findings = find_in_statuses(statuses)
        return Audit(findings=findings, examined=len(statuses), unreadable=unreadable_in(statuses))
    check_mode("segment", mode)
    segments = await reads.segments()
    findings = find_in_segments(segments, await reads.segment_fields())
    return Audit(findings=findings, examined=len(segments), unreadable=unreadable_in(segments))


TOOLS = (audit_segments,)
