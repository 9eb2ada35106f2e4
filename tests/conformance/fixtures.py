"""What the conformance suite expects of any server, in a test-only build: it stands beside our own tools.

The suite calls tools, resources and prompts by name, and without them several of its scenarios pass without having
seen anything. Here they are, on the real server, behind its real middleware and its real HTTP. Sampling, roots and
logging are only here: the product does without them.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from mcp.server import ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts import Prompt as ServedPrompt
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.resolve import Resolve, Sample
from mcp.server.mcpserver.tools import Tool
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    AudioContent,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    GetPromptResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    Prompt,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import AnyUrl, Field

from amo_mcp.confirmation.ask import AppState
from amo_mcp.server.app import AmoServer

Called = Context[AppState, Any]
Answer = CallToolResult | InputRequiredResult

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="

TOOLS: list[Tool] = []
PROMPTS: list[ServedPrompt] = []


def tool(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Register a tool by the name that the suite calls it."""
    TOOLS.append(Tool.from_function(fn, name=f"test_{fn.__name__}", structured_output=False))
    return fn


def prompt(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Register a prompt by the name that the suite gets it by."""
    PROMPTS.append(ServedPrompt.from_function(fn, name=f"test_{fn.__name__}"))
    return fn


def said(*content: Any) -> CallToolResult:
    """A tool's answer; a string is a text block."""
    blocks = [TextContent(type="text", text=item) if isinstance(item, str) else item for item in content]
    return CallToolResult(content=blocks)


def form(message: str, **properties: Any) -> ElicitRequest:
    """A dialog with these fields, all of them required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    """A resource inside an answer."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def accepted(ctx: Called, key: str) -> dict[str, Any] | None:
    """What was filled into the dialog of this name; None: it was not answered in this call."""
    answer = (ctx.input_responses or {}).get(key)
    return answer.content or {} if isinstance(answer, ElicitResult) and answer.action == "accept" else None


def asking(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    """These questions, and the state that comes back with their answers."""
    return InputRequiredResult(input_requests=dict(requests), request_state=state)


NAME = form("What is your name?", name={"type": "string"})
OK = form("Please confirm", ok={"type": "boolean"})


@tool
async def simple_text() -> CallToolResult:
    """Answer with text."""
    return said("This is a simple text response for testing.")


@tool
async def image_content() -> CallToolResult:
    """Answer with an image."""
    return said(ImageContent(type="image", data=PNG, mime_type="image/png"))


@tool
async def audio_content() -> CallToolResult:
    """Answer with a sound."""
    return said(AudioContent(type="audio", data=WAV, mime_type="audio/wav"))


@tool
async def embedded_resource() -> CallToolResult:
    """Answer with a resource."""
    return said(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


@tool
async def multiple_content_types() -> CallToolResult:
    """Answer with text, an image and a resource."""
    return said(
        "Multiple content types test:",
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    )


@tool
async def error_handling() -> CallToolResult:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@tool
async def tool_with_logging(ctx: Called) -> CallToolResult:
    """Say three times how far it is, in the log that clients of the older era hear."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", message, related_request_id=ctx.request_id)
    return said("Logged")


@tool
async def logging_tool(ctx: Called) -> CallToolResult:
    """Log, which is heard in the newer era only by who asked for it."""
    await ctx.session.send_log_message("info", "Nobody asked", related_request_id=ctx.request_id)
    return said("Logged")


@tool
async def tool_with_progress(ctx: Called) -> CallToolResult:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
    return said("Done")


@tool
async def sampling(prompt: str, ctx: Called) -> CallToolResult:
    """Ask the client's model, in the older era."""
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    answer = await ctx.session.send_request(sample(prompt), CreateMessageResult, metadata=metadata)
    return said(f"LLM response: {answer.content}")


async def elicited(ctx: Called, message: str, properties: dict[str, Any]) -> CallToolResult:
    """Show a dialog, in the older era."""
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    answer = await ctx.session.send_request(form(message, **properties), ElicitResult, metadata=metadata)
    return said(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


@tool
async def elicitation(message: str, ctx: Called) -> CallToolResult:
    """Show a dialog with two fields."""
    return await elicited(ctx, message, {"username": {"type": "string"}, "email": {"type": "string"}})


@tool
async def elicitation_sep1034_defaults(ctx: Called) -> CallToolResult:
    """Show a dialog whose fields have defaults."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(ctx, "Please check", fields)


@tool
async def elicitation_sep1330_enums(ctx: Called) -> CallToolResult:
    """Show a dialog with every kind of choice."""
    options, titled = ["option1", "option2"], [{"const": "value1", "title": "One"}, {"const": "value2", "title": "Two"}]
    fields = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicited(ctx, "Please choose", fields)


@tool
async def input_required_result_elicitation(ctx: Called) -> Answer:
    """Ask in a dialog, in the newer era."""
    answer = accepted(ctx, "user_name")
    return asking(user_name=NAME) if answer is None else said(f"Hello, {answer['name']}!")


@tool
async def streaming_elicitation(ctx: Called) -> Answer:
    """Report progress and ask, on one stream."""
    await ctx.report_progress(0, 1)
    return said("Done") if accepted(ctx, "user_name") else asking(user_name=NAME)


@tool
async def input_required_result_sampling(ctx: Called) -> Answer:
    """Ask the client's model, in the newer era."""
    answer = (ctx.input_responses or {}).get("capital_question")
    return said(str(answer)) if answer else asking(capital_question=sample("What is the capital of France?"))


@tool
async def input_required_result_list_roots(ctx: Called) -> Answer:
    """Ask for the client's roots, in the newer era."""
    answer = (ctx.input_responses or {}).get("client_roots")
    return said(str(answer)) if answer else asking(client_roots=ListRootsRequest())


@tool
async def input_required_result_request_state(ctx: Called) -> Answer:
    """Ask, and know the question again by its state."""
    if ctx.request_state != "asked" or accepted(ctx, "confirm") is None:
        return asking("asked", confirm=OK)
    return said("state-ok")


@tool
async def input_required_result_tampered_state(ctx: Called) -> Answer:
    """Ask with a state that the suite then spoils."""
    return said("state-ok") if ctx.request_state == "asked" else asking("asked", confirm=OK)


@tool
async def input_required_result_multiple_inputs(ctx: Called) -> Answer:
    """Ask three things at once."""
    asked = asking("asked", user_name=NAME, greeting=sample("Generate a greeting"), client_roots=ListRootsRequest())
    return said("Done") if (ctx.input_responses or {}).keys() == (asked.input_requests or {}).keys() else asked


@tool
async def input_required_result_multi_round(ctx: Called) -> Answer:
    """Ask twice, one after the other."""
    if ctx.request_state == "second" and accepted(ctx, "step2"):
        return said("Done")
    if ctx.request_state == "first" and accepted(ctx, "step1"):
        return asking("second", step2=form("Step 2: What is your favorite color?", color={"type": "string"}))
    return asking("first", step1=form("Step 1: What is your name?", name={"type": "string"}))


@tool
async def input_required_result_capabilities(ctx: Called) -> Answer:
    """Ask only what the client has declared that it can answer."""
    declared = ctx.client_capabilities
    able = {"elicitation": NAME} if declared and declared.elicitation else {}
    able |= {"sampling": sample("Generate a greeting")} if declared and declared.sampling else {}
    return asking(**able)


async def model_answer() -> Sample:
    """A question to the client's model, which the SDK puts only when it can be answered."""
    [message] = sample("Anything").params.messages
    return Sample([message], max_tokens=10)


@tool
async def missing_capability(answer: Annotated[CreateMessageResult, Resolve(model_answer)]) -> CallToolResult:
    """Need what the client has not declared."""
    return said(str(answer))


@tool
async def custom_headers(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> CallToolResult:
    """Take an argument that comes in a header too."""
    return said(region)


def schema_tool() -> Tool:
    """A tool whose schema has every keyword of JSON Schema 2020-12 that the suite looks for."""

    async def answer(name: str = "") -> CallToolResult:
        """Say the name."""
        return said(name)

    made = Tool.from_function(answer, name="json_schema_2020_12_tool", structured_output=False)
    text = {"type": "string"}
    address = {"$anchor": "addressDef", "type": "object", "properties": {"street": text, "city": text}}
    made.parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": address},
        "properties": {
            "name": text,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": text,
            "email": text,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
    return made


@prompt
def simple_prompt() -> list[UserMessage]:
    """A prompt without arguments."""
    return [UserMessage("This is a simple prompt for testing.")]


@prompt
def prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """A prompt with arguments."""
    return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]


@prompt
def prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's
    """A prompt with a resource in it."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]


@prompt
def prompt_with_image() -> list[UserMessage]:
    """A prompt with an image in it."""
    image = ImageContent(type="image", data=PNG, mime_type="image/png")
    return [UserMessage(image), UserMessage("Please analyze the image above.")]


@prompt
def input_required_result_prompt(ctx: Called) -> list[UserMessage] | InputRequiredResult:
    """A prompt that asks before it is given."""
    answer = accepted(ctx, "user_context")
    if answer is None:
        return asking(user_context=form("What context should the prompt use?", context={"type": "string"}))
    return [UserMessage(f"In the context of {answer['context']}")]


RESOURCES = {
    "test://static-text": ReadResourceContents("This is the content of the static text resource.", "text/plain"),
    "test://static-binary": ReadResourceContents(b64decode(PNG), "image/png"),
    "test://watched-resource": ReadResourceContents("Watched", "text/plain"),
    "test://template/123/data": ReadResourceContents(
        '{"id":"123","templateTest":true,"data":"Data for ID: 123"}', "application/json"
    ),
}


class ServerWithFixtures(AmoServer):
    """The real server, and the fixtures beside its own tools, resources and prompts.

    Attributes:
        unused: the fixtures that the suite has not called yet.
    """

    def __init__(self, serving: AppState) -> None:
        super().__init__(serving, read_only=False)
        fixtures = [*TOOLS, schema_tool()]
        self._tool_manager._tools |= {each.name: each for each in fixtures}
        for each in PROMPTS:
            self.add_prompt(each)
        self.unused = {each.name for each in (*TOOLS, *PROMPTS)} | RESOURCES.keys() - {"test://watched-resource"}
        self._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, self._set_level)

    async def _set_level(self, _: ServerRequestContext[AppState], __: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[AppState, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        self.unused.discard(name)
        return await super().call_tool(name, arguments, context)

    async def list_resources(self) -> list[Resource]:
        own = [
            Resource(uri=uri, name=uri, mime_type=content.mime_type)
            for uri, content in RESOURCES.items()
            if "template" not in uri
        ]
        return [*await super().list_resources(), *own]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        template = ResourceTemplate(uri_template="test://template/{id}/data", name="template")
        return [*await super().list_resource_templates(), template]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[AppState, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        if str(uri) not in RESOURCES:
            return await super().read_resource(uri, context)
        self.unused.discard(str(uri))
        return [RESOURCES[str(uri)]]

    async def list_prompts(self) -> list[Prompt]:
        return [*await super().list_prompts(), *await MCPServer.list_prompts(self)]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[AppState, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        if not name.startswith("test_"):
            return await super().get_prompt(name, arguments, context)
        self.unused.discard(name)
        return await MCPServer.get_prompt(self, name, arguments, context)
