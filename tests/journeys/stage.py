"""One account, one machine that fails, a colleague, and one server after the other, which can be killed."""

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from pydantic import SecretStr

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.storage.rate_limit import SharedRateLimiter
from tests.clock import Clock
from tests.conftest import ERAS, Person, answer
from tests.journeys.claims import Call
from tests.journeys.colleague import Colleague
from tests.journeys.disasters import PACE_FILE, Machine
from tests.journeys.ledger import Ledger
from tests.journeys.lives import AT_REST, Life, living
from tests.journeys.wishes import Wishes
from tests.storage.disk import Disk

MAX_ENTITIES = 20
PER_SECOND = 7
LATENCIES = (0.0, 0.05, 0.3, 0.9, 2.5)


class Stage:
    """Where a story happens.

    Attributes:
        call: the call that is under way, if one is.
        at_request: what else happens just as a request arrives, by its number in the call.
        at_yes: how often the colleague edits while the person reads the question.
        gone: what the colleague deleted.
        seen: how often what happened.
        log: what happened, in order.
    """

    def __init__(self, seed: int, mode: str, folder: Path, disk: Disk) -> None:
        self.random = Random(f"{mode} {seed}")
        self.era = [*ERAS][seed % 2]
        self.sandbox = Sandbox(mode=mode)
        self.kind = "segment" if mode == "segments" else "status"
        self.passing = Clock(0.0)
        self.machine = Machine(folder, disk, self.random, self.passing)
        self.ledger = Ledger(self.sandbox, self.passing, on_request=self.on_request)
        self.ledger.seconds = self.random.choice(LATENCIES)
        self.wishes = Wishes(self.sandbox.account, self.kind, self.random, MAX_ENTITIES)
        self.colleague = Colleague(self.ledger, self.kind, self.random, MAX_ENTITIES)
        self.person = Person(self.say_yes)
        self.lives = AsyncExitStack()
        self.call: Call | None = None
        self.at_request: dict[int, list[Callable[[str], None]]] = {}
        self.at_yes = 0
        self.known: dict[str, Call] = {}
        self.gone: set[tuple[str, int]] = set()
        self.root: dict[int, int] = {}
        self.seen: Counter[str] = Counter()
        self.log: list[str] = []

    async def begin_life(self) -> None:
        limiter = SharedRateLimiter(
            self.machine.folder / PACE_FILE, PER_SECOND, sleep=self.passing.sleep, clock=self.passing
        )

        def session(http: HttpTransport) -> Session:
            token = LongLivedToken(SecretStr(ADMIN_TOKEN))
            return Session("http://127.0.0.1", token, http, limiter, sleep=self.passing.sleep, clock=self.passing)

        self.life: Life = await self.lives.enter_async_context(
            living(
                self.sandbox,
                self.machine.folder,
                self.era,
                self.person,
                self.machine.clock,
                app=self.ledger,
                monotonic=self.passing,
                session=session,
            )
        )

    def note(self, what: str) -> None:
        self.log.append(what)

    def on_request(self, number: int) -> None:
        """What else happens just as a request arrives."""
        for happening in self.at_request.pop(number, []):
            happening(f"at request {number}")

    def say_yes(self, question: str) -> str:
        """The person's yes; the colleague may be quicker."""
        assert self.call is not None
        self.call.question = question
        self.call.shown = [*self.ledger.reads]
        for _ in range(self.at_yes):
            self.edit("before the yes")
        self.at_yes = 0
        return "yes"

    def edit(self, when: str) -> None:
        done = self.colleague.act(self.call.targets if self.call else ())
        self.seen["edits"] += bool(done)
        self.gone |= {effect.done for effect in done if effect.after is None}
        self.note(f"  {when} the colleague: {[(effect.done, sorted(effect.changed)) for effect in done]}")

    def befall(self, when: str) -> None:
        name = self.machine.befall()
        self.seen[name] += 1
        self.note(f"  {when}: {name}")

    async def next_life(self) -> None:
        """Nobody heard an answer; what was still on its way arrives, and time passes."""
        self.seen["kills"] += 1
        late = self.life.switch.late
        self.note("  killed" + (", and its last request arrives later" if late else ""))
        await self.lives.aclose()
        await self.begin_life()
        if late is not None:
            self.seen["late"] += 1
            answer(await self.life.client.call_tool("list_changes", {"limit": 1}))
            await late()
        self.passing.now += AT_REST
