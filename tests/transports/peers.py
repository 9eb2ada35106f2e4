"""A small server of the SDK's own, which waits or asks as it is told, and the messages that a client sends to it."""

from typing import Any

import anyio
from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from amo_mcp.server.base import McpServer

OLD, NEW = "2025-11-25", "2026-07-28"
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": OLD,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class TestServer(McpServer):
    """Four tools: `echo`, `wait` (until `release` is set), `ask` (in a dialog) and `broken` (no answer that is UTF-8).

    A call with a `progressToken` hears of progress first.

    Attributes:
        called: the name and the arguments of every call.
        release: what `wait` waits for.
        closing: set when it is told to stop.
        stops: how many seconds it was given, each time.
    """

    __test__ = False

    def __init__(self) -> None:
        self._listening = ListenHandler(InMemorySubscriptionBus())
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.release = anyio.Event()
        self.closing = anyio.Event()
        self.stops: list[float] = []
        super().__init__(
            "test",
            version="1.2.3",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listening,
        )

    def stop(self, seconds: float) -> None:
        self.stops.append(seconds)
        self.closing.set()
        self._listening.close()

    async def _list_tools(self, _: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="echo", input_schema={"type": "object"})])

    async def _call_tool(self, ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        self.called.append((params.name, params.arguments or {}))
        text = "done"
        await ctx.session.report_progress(1, message="\ud800" if params.name == "broken" else None)
        match params.name:
            case "echo":
                text = str((params.arguments or {}).get("text", ""))
            case "wait":
                await self.release.wait()
            case "ask":
                form: Any = {"type": "object", "properties": {"confirm": {"type": "boolean"}}}
                answer = await ctx.session.elicit_form("Really?", form, related_request_id=ctx.request_id)
                text = answer.action
            case _:
                text = "\ud800"
        return CallToolResult(content=[TextContent(text=text)])


def call(number: int | str, name: str, **arguments: Any) -> dict[str, Any]:
    """A call as a client of 2025-11-25 sends it."""
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def text_of(answer: Any) -> str:
    """The text that a call was answered with."""
    return str(answer["result"]["content"][0]["text"])


def modern(message: dict[str, Any]) -> dict[str, Any]:
    """The same request as a client of 2026-07-28 sends it."""
    params = message.get("params", {})
    return {**message, "params": {**params, "_meta": {**META, **params.get("_meta", {})}}}
