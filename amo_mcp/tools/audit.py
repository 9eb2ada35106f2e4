"""What is wrong with the segments or statuses, and what could be done about it."""

from collections.abc import Sequence
from typing import Any

from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.reorganize.audit import Finding
from amo_mcp.reorganize.audit import audit_segments as find_in_segments
from amo_mcp.reorganize.audit import audit_statuses as find_in_statuses
from amo_mcp.tools.runtime.tool import READ, CurrentAccount, Output, tool


class AuditFinding(Output):
    """One thing that could be better."""

    problem: str
    kind: str
    ids: list[int]
    reason: str
    confidence: str
    suggested_changes: list[dict[str, Any]]


class Audit(Output):
    """The findings, in a stable order, and how many entities were examined."""

    findings: list[AuditFinding]
    examined: int


@tool("Audit segments", READ)
async def audit_segments(account: CurrentAccount) -> Audit:
    """Find what is wrong with segments (or statuses), with suggestions that plan_changes takes as they are."""
    client = account.client
    mode = (await client.account()).customers_mode
    if mode == "periodicity":
        statuses = await client.statuses()
        return _audit(find_in_statuses(statuses), len(statuses))
    if mode != "segments":
        raise ModeDisabled("segments", mode)
    segments = await client.segments()
    return _audit(find_in_segments(segments, await client.segment_fields()), len(segments))


def _audit(findings: Sequence[Finding], examined: int) -> Audit:
    return Audit(
        findings=[
            AuditFinding(
                problem=finding.problem,
                kind=finding.kind,
                ids=list(finding.ids),
                reason=finding.reason,
                confidence=finding.confidence,
                suggested_changes=[dict(change) for change in finding.changes],
            )
            for finding in findings
        ],
        examined=examined,
    )


TOOLS = (audit_segments,)
