"""Asking about a team's change: the question waits on a page of the server, for whoever may answer it there.

A call asks and waits, at whichever replica it is. It never answers: what is carried out is what the page recorded.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
from mcp_types import InputRequiredResult
from typing_extensions import override

from amo_mcp.changes.execution import Execution
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation import dialog
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import client_of_caller, digest_of_call
from amo_mcp.confirmation.confirmation import WAIT_SECONDS, Confirmation
from amo_mcp.confirmation.errors import (
    CannotAsk,
    ConfirmationExpired,
    ConfirmationPending,
    ConfirmationRequired,
    Declined,
    Waits,
)
from amo_mcp.confirmation.progress import CallProgress
from amo_mcp.confirmation.waiting import outcome_of
from amo_mcp.protocol import Ctx
from amo_mcp.team.approval.questions import NO_RIGHT, Question
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.people import Person
from amo_mcp.team.signed_in import signed_in
from amo_mcp.text import quote

PATH = "/approve"
"""Where the pages of questions are, each under its public name."""

_LOOK_SECONDS = 1.0
"""Seconds after which it is looked again whether somebody has answered."""

_TAKEN_LOOK_SECONDS = 0.2
"""Seconds after which it is looked again what became of a yes that another call has taken."""

_WAY_OUT = "A client that does not declare URL elicitation is given the address of the page in the answer instead."

_WaitsT = TypeVar("_WaitsT", bound=Waits)


class TeamAsker(Confirmation):
    """Asks whoever may approve.

    Args:
        public_url: the server's address, without a path.
        sleep: waits that many seconds.
    """

    def __init__(
        self, approvals: Approvals, public_url: str, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        self._approvals = approvals
        self._store = approvals.store
        self._public_url = public_url
        self._sleep = sleep

    @override
    def check_can_ask(self, ctx: Ctx) -> None:
        """There is always the page."""

    @override
    async def ask(
        self, ctx: Ctx, progress: CallProgress, tool: str, change: PendingChange, reader: Reader
    ) -> Approval | InputRequiredResult:
        progress.texts = reader.texts
        asked = tool, digest_of_call(ctx), change, reader
        question = await self._store.ask(_person(), client_of_caller(ctx), *asked)
        if dialog.client_of(ctx).url:
            return self._link(question)
        raise self._waits(ConfirmationRequired, question)

    @override
    async def resume(
        self, ctx: Ctx, progress: CallProgress, state: str, responses: dict[str, Any] | None
    ) -> Approval | InputRequiredResult:
        # The state is sealed for this call: its tool, its arguments and its person.
        question, answer = await self._store.asked(state, _person()), dialog.answer_in(responses)
        if answer is None:
            return self._link(question)
        age = self._store.clock() - question.approval.expires + self._store.lifetime
        try:
            dialog.check_opened(answer, age, _WAY_OUT)
        except (Declined, CannotAsk):
            await self._store.close(state, "withdrawn")
            raise
        return await self._answered(progress, question)

    @override
    async def confirm(self, ctx: Ctx, progress: CallProgress, approval_id: str) -> Approval:
        asker = _person()

        async def told() -> bool:
            while await self._store.is_taken(approval_id, asker):
                await self._sleep(_TAKEN_LOOK_SECONDS)
            return True

        try:
            return await self._answered(progress, await self._store.asked(approval_id, asker))
        except ConfirmationExpired:
            # Whoever has taken the yes reads the account before it begins the change, which is what there is to watch.
            await progress.while_waiting(told, WAIT_SECONDS, self._sleep)
            raise

    @override
    async def settle(self, approval: Approval, result: Execution | BaseException) -> None:
        # Of a change that was begun the journal has all of it.
        if isinstance(result, BaseException):
            with suppress(StorageUnavailable):
                await self._store.close(approval.id, outcome_of(result))

    async def _answered(self, progress: CallProgress, question: Question) -> Approval:
        """Wait for an answer, and take it."""
        approval, asker = question.approval, question.asker
        progress.texts = approval.reader.texts

        async def answered() -> Question:
            while (looked := await self._store.asked(approval.id, asker)).answer is None:
                await self._sleep(_LOOK_SECONDS)
            return looked

        found = await progress.while_waiting(answered, WAIT_SECONDS, self._sleep)
        if found is None:
            raise self._waits(ConfirmationPending, question)
        if found.answer == "no":
            await self._store.close(approval.id, None)
            raise Declined(_refusal(found), dialog.DO_NOT_REPEAT)
        await self._use(found)
        return found.approval

    async def _use(self, question: Question) -> None:
        """Use up a yes.

        Raises:
            ConfirmationExpired: somebody else has, or it counts no longer.
        """
        assert question.answered_by is not None, "it was answered"
        may_agree = "yes" in self._approvals.answers(question.answered_by, question)
        if may_agree and await self._store.use_yes(question):
            return
        # Raises where somebody else has used it.
        await self._store.asked(question.approval.id, question.asker)
        await self._store.close(question.approval.id, "withdrawn")
        raise ConfirmationExpired(NO_RIGHT)

    def _waits(self, kind: type[_WaitsT], question: Question) -> _WaitsT:
        approval = question.approval
        by_another = "yes" not in self._approvals.answers(question.asker, question)
        waiting = approval.question.text, approval.id, approval.expires, approval.channel
        return kind(*waiting, self._address(question), by_another=by_another)

    def _link(self, question: Question) -> InputRequiredResult:
        return dialog.link_result(question.approval, self._address(question))

    def _address(self, question: Question) -> str:
        return f"{self._public_url}{PATH}/{question.page}"


def _person() -> Person:
    person = signed_in()
    assert person is not None, "nobody else comes so far"
    return person


def _refusal(question: Question) -> str:
    assert question.answered_by is not None, "it was answered"
    said = f"{quote(question.answered_by.name)} said no on the page"
    return f"{said}: {quote(question.comment, len(question.comment))}." if question.comment else f"{said}."
