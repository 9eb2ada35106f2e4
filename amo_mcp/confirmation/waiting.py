"""The questions that wait on the page: who may see and answer them, what was answered, and what came of it.

An answer is taken once, from the browser that opened the address, while the question waits. Nothing here is reached by
a tool call: a yes is recorded by the page alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import anyio

from amo_mcp.amocrm.errors import AmoError, OtherAccount, OutcomeUnknown
from amo_mcp.changes.execution import Execution, LimitReached, NobodyMoved
from amo_mcp.changes.journal import JournalUnusable, UndoneMeanwhile
from amo_mcp.changes.plan import PlanUsed
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.pages.guard import new_secret, same

GRACE = 60.0
"""Seconds after a question's death for which the page goes on saying so to who has not seen it."""

LINGER = 5.0
"""Seconds that the page stays after the last outcome was shown, so that its stylesheet is there too."""

SETTLE = 1.0
"""Seconds that the buttons of a question have to be on the screen before an answer is taken: a tab that opens, or the
next question, may come under a finger that is about to press."""

Answer = Literal["yes", "no"]

Outcome = Literal["done", "stopped", "changed", "failed", "unknown", "withdrawn"]
"""What came of a question: carried out; carried out in part; the target was no longer what was shown; refused or
impossible, with nothing changed; undeterminable; or the call that asked it ended."""

Stage = Literal["waiting", "agreed", "refused", "expired", "uncollected"] | Outcome
"""Where a question is: before it is answered, after a yes or a no, too late, or at its end."""


def outcome_of(result: Execution | BaseException) -> Outcome:
    """What came of a change that a person has agreed to, or of the attempt."""
    match result:
        case Execution(failure=None):
            return "done"
        case Execution():
            return "stopped"
        case TargetChanged() | OtherAccount() | PlanUsed() | UndoneMeanwhile():
            return "changed"
        case LimitReached() | JournalUnusable(begun=False) | NobodyMoved():
            return "failed"
        case AmoError() if not isinstance(result, OutcomeUnknown):
            return "failed"
    return "unknown"


@dataclass(eq=False)
class PageQuestion:
    """One question on the page.

    Attributes:
        key: the secret in its address, good for one browser.
        taken: whether a browser has opened it.
        cookie: the secret that this browser then has.
        token: the secret in its form.
        answer: what the person said; the first answer is the last.
        answered: is set with the answer, or when no answer can come any more.
        collected: whether the answer has been taken by a call.
        outcome: what came of it.
        wants_tab: whether a tab is to be opened for it, once the last one is old enough.
        shown: the last stage that a browser was shown.
        asked_at: Unix seconds since which a browser shows its buttons.
        done: steps that were made, of the `total` of a change that stopped on its way.
        too_soon: whether an answer was just not taken, because its buttons had not been on the screen for long enough.
    """

    approval: Approval
    key: str = field(default_factory=new_secret)
    taken: bool = False
    cookie: str = field(default_factory=new_secret)
    token: str = field(default_factory=new_secret)
    answer: Answer | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)
    collected: bool = False
    outcome: Outcome | None = None
    wants_tab: bool = False
    shown: Stage | None = None
    asked_at: float = math.inf
    done: int = 0
    total: int = 0
    too_soon: bool = False

    @property
    def cookie_name(self) -> str:
        """Named after the question: all servers on this machine share one jar."""
        return f"amo_{self.approval.nonce}"

    def stage(self, now: float) -> Stage:
        """Its stage at a moment, in Unix seconds."""
        if self.outcome is not None:
            return self.outcome
        if self.answer == "no":
            return "refused"
        if now >= self.approval.expires and not self.collected:
            return "uncollected" if self.answer else "expired"
        return "agreed" if self.answer else "waiting"

    def is_owed(self, now: float) -> bool:
        """Whether a call may still come for the person's no."""
        return self.answer == "no" and not self.collected and now < self.approval.expires

    def end(self, outcome: Outcome, done: int = 0, total: int | None = None) -> None:
        """Say what came of it; with a `total`, that it was sent in so many steps."""
        self.outcome, self.done = outcome, done
        self.total = len(self.approval.change.steps) if total is None else total
        self.answered.set()

    def belongs_to(self, cookies: Mapping[str, str]) -> bool:
        """Whether the browser with these cookies is the one that opened it."""
        return same(cookies.get(self.cookie_name, ""), self.cookie)


