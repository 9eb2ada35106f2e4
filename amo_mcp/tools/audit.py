"""What is wrong with the segments or statuses, and what could be done about it."""

from typing import Any

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.cache import CachedReads
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.listing import Listing
from amo_mcp.changes.steps import check_mode
from amo_mcp.language import Message
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
    return await audit(account, account.client)


async def audit(account: AmoAccount, reads: AmoClient | CachedReads) -> Audit:
    """The findings about what is read, by the account's mode."""
    mode = (await reads.account()).customers_mode
    if mode == "periodicity":
        statuses = await reads.statuses()
        answer = _audit(find_in_statuses(statuses), statuses)
    else:
        check_mode("segment", mode)
        segments = await reads.segments()
        answer = _audit(find_in_segments(segments, await reads.segment_fields()), segments)
    reasons = {at: finding.reason for at, finding in enumerate(answer.findings) if isinstance(finding.reason, Message)}
    if not reasons:
        return answer
    words = (await account.profile.reader()).texts
    return answer.drawn({"reasons": {str(at): words.of(reason) for at, reason in reasons.items()}})


def _audit(findings: list[Finding], listing: Listing[Any]) -> Audit:
    return Audit(findings=findings, examined=len(listing), unreadable=unreadable_in(listing))


TOOLS = (audit_segments,)
