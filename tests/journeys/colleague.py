"""Somebody who works in the same account, in amoCRM, at any moment."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.sandbox.api import segments, statuses
from tests.journeys.ledger import Effect, Ledger

ACTS = ("create", "rename", "recolour", "describe", "move", "fill", "fill", "empty", "delete")
DESCRIPTION = 272439
"""A text field of the sandbox's segments."""


@dataclass
class Colleague:
    """Edits, moves, fills and deletes segments and statuses by the API's own rules, with names and colours of theirs.

    Attributes:
        most: entities that they let there be.
        spared: ids that they do not delete.
    """

    ledger: Ledger
    kind: str
    random: Random
    most: int
    number: int = 0
    spared: frozenset[int] = frozenset()

    def act(self, targets: Collection[int] = ()) -> list[Effect]:
        """Do something, mostly to one of `targets`."""
        account, random = self.ledger.sandbox.account, self.random
        entities = account.segments if self.kind == "segment" else account.statuses
        act = random.choice(ACTS)
        self.number += 1
        name = f"Чужое {self.number}"
        if act == "create" and len(entities) < self.most:
            return self.ledger.edit(lambda: self._create(name))
        pool = sorted(entities.keys() & {*targets}) if random.random() < 0.8 else []
        if not (pool or entities):
            return []
        entity_id = random.choice(pool or sorted(entities))
        if act == "delete" and entity_id not in self.spared and not entities[entity_id].get("is_default"):
            delete = segments.delete if self.kind == "segment" else statuses.delete
            return self.ledger.edit(lambda: delete(account, entity_id))
        if act == "move" and self.kind == "status":
            place = random.randrange(len(entities))
            return self.ledger.edit(lambda: statuses.update(account, entity_id, {"sort": place}), entity_id)
        if act in ("fill", "empty") and self.kind == "segment":
            count = entities[entity_id]["customers_count"] + random.randint(1, 900) if act == "fill" else 0
            return self.ledger.edit(lambda: entities[entity_id].update(customers_count=count))
        change: dict[str, object] = {"name": name}
        if act == "recolour":
            change = {"color": random.choice(theirs(self.kind))}
        elif act == "describe" and self.kind == "segment":
            change = {"custom_fields_values": [{"field_id": DESCRIPTION, "values": [{"value": name}]}]}
        return self.ledger.edit(lambda: self._update(entity_id, change))

    def _create(self, name: str) -> None:
        if self.kind == "segment":
            segments.create(self.ledger.sandbox.account, {"name": name}, 0)
        else:
            statuses.create(self.ledger.sandbox.account, [{"name": name, "sort": self.random.randrange(9)}])

    def _update(self, entity_id: int, change: dict[str, object]) -> None:
        if self.kind == "segment":
            segments.update(self.ledger.sandbox.account, entity_id, change, 0)
        else:
            statuses.update(self.ledger.sandbox.account, entity_id, change)


def ours(kind: str) -> tuple[str, ...]:
    """The colours that the server is asked for, so that what it made is told from what the colleague made."""
    return tuple(SEGMENT_COLORS if kind == "segment" else STATUS_COLORS)[::2]


def theirs(kind: str) -> tuple[str, ...]:
    """The colours that the colleague takes."""
    return tuple(SEGMENT_COLORS if kind == "segment" else STATUS_COLORS)[1::2]
