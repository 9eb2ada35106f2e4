"""What the conformance suite expects of any server, beside our own tools, resources and prompts, and in no release.

Here they are on the real server, behind its real middleware and its real HTTP: each of its handlers is asked first
whether it is about a fixture.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server import Server
from mcp_types import (
    BlobResourceContents,
    CallToolRequestParams,
    EmptyResult,
    GetPromptRequestParams,
    ImageContent,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    TextResourceContents,
)

from tests.conformance.registry import (
    PROMPTS,
    TOOLS,
    Ctx,
    PromptAnswer,
    ToolAnswer,
    accepted,
    asking,
    embedded,
    form,
    messages,
    prompt,
)
from tests.conformance.tools import PNG, TEXT

RESOURCES: dict[str, TextResourceContents | BlobResourceContents] = {
    item.uri: item
    for item in (
        TextResourceContents(
            uri="test://static-text", mime_type="text/plain", text="This is the content of the static text resource."
        ),
        BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG),
        TextResourceContents(uri="test://watched-resource", mime_type="text/plain", text="Watched"),
        TextResourceContents(
            uri="test://template/123/data",
            mime_type="application/json",
            text='{"id":"123","templateTest":true,"data":"Data for ID: 123"}',
        ),
    )
}
TEMPLATE = ResourceTemplate(uri_template="test://template/{id}/data", name="template")


@prompt()
def simple_prompt(_: GetPromptRequestParams) -> PromptAnswer:
    """A prompt without arguments."""
    return messages("This is a simple prompt for testing.")


@prompt("arg1", "arg2")
def prompt_with_arguments(params: GetPromptRequestParams) -> PromptAnswer:
    """A prompt with arguments."""
    arguments = params.arguments or {}
    return messages(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")


@prompt("resourceUri")
def prompt_with_embedded_resource(params: GetPromptRequestParams) -> PromptAnswer:
    """A prompt with a resource in it."""
    uri = (params.arguments or {})["resourceUri"]
    resource = embedded(uri, "text/plain", "Embedded resource content for testing.")
    return messages(resource, "Please process the embedded resource above.")


@prompt()
def prompt_with_image(_: GetPromptRequestParams) -> PromptAnswer:
    """A prompt with an image in it."""
    return messages(ImageContent(data=PNG, mime_type="image/png"), "Please analyze the image above.")


@prompt()
def input_required_result_prompt(params: GetPromptRequestParams) -> PromptAnswer:
    """A prompt that asks before it is given."""
    answer = accepted(params, "user_context")
    if answer is None:
        return asking(user_context=form("What context should the prompt use?", context=TEXT))
    return messages(f"In the context of {answer['context']}")


class Fixtures:
    """The fixtures, added to a server.

    Args:
        server: the server; its handlers go on answering for what is its own.

    Attributes:
        unused: the fixtures that the suite has not called yet, without those that it only finds listed.
    """

    def __init__(self, server: Server[Any]) -> None:
        self.unused = {*TOOLS, *PROMPTS, *RESOURCES} - {"test://watched-resource", "json_schema_2020_12_tool"}

        def handler(method: str) -> Callable[[Ctx, Any], Awaitable[Any]]:
            entry = server.get_request_handler(method)
            assert entry, method
            return entry.handler

        list_tools, call_tool = handler("tools/list"), handler("tools/call")
        list_prompts, get_prompt = handler("prompts/list"), handler("prompts/get")
        list_resources, read_resource = handler("resources/list"), handler("resources/read")
        list_templates = handler("resources/templates/list")

        async def tools_list(ctx: Ctx, params: PaginatedRequestParams) -> ListToolsResult:
            listed: ListToolsResult = await list_tools(ctx, params)
            return ListToolsResult(tools=[*listed.tools, *(fixture.listed for fixture in TOOLS.values())])

        async def tools_call(ctx: Ctx, params: CallToolRequestParams) -> ToolAnswer:
            call = TOOLS[params.name].call if self._is_fixture(params.name, TOOLS) else call_tool
            answer: ToolAnswer = await call(ctx, params)
            return answer

        async def prompts_list(ctx: Ctx, params: PaginatedRequestParams) -> ListPromptsResult:
            listed: ListPromptsResult = await list_prompts(ctx, params)
            return ListPromptsResult(prompts=[*listed.prompts, *(fixture.listed for fixture in PROMPTS.values())])

        async def prompts_get(ctx: Ctx, params: GetPromptRequestParams) -> PromptAnswer:
            if self._is_fixture(params.name, PROMPTS):
                return PROMPTS[params.name].get(params)
            answer: PromptAnswer = await get_prompt(ctx, params)
            return answer

        async def resources_list(ctx: Ctx, params: PaginatedRequestParams) -> ListResourcesResult:
            listed: ListResourcesResult = await list_resources(ctx, params)
            own = [
                Resource(uri=uri, name=uri, mime_type=contents.mime_type)
                for uri, contents in RESOURCES.items()
                if "template" not in uri
            ]
            return ListResourcesResult(resources=[*listed.resources, *own])

        async def templates_list(ctx: Ctx, params: PaginatedRequestParams) -> ListResourceTemplatesResult:
            listed: ListResourceTemplatesResult = await list_templates(ctx, params)
            return ListResourceTemplatesResult(resource_templates=[*listed.resource_templates, TEMPLATE])

        async def resources_read(ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:
            if self._is_fixture(str(params.uri), RESOURCES):
                return ReadResourceResult(contents=[RESOURCES[str(params.uri)]])
            answer: ReadResourceResult = await read_resource(ctx, params)
            return answer

        async def set_level(_: Ctx, __: SetLevelRequestParams) -> EmptyResult:
            return EmptyResult()

        server.add_request_handler("tools/list", PaginatedRequestParams, tools_list)
        server.add_request_handler("tools/call", CallToolRequestParams, tools_call)
        server.add_request_handler("prompts/list", PaginatedRequestParams, prompts_list)
        server.add_request_handler("prompts/get", GetPromptRequestParams, prompts_get)
        server.add_request_handler("resources/list", PaginatedRequestParams, resources_list)
        server.add_request_handler("resources/templates/list", PaginatedRequestParams, templates_list)
        server.add_request_handler("resources/read", ReadResourceRequestParams, resources_read)
        server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)

    def _is_fixture(self, name: str, fixtures: dict[str, Any]) -> bool:
        self.unused.discard(name)
        return name in fixtures
