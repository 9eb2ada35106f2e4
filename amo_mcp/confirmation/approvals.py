"""Pending changes that wait for a person's yes.

An approval is used once, dies after ten minutes, and belongs to one caller, one tool and one set of arguments. They
are held in memory: a server that ends takes its questions with it, and nothing happens.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.question import Question

LIFETIME = 600.0
"""Seconds that a question waits for its answer."""

MOST_PENDING = 50
"""Questions of one caller that can wait; the oldest gives way."""

_MOST_REMEMBERED = 2000
"""Questions of all callers together, and as many answered ones; the oldest gives way."""

_NOT_YOURS = "No change of yours waits for this approval."

Way = Literal["dialog", "two steps"]
"""How the person is asked; an answer that comes the other way is none."""


class Change(Protocol):
    """One change as it was previewed: it holds its target as it was when the question was made."""

    def question(self) -> Question:
        """What the person is asked."""
        ...

    async def still_stands(self, account: AmoAccount) -> bool:
        """Read the target again: whether it is what was previewed.

        Raises:
            NotFound: the target is gone.
        """
        ...

    async def write(self, account: AmoAccount) -> Any:
        """Do it, exactly as previewed, and say what was done (a pydantic model)."""
        ...


@dataclass(frozen=True)
class Caller:
    """Who asked for the change: the signed-in principal, the session and the client, as far as they are known.

    Over stdio there is one client. Over HTTP a client of 2025-11-25 has a session, whose id is a secret. A client of
    2026-07-28 has none, and two of one name look alike: what tells them apart is what only the one who was asked
    holds, the approval's id or the sealed state of its dialog.
    """

    principal: str | None = None
    session: str | None = None
    client: str | None = None


@dataclass(frozen=True)
class Approval:
    """A question that waits.

    Attributes:
        id: the secret that `confirm_change` takes.
        reference: a short public name of the question; it makes every question's wording its own.
        request: the tool and the digest of its arguments.
        expires: Unix seconds.
    """

    id: str
    reference: str
    way: Way
    caller: Caller
    request: str
    change: Change
    question: Question
    expires: float

    @property
    def expires_at(self) -> datetime:
        """The moment from which the answer comes too late."""
        return datetime.fromtimestamp(self.expires, UTC)


class Approvals:
    """The pending questions of one server.

    Args:
        clock: gives Unix seconds.
        lifetime: seconds that a question waits.
    """

    def __init__(self, clock: Callable[[], float] = time.time, lifetime: float = LIFETIME) -> None:
        self._clock = clock
        self.lifetime = lifetime
        self._pending: OrderedDict[str, Approval] = OrderedDict()
        self._left_open: OrderedDict[str, str] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def open(self, way: Way, caller: Caller, request: str, change: Change) -> Approval:
        """A new question about `change`."""
        approval = Approval(
            id=secrets.token_urlsafe(18),
            reference=self._new_reference(),
            way=way,
            caller=caller,
            request=request,
            change=change,
            question=change.question(),
            expires=self._clock() + self.lifetime,
        )
        self._make_room(caller)
        self._pending[approval.id] = approval
        _bound(self._pending)
        return approval

    def leave_open(self, approval: Approval, state: str) -> None:
        """The answer comes in another call, which brings `state`; the state names the question, and no other."""
        self._left_open[state] = approval.id
        self._left_open.move_to_end(state)
        _bound(self._left_open)

    def left_open(self, state: str, caller: Caller, request: str) -> Approval:
        """The question of the dialog that `state` was given out with.

        Raises:
            ConfirmationExpired: it is not pending any more, was asked about another request, or there never was one.
        """
        approval = self._living(self._left_open.get(state, ""), "dialog", caller)
        if approval.request != request:
            raise ConfirmationExpired(_NOT_YOURS)
        return approval

    def claim(self, approval_id: str, way: Way, caller: Caller) -> Approval:
        """Take the question off the list, to act on its answer; nobody can take it a second time.

        Raises:
            ConfirmationExpired: it was answered, is too old, was asked another way, is another caller's, or never was.
        """
        approval = self._living(approval_id, way, caller)
        self.end(approval)
        return approval

    def end(self, approval: Approval) -> None:
        """Take the question off the list, however it was answered."""
        self._pending.pop(approval.id, None)
        self._answered[approval.id] = None
        _bound(self._answered)

    def restore(self, approval: Approval) -> None:
        """Put a claimed question back: nothing was done about its answer."""
        self._answered.pop(approval.id, None)
        self._pending[approval.id] = approval

    def _living(self, approval_id: str, way: Way, caller: Caller) -> Approval:
        if approval_id in self._answered:
            raise ConfirmationExpired("This question was answered already.")
        approval = self._pending.get(approval_id)
        if approval is None or (approval.way, approval.caller) != (way, caller):
            raise ConfirmationExpired(_NOT_YOURS)
        if self._clock() >= approval.expires:
            raise ConfirmationExpired("The question had waited too long for its answer.")
        return approval

    def _new_reference(self) -> str:
        """One that no pending question has."""
        taken = {item.reference for item in self._pending.values()}
        while (reference := secrets.token_hex(3).upper()) in taken:
            pass
        return reference

    def _make_room(self, caller: Caller) -> None:
        """Forget what is long dead, and the caller's oldest question when there are too many."""
        dead = self._clock() - self.lifetime
        for approval in [item for item in self._pending.values() if item.expires <= dead]:
            del self._pending[approval.id]
        own = [item for item in self._pending.values() if item.caller == caller]
        for approval in own[: max(0, len(own) - MOST_PENDING + 1)]:
            del self._pending[approval.id]


def _bound(kept: "OrderedDict[Any, Any]") -> None:
    """Forget the oldest."""
    while len(kept) > _MOST_REMEMBERED:
        kept.popitem(last=False)
