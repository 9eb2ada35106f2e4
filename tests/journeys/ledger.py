"""What really happened to an account: every effect of every request and of every colleague's edit, with its moment."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import Receive, Scope, Send

from amo_mcp.sandbox import Sandbox
from tests.clock import Clock
from tests.journeys.lives import Json

State = dict[int, Json]
"""The segments and statuses of an account, by id; the ids of the two kinds have nothing in common."""

SETTINGS = ("name", "color", "custom_fields_values", "available_products_price_types")
"""What a person sets in an entity; positions are renumbered by the account and are looked at by themselves."""


@dataclass(frozen=True)
class Effect:
    """What one act made of one entity: `before` is None for a creation, `after` for a deletion.

    Attributes:
        at: when, in seconds that really passed.
        moves: whether it was to move the entity, and not only renumbered it.
    """

    by: Literal["server", "colleague"]
    at: float
    id: int
    before: Json | None
    after: Json | None
    moves: bool = False

    @property
    def done(self) -> tuple[str, int]:
        """What it did, in the words of a summary."""
        verb = "Create" if self.before is None else "Delete" if self.after is None else "Change"
        return verb, self.id

    @property
    def changed(self) -> set[str]:
        """The settings that it changed."""
        return {name for name in SETTINGS if (self.before or {}).get(name) != (self.after or {}).get(name)}


@dataclass
class Ledger:
    """The way to a sandbox, on which somebody else can act just as a request arrives; it keeps what came of each.

    Attributes:
        seconds: how long each request is on its way.
        on_request: is called with the number of requests that arrived before this one since `begin`.
        effects: everything that was done since the beginning, in order.
        reads: when each request arrived that only reads, since `begin`, and the account as it was then.
        arrivals: when each request arrived, in seconds that really passed.
    """

    sandbox: Sandbox
    clock: Clock
    seconds: float = 0.0
    on_request: Callable[[int], None] = lambda _: None
    effects: list[Effect] = field(default_factory=list)
    reads: list[tuple[float, State]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    _begun: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request arrive."""
        self.clock.now += self.seconds
        self.on_request(len(self.arrivals) - self._begun)
        self.arrivals.append(self.clock.now)
        before = self.state()
        if scope["method"] == "GET":
            self.reads.append((self.clock.now, before))
            await self.sandbox.app(scope, receive, send)
            return
        target = scope["path"].rpartition("/")[2]
        if target == "customers":
            # Who is in a segment is no setting of it.
            await self.sandbox.app(scope, receive, send)
            return
        try:
            await self.sandbox.app(scope, receive, send)
        finally:
            self.effects += self._effects("server", before, int(target) if target.isdigit() else 0)

    def begin(self) -> None:
        """Count requests and keep reads anew."""
        self._begun = len(self.arrivals)
        self.reads.clear()

    def edit(self, act: Callable[[], Any], target: int = 0) -> list[Effect]:
        """Have a colleague act; `target` is what they mean to move, if they move anything."""
        before = self.state()
        act()
        effects = [*self._effects("colleague", before, target)]
        self.effects += effects
        return effects

    def state(self) -> State:
        """The account as it is."""
        account = self.sandbox.account
        return deepcopy({**account.segments, **account.statuses})

    def busiest_second(self) -> int:
        """The largest number of requests that arrived within one second, in the last call or just before it."""
        recent = self.arrivals[max(0, self._begun - 20) :]
        return max((sum(at < first + 1 for at in recent[place:]) for place, first in enumerate(recent)), default=0)

    def _effects(self, by: Literal["server", "colleague"], before: State, target: int) -> Iterator[Effect]:
        now = self.state()
        for entity_id in sorted({*before, *now}):
            was, is_now = before.get(entity_id), now.get(entity_id)
            moves = entity_id == target and was and is_now and was.get("sort") != is_now.get("sort")
            effect = Effect(by, self.clock.now, entity_id, was, is_now, bool(moves))
            filled = (was or {}).get("customers_count") != (is_now or {}).get("customers_count")
            if was is None or is_now is None or effect.changed or moves or filled:
                yield effect
