"""Makes a function a tool: strict arguments, schemas that every provider takes, one shape of answer and of failure."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import AcceptedElicitation, Resolve, resolve_arguments
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from amo_mcp.accounts.account import AmoAccount, TellProgress, tell_progress
from amo_mcp.amocrm.ratelimit import OnWait
from amo_mcp.confirmation.ask import Asking, Called, asking, serving
from amo_mcp.confirmation.errors import CannotAsk, ConfirmationExpired, Declined
from amo_mcp.failures import ToolFailure, explain
from amo_mcp.text import sanitize
from amo_mcp.tools.runtime.arguments import validated
from amo_mcp.tools.runtime.schema import PlainJsonSchema, plain

logger = logging.getLogger(__name__)

LISTING = Path(__file__).with_name("catalog.json")
"""What `tools/list` says of every tool, and which module declares it: `make docs` writes it."""


_OUTCOME = AcceptedElicitation[Any]
"""What the SDK wraps every resolved parameter in. Pydantic keeps such a class only while somebody uses it; without
this name it would be made anew for call after call."""


async def current_account(ctx: Called) -> AmoAccount:
    """The account that this server serves."""
    return serving(ctx).account.reporting(_wait_teller(ctx))


CurrentAccount = Annotated[AmoAccount, Resolve(current_account)]
"""A parameter that the model never sees."""


class Output(BaseModel):
    """What a tool answers."""

    model_config = ConfigDict(defer_build=True)


@dataclass(frozen=True)
class Hints:
    """What a tool does to the world, honestly. amoCRM is one closed account, so never an open world."""

    reads: bool = False
    destroys: bool = False
    repeatable: bool = True


READ = Hints(reads=True)
CREATE = Hints(repeatable=False)
DESTROY = Hints(destroys=True)


@dataclass(frozen=True)
class Declared:
    """A tool as its module declares it.

    Attributes:
        fn: its name and docstring are the tool's; its annotations are the schemas.
        title: for people.
        hints: for clients.
    """

    fn: Callable[..., Any]
    title: str
    hints: Hints

    @property
    def name(self) -> str:
        """Its name."""
        return self.fn.__name__

    def listed(self) -> dict[str, Any]:
        """What `LISTING` says of it."""
        metadata = Tool.from_function(self.fn).fn_metadata
        answers: type[BaseModel] = metadata.output_model
        return {
            "module": self.fn.__module__,
            "title": self.title,
            "description": " ".join((self.fn.__doc__ or "").split()),
            "hints": asdict(self.hints),
            "input": plain(metadata.arg_model.model_json_schema(schema_generator=PlainJsonSchema), closed=True),
            "output": plain(answers.model_json_schema(schema_generator=PlainJsonSchema), closed=False),
        }


class AmoTool(Tool):
    """A tool of this server.

    Clients start a server for every window, and most tools are never called in it. What is listed comes from a file;
    the module that declares the tool is imported, and the rest made, with the first call.

    Attributes:
        module: where it is declared, under its name.
        answers: the schema of what it answers.
    """

    module: str
    answers: dict[str, Any]

    @property
    def output_schema(self) -> dict[str, Any]:
        """What it answers, by the SDK's name."""
        return self.answers

    @cached_property
    def declared(self) -> Declared:
        """The tool as its module declares it."""
        declared: Declared = getattr(import_module(self.module), self.name)
        return declared

    @cached_property
    def whole(self) -> Tool:
        """The tool as the SDK makes it of the function: arguments as a model, and what the model never sees."""
        return Tool.from_function(self.declared.fn, structured_output=False)

    @property
    def writes(self) -> bool:
        """Whether it is left out of a read-only server."""
        return not (self.annotations and self.annotations.read_only_hint)

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,  # noqa: ARG002, FBT001, FBT002 - the SDK's signature
    ) -> Any:
        """Check the arguments, ask what has to be asked, run, and answer; one log line for each call."""
        started = time.monotonic()
        outcome = "ok"
        telling = tell_progress.set(_progress_teller(context))
        try:
            answer = await self._answer(arguments, context)
        except Exception as error:  # noqa: BLE001 - whatever happens, the model gets a closed code
            failure = explain(error) or _internal(self.name, error)
            outcome, answer = failure.code, result(failure.answer, is_error=True)
        finally:
            tell_progress.reset(telling)
        logger.info("%s: %s in %d ms", self.name, outcome, (time.monotonic() - started) * 1e3)
        return answer

    async def _answer(self, arguments: dict[str, Any], ctx: Called) -> CallToolResult | InputRequiredResult:
        whole = self.whole
        values = validated(arguments, whole.fn_metadata.arg_model, self.parameters).model_dump_one_level()
        with asking(ctx) as question:
            resolved = await self._resolved(values, ctx, question)
            if isinstance(resolved, InputRequiredResult):
                question.state = resolved.request_state
                return resolved
            passed = {whole.context_kwarg: ctx} if whole.context_kwarg else {}
            answer: BaseModel = await self.declared.fn(**values, **resolved, **passed)
        return result(answer.model_dump(mode="json", exclude_none=True, exclude_unset=True))

    async def _resolved(
        self, values: dict[str, Any], ctx: Called, question: Asking
    ) -> dict[str, Any] | InputRequiredResult:
        """The parameters that the model never sees; a question to a person has its deadline here."""
        with question.wait:
            try:
                return await resolve_arguments(self.whole.resolved_params, self.whole.resolver_plans, values, ctx)
            except ToolError as error:
                raise Declined("The dialog's answer was not a yes or a no.") from error
            except MCPError as error:
                raise CannotAsk("The client could not show the dialog.") from error
        raise ConfirmationExpired("The dialog was not answered in time.")


