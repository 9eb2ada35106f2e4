"""The tools that the conformance suite calls by name; without them several of its scenarios see nothing and pass.

Sampling, roots and logging are only here: the product does without them.
"""

import json
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    CreateMessageResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    TextContent,
)

from tests.conformance.registry import (
    Ctx,
    ToolAnswer,
    ToolHandler,
    accepted,
    asking,
    embedded,
    form,
    result,
    sample,
    tool,
)

Params = CallToolRequestParams

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
TEXT = {"type": "string"}

NAME = form("What is your name?", name={"type": "string"})
OK = form("Please confirm", ok={"type": "boolean"})


CONTENTS: dict[str, list[Any]] = {
    "simple_text": ["This is a simple text response for testing."],
    "image_content": [ImageContent(data=PNG, mime_type="image/png")],
    "audio_content": [AudioContent(data=WAV, mime_type="audio/wav")],
    "embedded_resource": [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
    "multiple_content_types": [
        "Multiple content types test:",
        ImageContent(data=PNG, mime_type="image/png"),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}
"""Tools that only answer, by name."""


def answering(content: list[Any]) -> ToolHandler:
    """A tool that answers with `content`."""

    async def answer(_: Ctx, __: Params) -> ToolAnswer:
        """Answer with content of one kind or several."""
        return result(*content)

    return answer


for answer_name, answer_content in CONTENTS.items():
    tool(name=f"test_{answer_name}")(answering(answer_content))


@tool()
async def error_handling(_: Ctx, __: Params) -> ToolAnswer:
    """Fail."""
    return CallToolResult(
        content=[TextContent(text="This tool intentionally returns an error for testing")],
        # As every error of ours has it.
        structured_content={"error": {"code": "rejected"}},
        is_error=True,
    )


@tool()
async def tool_with_logging(ctx: Ctx, _: Params) -> ToolAnswer:
    """Say three times how far it is, in the log that clients of the older era hear."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", message, related_request_id=ctx.request_id)
    return result("Logged")


@tool()
async def logging_tool(ctx: Ctx, _: Params) -> ToolAnswer:
    """Log, which is heard in the newer era only by who asked for it."""
    await ctx.session.send_log_message("info", "Nobody asked", related_request_id=ctx.request_id)
    return result("Logged")


@tool()
async def tool_with_progress(ctx: Ctx, _: Params) -> ToolAnswer:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
    return result("Done")


@tool(prompt=TEXT)
async def sampling(ctx: Ctx, params: Params) -> ToolAnswer:
    """Ask the client's model, in the older era."""
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    request = sample((params.arguments or {})["prompt"])
    answer = await ctx.session.send_request(request, CreateMessageResult, metadata=metadata)
    return result(f"LLM response: {answer.content}")


async def elicited(ctx: Ctx, message: str, properties: dict[str, Any]) -> CallToolResult:
    """Show a dialog, in the older era."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    answer = await ctx.session.elicit_form(message, schema, ctx.request_id)
    return result(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


@tool(message=TEXT)
async def elicitation(ctx: Ctx, params: Params) -> ToolAnswer:
    """Show a dialog with two fields."""
    return await elicited(ctx, (params.arguments or {})["message"], {"username": TEXT, "email": TEXT})


@tool()
async def elicitation_sep1034_defaults(ctx: Ctx, _: Params) -> ToolAnswer:
    """Show a dialog whose fields have defaults."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(ctx, "Please check", fields)


@tool()
async def elicitation_sep1330_enums(ctx: Ctx, _: Params) -> ToolAnswer:
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


@tool()
async def input_required_result_elicitation(_: Ctx, params: Params) -> ToolAnswer:
    """Ask in a dialog, in the newer era."""
    answer = accepted(params, "user_name")
    return asking(user_name=NAME) if answer is None else result(f"Hello, {answer['name']}!")


@tool()
async def streaming_elicitation(ctx: Ctx, params: Params) -> ToolAnswer:
    """Report progress and ask, on one stream."""
    await ctx.session.report_progress(0, 1)
    return result("Done") if accepted(params, "user_name") else asking(user_name=NAME)


@tool()
async def input_required_result_sampling(_: Ctx, params: Params) -> ToolAnswer:
    """Ask the client's model, in the newer era."""
    answer = (params.input_responses or {}).get("capital_question")
    return result(str(answer)) if answer else asking(capital_question=sample("What is the capital of France?"))


@tool()
async def input_required_result_list_roots(_: Ctx, params: Params) -> ToolAnswer:
    """Ask for the client's roots, in the newer era."""
    answer = (params.input_responses or {}).get("client_roots")
    return result(str(answer)) if answer else asking(client_roots=ListRootsRequest())


@tool()
async def input_required_result_request_state(_: Ctx, params: Params) -> ToolAnswer:
    """Ask, and know the question again by its state."""
    if params.request_state != "asked" or accepted(params, "confirm") is None:
        return asking("asked", confirm=OK)
    return result("state-ok")


@tool()
async def input_required_result_tampered_state(_: Ctx, params: Params) -> ToolAnswer:
    """Ask with a state that the suite then spoils."""
    return result("state-ok") if params.request_state == "asked" else asking("asked", confirm=OK)


@tool()
async def input_required_result_multiple_inputs(_: Ctx, params: Params) -> ToolAnswer:
    """Ask three things at once."""
    asked = asking("asked", user_name=NAME, greeting=sample("Generate a greeting"), client_roots=ListRootsRequest())
    return result("Done") if (params.input_responses or {}).keys() == (asked.input_requests or {}).keys() else asked


@tool()
async def input_required_result_multi_round(_: Ctx, params: Params) -> ToolAnswer:
    """Ask twice, one after the other."""
    if params.request_state == "second" and accepted(params, "step2"):
        return result("Done")
    if params.request_state == "first" and accepted(params, "step1"):
        return asking("second", step2=form("Step 2: What is your favorite color?", color={"type": "string"}))
    return asking("first", step1=form("Step 1: What is your name?", name={"type": "string"}))


@tool()
async def input_required_result_capabilities(ctx: Ctx, _: Params) -> ToolAnswer:
    """Ask only what the client has declared that it can answer."""
    declared = ctx.session.client_capabilities
    able: dict[str, InputRequest] = {}
    if declared and declared.elicitation:
        able["elicitation"] = NAME
    if declared and declared.sampling:
        able["sampling"] = sample("Generate a greeting")
    return InputRequiredResult(input_requests=able)


@tool()
async def missing_capability(ctx: Ctx, params: Params) -> ToolAnswer:
    """Need what the client has not declared."""
    declared = ctx.session.client_capabilities
    if declared and declared.sampling:
        answer = (params.input_responses or {}).get("answer")
        return result(str(answer)) if answer else asking(answer=sample("Anything"))
    raise MCPError(
        code=MISSING_REQUIRED_CLIENT_CAPABILITY,
        message="The client did not declare sampling",
        data={"requiredCapabilities": {"sampling": {}}},
    )


@tool(region={"type": "string", "x-mcp-header": "Region"})
async def custom_headers(_: Ctx, params: Params) -> ToolAnswer:
    """Take an argument that comes in a header too."""
    return result((params.arguments or {})["region"])


EVERY_KEYWORD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {"$anchor": "addressDef", "type": "object", "properties": {"street": TEXT, "city": TEXT}},
    },
    "properties": {
        "name": TEXT,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": TEXT,
        "email": TEXT,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""Every keyword of JSON Schema 2020-12 that the suite looks for."""


@tool(name="json_schema_2020_12_tool", schema=EVERY_KEYWORD)
async def json_schema(_: Ctx, params: Params) -> ToolAnswer:
    """Say the name."""
    return result((params.arguments or {}).get("name", ""))
