"""What is wrong with the segments or statuses, and what could be done about it."""

from typing import Any

from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.reorganize.audit import Finding
from amo_mcp.reorganize.audit import audit_segments as findings_of_segments
from amo_mcp.reorganize.audit import audit_statuses as findings_of_statuses
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class ToldFinding(Output):
    """One thing that could be better."""

    problem: str
    kind: str
    ids: list[int]
    reason: str
    confidence: str
    suggested_changes: list[dict[str, Any]]


class Audit(Output):
    """The findings, in a steady order, and how many things were looked at."""

    findings: list[ToldFinding]
    examined: int


@tool("Audit segments", READ)
async def audit_segments(account: CurrentAccount) -> Audit:
    """Find what is wrong with segments (or statuses), with suggestions that plan_changes takes as they are."""
    mode = (await account.client.account()).customers_mode
    if mode == "periodicity":
        statuses = await account.client.statuses()
        return _told(findings_of_statuses(statuses), len(statuses))
    if mode != "segments":
        raise ModeDisabled("segments", mode)
    segments = await account.client.segments()
    return _told(findings_of_segments(segments, await account.client.segment_fields()), len(segments))


def _told(findings: list[Finding], examined: int) -> Audit:
    told = [
        ToldFinding(
            problem=finding.problem,
            kind=finding.kind,
            ids=list(finding.ids),
            reason=finding.reason,
            confidence=finding.confidence,
            suggested_changes=[dict(change) for change in finding.changes],
        )
        for finding in findings
    ]
    return Audit(findings=told, examined=examined)


TOOLS = (audit_segments,)
