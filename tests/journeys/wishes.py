"""What people ask the server for, at random."""

from dataclasses import dataclass
from random import Random

from amo_mcp.sandbox.account import Account
from tests.journeys.colleague import DESCRIPTION, ours
from tests.journeys.lives import Json


@dataclass
class Wishes:
    """Changes of one account; no two names are alike, and no colour is one that the colleague takes.

    Attributes:
        most: entities that there may be.
    """

    account: Account
    kind: str
    random: Random
    most: int
    number: int = 0

    @property
    def entities(self) -> dict[int, Json]:
        """All of the kind, by id."""
        return self.account.segments if self.kind == "segment" else self.account.statuses

    def name(self) -> str:
        """A name that nothing had before."""
        self.number += 1
        return f"Имя {self.number}"

    def change(self) -> Json | None:
        """One change, as a plan takes it."""
        random, action = self.random, self.random.choice(["create", "update", "update", "update", "delete"])
        if action == "create":
            if len(self.entities) >= self.most - 6:
                return None
            sort = {"sort": random.randrange(9)} if self.kind == "status" else {}
            return {"action": "create", "kind": self.kind, "name": self.name(), **sort}
        entity_id = random.choice([*self.entities])
        target, entity = {"kind": self.kind, "id": entity_id}, self.entities[entity_id]
        if action == "delete" and not entity.get("is_default"):
            return {"action": "delete", **target}
        patch: Json = {"name": self.name()} if random.random() < 0.7 else {}
        if random.random() < 0.3 or not patch:
            patch["color"] = random.choice([color for color in ours(self.kind) if color != entity["color"]])
        if self.kind == "status" and random.random() < 0.3:
            patch["sort"] = random.randrange(len(self.entities))
        if self.kind == "segment" and random.random() < 0.3:
            values = [{"value": f"Описание {self.name()}"}]
            patch["custom_fields_values"] = [{"field_id": DESCRIPTION, "values": values}]
        return {"action": "update", **target, **patch}
