"""Plans that live as long as the process."""

import time
from collections.abc import Callable

from typing_extensions import override

from amo_mcp.changes.plan import LIFETIME, Plan, PlanStore, PlanUsed


class MemoryPlanStore(PlanStore):
    """The plans of one account.

    Args:
        clock: gives Unix seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._used: set[str] = set()

    @override
    async def keep(self, plan: Plan) -> None:
        oldest = self._clock() - 2 * LIFETIME
        self._plans = {kept.id: kept for kept in (*self._plans.values(), plan) if kept.made >= oldest}
        self._used &= self._plans.keys()

    @override
    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        plan = self._plans.get(plan_id)
        if plan is None or plan.owner != owner or plan_id in self._used:
            return None
        return plan if abs(plan.made - self._clock()) < LIFETIME else None

    def use_up(self, plan_id: str) -> None:
        """Use a plan up, as its change begins.

        Raises:
            PlanUsed: it was used up before.
        """
        if plan_id not in self._plans or plan_id in self._used:
            raise PlanUsed
        self._used.add(plan_id)

    def free(self, plan_id: str | None) -> None:
        """Let a plan be applied again, as its change ends of which nothing came."""
        self._used -= {plan_id}
