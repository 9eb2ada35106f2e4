"""The questions of a team that wait on the page: who asked, who said what to them, and what keeps them."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.waiting import Answer, Outcome, Stage
from amo_mcp.team.audit import Actor
from amo_mcp.team.people import Person

NO_RIGHT = "Whoever said yes may no longer approve changes here."

TAKEN_SECONDS = 60.0
"""Seconds for which a call that has used up a yes is believed to be at it; then its replica has died."""

MAX_LISTED = 200
"""Questions that are listed at once, the oldest first."""


@dataclass(frozen=True)
class Question:
    """A question as everybody who may see it does.

    Attributes:
        page: its public name, in the address of its page: it lets nobody do anything.
        approval: what is asked; its id is a secret of who asked, and empty for everybody else.
        asker: who asked, with the role that they have now.
        client: the program that they asked with, in its own words.
        asker_is_known: whether they were not removed since.
        answer: what was said; the first answer is the last.
        answered_by: who said it.
        comment: why, in their words; one line.
        is_used: whether the answer was taken, or can be no longer.
        outcome: what came of it, where the journal does not say more.
        change_id: the change that was made of it.
    """

    page: str
    approval: Approval
    asker: Person
    client: str
    asker_is_known: bool = True
    answer: Answer | None = None
    answered_by: Person | None = None
    comment: str = ""
    is_used: bool = False
    outcome: Outcome | None = None
    change_id: str | None = None

    def stage(self, now: float) -> Stage:
        """Where it is at a moment, in Unix seconds, before the journal says anything of its change."""
        if self.outcome is not None:
            return self.outcome
        if self.answer == "no":
            return "refused"
        if not self.asker_is_known and not self.is_used:
            return "withdrawn"
        if now >= self.approval.expires and not self.is_used:
            return "uncollected" if self.answer else "expired"
        return "agreed" if self.answer else "waiting"


class QuestionStore(Protocol):
    """Keeps the questions. Every method can raise `StorageUnavailable`.

    What is written is durable when a method returns, and every process sees it with its next look.

    Attributes:
        lifetime: seconds that a question waits.
        clock: gives the Unix seconds by which it grows old.
    """

    lifetime: float
    clock: Callable[[], float]

    async def ask(
        self, asker: Person, client: str, tool: str, request_digest: str, change: PendingChange, reader: Reader
    ) -> Question:
        """A new question, with its approval's id.

        Where the same person has asked the same, and it waits or its yes does, it is that question, and the id that it
        had before is good no longer.
        """
        ...

    async def asked(self, approval_id: str, asker: Person) -> Question:
        """A question by its secret, for who asked it: while nobody has taken its answer, and it is not too old.

        Raises:
            ConfirmationExpired: there is none.
        """
        ...

    async def on_page(self, page: str) -> Question | None:
        """A question by its public name, whatever has become of it; None when there is none, or no longer."""
        ...

    async def waiting(self) -> Sequence[Question]:
        """All that wait for an answer, at most `MAX_LISTED`, the oldest first."""
        ...

    async def answer(self, question: Question, answer: Answer, by: Actor, comment: str) -> bool:
        """Record an answer, and that in the audit; whether that was done: what no longer waits is left as it is."""
        ...

    async def is_taken(self, approval_id: str, asker: Person) -> bool:
        """Whether a call of who asked has used up the yes a moment ago, and nothing is known yet of what it came to."""
        ...

    async def use_yes(self, question: Question) -> bool:
        """Use up a yes, to act on it; of several who do so at once, one succeeds.

        Only a yes of somebody counts who may still say it: known, and an approver at least.
        """
        ...

    async def stop(self, question: Question, by: Actor) -> None:
        """Have what came of a yes end between two steps, and that in the audit; nothing, where it does not go on."""
        ...

    async def close(self, approval_id: str, outcome: Outcome | None) -> None:
        """Note that a question waits no longer, and with an outcome what came of it."""
        ...


def new_page() -> str:
    """A public name: `q` and sixteen hexadecimal digits."""
    return f"q{secrets.token_hex(8)}"
