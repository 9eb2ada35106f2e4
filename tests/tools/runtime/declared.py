"""Tools that only tests have, and a server of them."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    Tool,
)
from pydantic import Field
from typing_extensions import override

from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.amocrm.inputs import LAX, LaxInt, SegmentPatch, Text
from amo_mcp.changes.execution import Execution
from amo_mcp.changes.leases import RunState
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Update
from amo_mcp.confirmation.ask import Asker
from amo_mcp.failures.failure import Failure
from amo_mcp.language import message
from amo_mcp.protocol import Ctx
from amo_mcp.tools.runtime.catalog import CatalogEntry
from amo_mcp.tools.runtime.runner import Runner
from amo_mcp.tools.runtime.schema import PlainJsonSchema, inline
from amo_mcp.tools.runtime.tool import (
    CREATE,
    DESTRUCTIVE,
    READ,
    Confirm,
    Confirmed,
    CurrentAccount,
    CurrentCall,
    ExecutedOutput,
    Output,
    ToolDefinition,
    tool,
)
from tests.conftest import Served


class Sum(Output):
    """A sum, and a note on it."""

    total: int
    currency: str = "₽"
    note: str | None = None


class Renamed(ExecutedOutput):
    """The name of a segment before and after, and how many fields were set."""

    before: str
    after: str
    fields: int

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        """From what was done, and from what a person agreed to."""
        [step] = execution.done
        assert isinstance(step, Update)
        assert step.after is not None
        return cls(before=step.before.name, after=step.after.name, fields=len(change.fields))


@tool("Add two numbers", READ)
async def add_numbers(
    first: Annotated[Annotated[int, Field(ge=0), LAX], Field(description="A number")],
    account: CurrentAccount,
    call: CurrentCall,
    second: Annotated[LaxInt | None, Field(description="Another, 2 if there is none")] = None,
) -> Sum:
    """Add two numbers,

    and say so.
    """
    assert call.account is account
    if account.report is not None:
        await account.report(1, 2, message("half\n\u202e way"))
    return Sum(total=first + (2 if second is None else second), currency="€", note=None)


@tool("Break", READ)
async def break_down(how: Annotated[Text, Field(description="How")]) -> Sum:
    """Fail in one way or another."""
    match how:
        case "failure":
            raise Failure("conflict", "Two of them.", "Take one.", extra={"differences": ["both"]})
        case "api":
            raise Unavailable("did not answer")
        case "protocol":
            raise MCPError(code=INVALID_REQUEST, message="Not like this")
    raise RuntimeError("the secret of /home")


@tool("Rename a segment", DESTRUCTIVE)
async def rename_segment(
    segment_id: Annotated[LaxInt, Field(description="Segment id")],
    name: Annotated[Text, Field(description="New name")],
    account: CurrentAccount,
) -> Confirm[Renamed]:
    """Rename a segment."""
    segment = await account.client.segment(segment_id)
    return Confirm(PendingChange((Update(segment, SegmentPatch(name=name)),)))


@tool("Carry out a change", CREATE)
async def carry_out(
    approval_id: Annotated[Text, Field(description="Of the question")], call: CurrentCall
) -> Confirmed[Renamed]:
    """Carry out a change that a person has agreed to."""
    return Confirmed(await call.confirm(approval_id))


DECLARED = (add_numbers, break_down, rename_segment, carry_out)


def entry(definition: ToolDefinition) -> CatalogEntry:
    """A tool of this module as the catalog would have it."""
    schema = definition.arguments.model_json_schema(schema_generator=PlainJsonSchema)
    listed = Tool(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        input_schema=inline(schema, closed=True),
        annotations=definition.annotations,
    )
    return CatalogEntry(__name__, listed)


def server_of(served: Served, tools: Sequence[ToolDefinition] = DECLARED, *, read_only: bool = False) -> Server[Any]:
    """A server of these tools and no others, on the account of `served`."""
    entries = {definition.name: entry(definition) for definition in tools}
    runner = Runner(served.account, Asker(served.approvals, served.page), entries, read_only=read_only)

    async def list_tools(_: Any, __: Any) -> ListToolsResult:
        return ListToolsResult(tools=[item.listed for item in entries.values()])

    async def call_tool(ctx: Ctx, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        answer = await runner.call(ctx, params)
        assert not isinstance(answer, RunState)
        return answer

    return Server("declared", on_call_tool=call_tool, on_list_tools=list_tools)
