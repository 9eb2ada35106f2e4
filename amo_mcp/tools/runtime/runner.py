"""Runs a tool: strict arguments, a question to a person, the change carried out, one shape of answer and failure."""

import difflib
import logging
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, InputRequiredResult, TextContent
from pydantic import BaseModel
from pydantic_core import to_json

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.changes.execution import Execution
from amo_mcp.changes.leases import Asked, RunState
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.caller import caller_of, client_of_caller, name_of_caller
from amo_mcp.confirmation.confirmation import Confirmation
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.progress import CallProgress
from amo_mcp.failures.explain import explain
from amo_mcp.failures.failure import Failure, internal_error
from amo_mcp.protocol import Ctx, can_have_task
from amo_mcp.text import escape_invisible
from amo_mcp.tools.runtime.answers import dumped
from amo_mcp.tools.runtime.arguments import validated
from amo_mcp.tools.runtime.catalog import CatalogEntry
from amo_mcp.tools.runtime.tool import Call, Confirm, Confirmed, ExecutedOutput, Output, Watched

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Runner:
    """Runs the tools of one server, which are here by name; with `read_only` those that write are refused.

    Attributes:
        shared: the account as it is for everybody.
    """

    shared: AmoAccount
    asker: Confirmation
    tools: Mapping[str, CatalogEntry]
    read_only: bool = False

    @property
    def account(self) -> AmoAccount:
        """The account, with the rights of who calls."""
        return self.shared.of_caller

    async def call(self, ctx: Ctx, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult | RunState:
        """Answer `tools/call`, with one log line; whatever happens in the tool, the caller gets a closed code.

        A client that can have a task is answered with the run that it is to be a task of.

        Raises:
            MCPError: there is no such tool (-32602).
        """
        name, started = params.name, time.monotonic()
        if name not in self.tools:
            nearest = difflib.get_close_matches(name[:100], self.tools, n=1, cutoff=0.0)
            raise MCPError(code=INVALID_PARAMS, message=f"There is no such tool; the nearest is {nearest[0]}")
        answer, outcome = await self._told(name, self._answer(ctx, params, self.tools[name]))
        logger.info("%s: %s in %d ms", name, outcome, (time.monotonic() - started) * 1e3)
        return answer

    async def end_of(self, run: RunState) -> CallToolResult:
        """What the call that began a run would have answered, had it waited for the end."""
        answer, _ = await self._told(run.record.tool, self._watched(run, self.account))
        assert isinstance(answer, CallToolResult)
        return answer

    async def _told(
        self, name: str, answering: Awaitable[BaseModel | InputRequiredResult | RunState]
    ) -> tuple[CallToolResult | InputRequiredResult | RunState, str]:
        """The answer of a tool as a result, and a word for the log."""
        try:
            answer = await answering
            if isinstance(answer, InputRequiredResult | RunState):
                return answer, "ok"
            meta = answer.meta if isinstance(answer, Output) else None
            return _result(await dumped(answer, self.account.profile), meta=meta), "ok"
        except MCPError:
            raise
        except Exception as error:
            failure = explain(error) or _unexpected(name, error)
            return failed(failure), failure.code

    async def _answer(
        self, ctx: Ctx, params: CallToolRequestParams, entry: CatalogEntry
    ) -> BaseModel | InputRequiredResult | RunState:
        if self.read_only and entry.writes:
            raise Failure(
                "read_only",
                "This server was started read-only.",
                "The person who runs it can start it without --read-only (AMO_READ_ONLY).",
            )
        progress = CallProgress(ctx, self.account.profile.language)
        caller = caller_of(ctx)
        asked = Asked(caller.digest, name_of_caller(), person=caller.person, client=client_of_caller(ctx))
        account = self.account.for_call(progress.report, asked)
        definition = entry.definition
        arguments = validated(params.arguments or {}, definition.arguments, entry.listed.input_schema)
        if params.request_state is not None:
            resumed = self.asker.resume(ctx, progress, params.request_state, params.input_responses)
            approval = await _while_serving(account, resumed)
        else:
            if definition.asks:
                self.asker.check_can_ask(ctx)

            async def confirm(approval_id: str) -> Approval:
                return await _while_serving(account, self.asker.confirm(ctx, progress, approval_id))

            returned = await definition.run(arguments, Call(account, caller, confirm))
            match returned:
                case Confirm(change):
                    asking = self.asker.ask(ctx, progress, definition.name, change, await account.profile.reader())
                    approval = await _while_serving(account, asking)
                case Confirmed(approval):
                    pass
                case Watched(run):
                    progress.texts = (await account.profile.reader()).texts
                    is_task = run.record.status == "running" and can_have_task(ctx)
                    return run if is_task else await self._watched(run, account)
                case BaseModel():
                    return returned
        if isinstance(approval, InputRequiredResult):
            return approval
        return await self._carry_out(approval, account, as_task=can_have_task(ctx))

    async def _carry_out(self, approval: Approval, account: AmoAccount, *, as_task: bool) -> Output | RunState:
        try:
            if as_task and (run := await account.begin_run(approval.tool, approval.change, approval.id)):
                return run
            execution = await account.execute(approval.tool, approval.change, approval.id)
        except BaseException as error:
            await self.asker.settle(approval, error)
            raise
        await self.asker.settle(approval, execution)
        return self._answered(approval.tool, execution, approval.change, approval.reader)

    async def _watched(self, run: RunState, account: AmoAccount) -> Output:
        reader = await account.profile.reader()
        return self._answered(run.record.tool, await account.watch(run), run.change, reader)

    def _answered(self, tool: str, execution: Execution, change: PendingChange, reader: Reader) -> Output:
        """What came of a change, as the tool that asked answers it."""
        output = self.tools[tool].definition.output
        assert issubclass(output, ExecutedOutput)
        return output.of(execution, change).drawn(output.picture(execution, change, reader))


async def _while_serving(account: AmoAccount, answered: Awaitable[_T]) -> _T:
    """What comes of a question; a server that ends does not wait for it.

    Raises:
        ConfirmationExpired: the server was told to end.
    """
    with account.stop.interruptible():
        return await answered
    raise ConfirmationExpired("The server was stopped before the question was answered.")


def failed(failure: Failure) -> CallToolResult:
    """The answer of a call that failed."""
    return _result(failure.answer, is_error=True)


def _result(answer: dict[str, Any], *, meta: dict[str, Any] | None = None, is_error: bool = False) -> CallToolResult:
    """`answer` in both channels: clients hand the model one or the other."""
    content = [TextContent(type="text", text=escape_invisible(to_json(answer).decode()))]
    return CallToolResult(content=content, structured_content=answer, is_error=is_error, meta=meta)


def _unexpected(name: str, error: Exception) -> Failure:
    """A mistake of our own: where it happened goes to the log, in one line; nothing of it to the caller."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "nowhere"
    logger.error("%s failed unexpectedly: %s at %s", name, type(error).__name__, place)
    return internal_error()