def tool(title: str, hints: Hints) -> Callable[[Callable[..., Any]], Declared]:
    """Make the function a tool."""
    return lambda fn: Declared(fn, title, hints)


def listed() -> tuple[AmoTool, ...]:
    """Every tool, in the order of `tools/list`."""
    return tuple(_listed(name, told) for name, told in json.loads(LISTING.read_bytes()).items())


def _listed(name: str, told: dict[str, Any]) -> AmoTool:
    hints = Hints(**told["hints"])
    return AmoTool.model_construct(  # type: ignore[call-arg]  # the rest is made with the first call
        name=name,
        title=told["title"],
        description=told["description"],
        parameters=told["input"],
        answers=told["output"],
        annotations=ToolAnnotations(
            read_only_hint=hints.reads,
            destructive_hint=hints.destroys,
            idempotent_hint=hints.repeatable,
            open_world_hint=False,
        ),
        module=told["module"],
    )


def result(answer: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    """`answer` in both channels: clients hand the model one or the other."""
    text = to_json(answer).decode()
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=answer, is_error=is_error)


def _wait_teller(ctx: Called) -> OnWait:
    """Says through progress that the call waits, for clients that give up on silence."""

    async def tell(seconds: float, reason: str) -> None:
        await ctx.report_progress(0, message=f"Waiting {seconds:.0f} s for {reason}")

    return tell


def _progress_teller(ctx: Called) -> TellProgress:
    """Says how far a change of several steps is."""

    async def tell(done: float, total: float, what: str) -> None:
        await ctx.report_progress(done, total, sanitize(what, 200))

    return tell


def _internal(name: str, error: Exception) -> ToolFailure:
    """A failure that was not foreseen: where it happened goes to the log, in one line; nothing of it to the model."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "nowhere"
    logger.error("%s failed unexpectedly: %s at %s", name, type(error).__name__, place)
    return ToolFailure(
        "internal",
        "The server made a mistake. It may have happened after something was changed.",
        "Read or list the target before anything is sent again, and report this to the server's authors.",
    )
