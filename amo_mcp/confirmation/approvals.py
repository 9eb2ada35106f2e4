"""Pending changes that wait for a person's yes, and what keeps them.

An approval is used once, dies after ten minutes, and belongs to one caller, one tool and one set of arguments.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from amo_mcp.amocrm.zones import offset_of
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import ANYBODY, Reader
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.question import Question, question_of
from amo_mcp.confirmation.ways import Channel

LIFETIME = 600.0
"""Seconds that a question waits for its answer."""

MAX_PENDING = 50
"""Questions of one caller that can wait; the oldest gives way."""

MAX_REMEMBERED = 2000
"""Questions of all callers together, and as many answered ones; the oldest gives way."""

NOT_PENDING = "No such question is pending, or it is not the caller's."
ALREADY_ANSWERED = "This question was answered already."
TOO_LATE = "The confirmation expired."


@dataclass(frozen=True)
class Approval:
    """A question that waits.

    Attributes:
        id: the secret that `confirm_change` takes; empty for who may only see the question.
        channel: how the person is asked; an answer that comes another way is none.
        nonce: a short public name of the question; it makes every question's wording its own.
        tool: the tool that was called.
        request_digest: the tool and its arguments, digested.
        change: what a yes carries out.
        expires: Unix seconds.
        reader: who is asked.
    """

    id: str
    nonce: str
    channel: Channel
    caller: Caller
    tool: str
    request_digest: str
    change: PendingChange
    expires: float
    reader: Reader = ANYBODY

    @property
    def question(self) -> Question:
        """What the person is asked."""
        return question_of(self.change, self.reader)

    @property
    def whole_question(self) -> Question:
        """The same with every step, as the page has room for."""
        return question_of(self.change, self.reader, max_steps=None)

    @property
    def until(self) -> str:
        """Until when it can be answered, on the account's clock; the zone is left out where the title says it."""
        moment = self.reader.zone.moment(int(self.expires))
        zone = f"({offset_of(moment)})"
        return f"{moment:%H:%M}" if self.question.title.endswith(zone) else f"{moment:%H:%M} {zone}"


class ApprovalStore(Protocol):
    """Keeps the pending questions.

    Attributes:
        lifetime: seconds that a question waits.
        clock: gives the Unix seconds by which it grows old.
    """

    lifetime: float
    clock: Callable[[], float]

    async def open(
        self,
        channel: Channel,
        caller: Caller,
        tool: str,
        request_digest: str,
        change: PendingChange,
        reader: Reader = ANYBODY,
    ) -> Approval:
        """A new question, whose nonce no other pending question has.

        It is kept when this returns. Of more than `MAX_PENDING` questions of one caller the oldest is forgotten.
        """
        ...

    async def pending(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        """A question that still waits.

        Raises:
            ConfirmationExpired: it was answered, is too old, was asked another way, is another caller's, or never was.
        """
        ...

    async def consume(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        """Take a question off the list, to act on its answer. Of several who do so at once, one succeeds.

        Raises:
            ConfirmationExpired: as for `pending`.
        """
        ...

    async def close(self, approval: Approval) -> None:
        """Take a question off the list, however it was answered; it does not matter whether it was there."""
        ...


def new_id() -> str:
    """A secret of 144 random bits."""
    return secrets.token_urlsafe(18)


def new_nonce(taken: Collection[str]) -> str:
    """Six hexadecimal digits that are not `taken`."""
    while (nonce := secrets.token_hex(3).upper()) in taken:
        pass
    return nonce
