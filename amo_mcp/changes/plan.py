"""A plan as data: steps that were checked against the account, kept until a person has confirmed them."""

import secrets
from dataclasses import dataclass
from typing import Protocol

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.steps import Step

LIFETIME = 3600.0
"""Seconds that a plan lives."""


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they will be done.

    Attributes:
        id: from `new_id`.
        made: when, in Unix seconds.
        owner: whose it is; only who made a plan can apply it.
        fields: the custom fields that the steps set, as they were defined then.
    """

    id: str
    made: float
    owner: str
    steps: tuple[Step, ...]
    fields: tuple[CustomField, ...] = ()


def new_id() -> str:
    """`p` and twelve hexadecimal digits: an id of digits alone, or like 12e456, is a number to some clients."""
    return f"p{secrets.token_hex(6)}"


class PlanUsed(Exception):
    """The plan was carried out already."""


class PlanStore(Protocol):
    """Keeps plans. Every method can raise `JournalUnusable`.

    A plan is used up by `Journal.begin`, atomically with the record of the change; it can be applied again when nothing
    came of that change.
    """

    async def keep(self, plan: Plan) -> None:
        """Keep a plan; durable when this returns. Plans twice as old as a plan lives are forgotten."""
        ...

    async def plan(self, plan_id: str, owner: str) -> Plan | None:
        """A plan of `owner` that is younger than `LIFETIME` and was not applied."""
        ...
