"""How the fixtures are declared: under the names that the suite calls, each a plain handler of the SDK's server."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    InputResponseRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

Ctx = ServerRequestContext[Any, Any]
ToolAnswer = CallToolResult | InputRequiredResult
PromptAnswer = GetPromptResult | InputRequiredResult
ToolHandler = Callable[[Ctx, CallToolRequestParams], Awaitable[ToolAnswer]]
PromptHandler = Callable[[GetPromptRequestParams], PromptAnswer]


@dataclass(frozen=True)
class ToolFixture:
    """A tool that the suite calls."""

    listed: Tool
    call: ToolHandler


@dataclass(frozen=True)
class PromptFixture:
    """A prompt that the suite gets."""

    listed: Prompt
    get: PromptHandler


TOOLS: dict[str, ToolFixture] = {}
PROMPTS: dict[str, PromptFixture] = {}


def tool(
    *, name: str | None = None, schema: dict[str, Any] | None = None, **properties: dict[str, Any]
) -> Callable[[ToolHandler], ToolHandler]:
    """Register a tool; `properties` are its required arguments, unless it brings its whole input schema."""

    def registered(fn: ToolHandler) -> ToolHandler:
        called = name or f"test_{getattr(fn, '__name__', '')}"
        made = schema or {"type": "object", "properties": properties, "required": list(properties)}
        TOOLS[called] = ToolFixture(Tool(name=called, description=fn.__doc__, input_schema=made), fn)
        return fn

    return registered


def prompt(*arguments: str) -> Callable[[PromptHandler], PromptHandler]:
    """Register a prompt with these required arguments."""

    def registered(fn: PromptHandler) -> PromptHandler:
        called = f"test_{getattr(fn, '__name__', '')}"
        taken = [PromptArgument(name=argument, required=True) for argument in arguments]
        PROMPTS[called] = PromptFixture(Prompt(name=called, description=fn.__doc__, arguments=taken), fn)
        return fn

    return registered


def result(*content: Any) -> CallToolResult:
    """A tool's answer; a string is a text block."""
    return CallToolResult(content=[TextContent(text=item) if isinstance(item, str) else item for item in content])


def messages(*content: Any) -> GetPromptResult:
    """A prompt of one message for each content; a string is a text block."""
    blocks = [TextContent(text=item) if isinstance(item, str) else item for item in content]
    return GetPromptResult(messages=[PromptMessage(role="user", content=block) for block in blocks])


def form(message: str, **properties: Any) -> ElicitRequest:
    """A dialog with these fields, all of them required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    """A resource inside an answer."""
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def accepted(params: InputResponseRequestParams, key: str) -> dict[str, Any] | None:
    """What was filled into the dialog of this name; None: it was not answered in this call."""
    answer = (params.input_responses or {}).get(key)
    return dict(answer.content or {}) if isinstance(answer, ElicitResult) and answer.action == "accept" else None


def asking(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    """These questions, and the state that comes back with their answers."""
    return InputRequiredResult(input_requests=dict(requests), request_state=state)
