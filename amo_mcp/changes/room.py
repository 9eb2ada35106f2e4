"""How many segments and statuses an account has room for."""

from collections.abc import Iterable, Mapping

from amo_mcp.amocrm.limits import MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.changes.steps import Kind, Step

LIMITS: Mapping[Kind, int] = {"segment": MAX_SEGMENTS, "status": MAX_STATUSES}
"""How many of a kind one account holds."""

PLURALS: Mapping[Kind, str] = {"segment": "segments", "status": "statuses"}


def exceeds_limit(kind: Kind, count: int, steps: Iterable[Step]) -> bool:
    """Whether the steps, in this order, would at any point create more of a kind than an account holds."""
    for step in steps:
        if step.kind == kind:
            count += {"create": 1, "delete": -1}.get(step.action, 0)
            if step.action == "create" and count > LIMITS[kind]:
                return True
    return False