class Questions:
    """The questions of one server that a person is asked on the page; `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._all: dict[str, PageQuestion] = {}
        self._shown_at = 0.0

    def add(self, approval: Approval) -> PageQuestion:
        """A new question; what is over and needs no telling is forgotten."""
        now = self.clock()
        self._all = {key: item for key, item in self._all.items() if not _is_told(item, now) or item.is_owed(now)}
        return self._all.setdefault(approval.id, PageQuestion(approval))

    def of(self, approval_id: str) -> PageQuestion | None:
        """The question of an approval, if it was asked on the page."""
        return self._all.get(approval_id)

    def opened_by(self, key: str) -> PageQuestion | None:
        """The question whose address has this secret."""
        return next((item for item in self._all.values() if same(item.key, key)), None)

    def pending(self) -> Iterator[PageQuestion]:
        """Those that wait for an answer, or whose yes waits for a call, the oldest first."""
        now = self.clock()
        return (item for item in [*self._all.values()] if item.stage(now) in ("waiting", "agreed"))

    def is_watched(self) -> bool:
        """Whether a browser has something open here that goes on."""
        return any(item.taken for item in self.pending())

    def seen_by(self, cookies: Mapping[str, str]) -> list[PageQuestion]:
        """What the browser with these cookies may see: its own questions, and those that no browser has opened yet.

        Those that can be answered come first, the oldest at the top; then the others, the newest first.
        """
        if not any(item.belongs_to(cookies) for item in self._all.values()):
            return []
        now = self.clock()
        own = [item for item in self._all.values() if not item.taken or item.belongs_to(cookies)]
        waiting = [item for item in own if item.stage(now) == "waiting"]
        return waiting + [item for item in reversed(own) if item not in waiting]

    def with_token(self, token: str) -> PageQuestion | None:
        """The question whose form has this secret."""
        return next((item for item in self._all.values() if same(item.token, token)), None)

    def answer(self, item: PageQuestion, answer: Answer) -> None:
        """Take an answer to a question that waits and has been seen; to any other it makes no difference."""
        if item.stage(now := self.clock()) != "waiting":
            return
        item.too_soon = now < item.asked_at + SETTLE
        if not item.too_soon:
            item.answer = answer
            item.answered.set()

    def without_tab(self) -> PageQuestion | None:
        """The oldest question that waits for a tab, unless a browser has come upon it on the page already."""
        now = self.clock()
        wanting = (item for item in self._all.values() if item.wants_tab and not item.taken)
        return next((item for item in wanting if item.stage(now) == "waiting"), None)

    def was_shown(self, item: PageQuestion) -> Stage:
        """Note that a browser is shown the question; its stage."""
        self._shown_at = self.clock()
        item.shown = item.stage(self._shown_at)
        if item.shown == "waiting":
            item.asked_at = min(item.asked_at, self._shown_at)
        return item.shown

    def all_told(self) -> bool:
        """Whether nothing is left to be answered or shown."""
        now = self.clock()
        return now >= self._shown_at + LINGER and all(_is_told(item, now) for item in self._all.values())


def _is_told(item: PageQuestion, now: float) -> bool:
    """Whether it has ended, and its end was shown or nobody will look any more."""
    stage = item.stage(now)
    if stage in ("waiting", "agreed"):
        return False
    never_opened = stage == "withdrawn" and not item.taken
    return never_opened or item.shown == stage or now >= item.approval.expires + GRACE
