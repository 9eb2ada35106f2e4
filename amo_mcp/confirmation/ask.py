"""From a pending change to a person's yes, in the way that the client, the machine and the operator allow."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio
from mcp_types import InputRequiredResult
from typing_extensions import override

from amo_mcp.changes.execution import Execution
from amo_mcp.changes.parts import made
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation import dialog
from amo_mcp.confirmation.approvals import NOT_PENDING, TOO_LATE, Approval, ApprovalStore
from amo_mcp.confirmation.caller import Caller, caller_of, digest_of_call
from amo_mcp.confirmation.confirmation import WAIT_SECONDS, Confirmation
from amo_mcp.confirmation.errors import (
    ConfirmationExpired,
    ConfirmationPending,
    ConfirmationRequired,
    Declined,
)
from amo_mcp.confirmation.first_of import first_of
from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.confirmation.progress import CallProgress
from amo_mcp.confirmation.waiting import PageQuestion, outcome_of
from amo_mcp.confirmation.ways import Carrier, Choice, Ways
from amo_mcp.protocol import STATELESS_SINCE, Ctx

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asker(Confirmation):
    """Asks the person who calls.

    Attributes:
        approvals: the pending questions.
        page: the page in the person's browser.
        choice: what the operator chose.
        carrier: how the client reaches the server.
        sleep: waits that many seconds.
    """

    approvals: ApprovalStore
    page: ApprovalPage
    choice: Choice = "auto"
    carrier: Carrier = "stdio"
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep

    @property
    def ways(self) -> Ways:
        """The ways to ask that are open now."""
        return Ways(self.choice, self.carrier, self.page.opens)

    @override
    def check_can_ask(self, ctx: Ctx) -> None:
        self.ways.channel(dialog.client_of(ctx))

    @override
    async def ask(
        self, ctx: Ctx, progress: CallProgress, tool: str, change: PendingChange, reader: Reader
    ) -> Approval | InputRequiredResult:
        progress.texts = reader.texts
        return await self._ask(ctx, progress, self.ways, tool, change, reader)

    async def _ask(
        self, ctx: Ctx, progress: CallProgress, ways: Ways, tool: str, change: PendingChange, reader: Reader
    ) -> Approval | InputRequiredResult:
        client, caller = dialog.client_of(ctx), caller_of(ctx)
        channel, asked = ways.channel(client), (caller, tool, digest_of_call(ctx), change)
        approval = None if channel != "page" or client.url else await self._asked_before(*asked)
        if approval is None:
            approval = await self.approvals.open(channel, *asked, reader)
            await self._withdraw_forgotten()
        match channel:
            case "chat":
                raise ConfirmationRequired(*_waiting(approval))
            case "page":
                if question := await self._on_page(ctx, approval):
                    return await self._linked(ctx, progress, question)
                return await self._ask(ctx, progress, replace(ways, opens=False, listens=False), tool, change, reader)
        if ctx.protocol_version >= STATELESS_SINCE:
            return dialog.form_result(approval)
        async with self._ends_with_the_call(approval):
            show = partial(dialog.show_form, ctx, approval, self.ways.way_out)
            answer = await progress.while_waiting(show, self.approvals.lifetime, self.sleep)
            if answer is None:
                raise ConfirmationExpired("The dialog was not answered in time.")
            dialog.check_answer(answer, self._age(approval), self.ways.way_out)
            return await self.approvals.consume(approval.id, channel, caller)

    @override
    async def resume(
        self, ctx: Ctx, progress: CallProgress, state: str, responses: dict[str, Any] | None
    ) -> Approval | InputRequiredResult:
        caller, question = caller_of(ctx), self.page.questions.of(state)
        approval = await self.approvals.pending(state, "page" if question else "dialog", caller)
        progress.texts = approval.reader.texts
        if approval.request_digest != digest_of_call(ctx):
            raise ConfirmationExpired(NOT_PENDING)
        answer = dialog.answer_in(responses)
        if answer is None and question is not None:
            return dialog.link_result(approval, self.page.address(question))
        if answer is None:
            return dialog.form_result(approval)
        async with self._ends_with_the_call(approval):
            if question is not None:
                dialog.check_opened(answer, self._age(approval), self.ways.way_out)
                return await self._collected(progress, question, question.answered.wait)
            dialog.check_answer(answer, self._age(approval), self.ways.way_out)
            return await self.approvals.consume(approval.id, "dialog", caller)

    @override
    async def confirm(self, ctx: Ctx, progress: CallProgress, approval_id: str) -> Approval:
        caller, question = caller_of(ctx), self.page.questions.of(approval_id)
        if question is None:
            approval = await self.approvals.consume(approval_id, "chat", caller)
            progress.texts = approval.reader.texts
            return approval
        await self.approvals.pending(approval_id, "page", caller)
        return await self._collected(progress, question, question.answered.wait)

    @override
    async def settle(self, approval: Approval, result: Execution | BaseException) -> None:
        is_under_way = isinstance(result, Execution) and result.record.status == "running"
        if not is_under_way and (question := self.page.questions.of(approval.id)):
            sent = made(result.record.steps) if isinstance(result, Execution) else ()
            question.end(outcome_of(result), *sent)

    async def _asked_before(self, caller: Caller, tool: str, digest: str, change: PendingChange) -> Approval | None:
        """The approval of the same question, when that still waits on the page."""
        for item in self.page.questions.pending():
            asked = item.approval
            if (asked.caller, asked.tool, asked.request_digest, asked.change) == (caller, tool, digest, change):
                with suppress(ConfirmationExpired):
                    return await self.approvals.pending(asked.id, "page", caller)
        return None

    async def _withdraw_forgotten(self) -> None:
        """Take off the page what gave way to newer questions: a yes to it would come to nothing."""
        for item in self.page.questions.pending():
            try:
                await self.approvals.pending(item.approval.id, "page", item.approval.caller)
            except ConfirmationExpired:
                if not item.collected:
                    item.end("withdrawn")

    async def _on_page(self, ctx: Ctx, approval: Approval) -> PageQuestion | None:
        """Put a question on the page, for a client that is to be given its address; None when no browser opens.

        Raises:
            ConfirmationRequired: a tab was opened, and the change waits for `confirm_change`.
        """
        question = None
        with suppress(OSError):
            question = self.page.ask(approval)
            if dialog.client_of(ctx).url:
                return question
            if await self.page.show(question):
                raise ConfirmationRequired(*_waiting(approval))
            if self.page.questions.is_watched():
                logger.warning("a tab did not open: its question waits on the page that is open")
                raise ConfirmationRequired(*_waiting(approval))
        await self._withdraw(approval)
        logger.warning("the browser did not open: a person is asked another way, where there is one")
        return None

    async def _linked(self, ctx: Ctx, progress: CallProgress, question: PageQuestion) -> Approval | InputRequiredResult:
        """Give the client the address of the page, and wait for the person."""
        approval, address, way_out = question.approval, self.page.address(question), self.ways.way_out
        if ctx.protocol_version >= STATELESS_SINCE:
            return dialog.link_result(approval, address)

        async def opened() -> None:
            dialog.check_opened(await dialog.show_link(ctx, approval, address, way_out), self._age(approval), way_out)
            await question.answered.wait()

        async def opened_and_answered() -> None:
            # A person may answer before the client says that it has shown the link.
            await first_of(opened, question.answered.wait)
            await ctx.session.send_elicit_complete(approval.nonce, ctx.request_id)

        async with self._ends_with_the_call(approval):
            return await self._collected(progress, question, opened_and_answered)

    async def _collected(
        self, progress: CallProgress, question: PageQuestion, answered: Callable[[], Awaitable[None]]
    ) -> Approval:
        """Wait for the person, and take their answer.

        Raises:
            ConfirmationPending: there is none yet.
            Declined: it is a no.
            ConfirmationExpired: it came too late, or was taken already.
        """
        approval = question.approval
        progress.texts = approval.reader.texts

        async def wait() -> bool:
            await answered()
            return True

        if not await progress.while_waiting(wait, WAIT_SECONDS, self.sleep):
            await self.approvals.pending(approval.id, "page", approval.caller)
            raise ConfirmationPending(*_waiting(approval))
        match question.answer:
            case "yes":
                await self.approvals.consume(approval.id, "page", approval.caller)
                question.collected = True
                return approval
            case "no":
                question.collected = True
                await self.approvals.close(approval)
                raise Declined("The person said no on the page.", dialog.DO_NOT_REPEAT)
        raise ConfirmationExpired(TOO_LATE)

    def _age(self, approval: Approval) -> float:
        """Seconds since it was asked."""
        return self.approvals.clock() - approval.expires + self.approvals.lifetime

    async def _withdraw(self, approval: Approval) -> None:
        await self.approvals.close(approval)
        if (question := self.page.questions.of(approval.id)) and not question.answer:
            question.end("withdrawn")

    @asynccontextmanager
    async def _ends_with_the_call(self, approval: Approval) -> AsyncIterator[None]:
        """Withdraw the question when the call fails, unless it goes on waiting on the page."""
        try:
            yield
        except ConfirmationPending:
            raise
        except BaseException:
            await self._withdraw(approval)
            raise


def _waiting(approval: Approval) -> tuple[str, str, float, str]:
    return approval.question.text, approval.id, approval.expires, approval.channel
