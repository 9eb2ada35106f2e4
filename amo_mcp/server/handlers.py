"""What works on the account: calls of tools, resources, completions.

Clients start a server for every window, and often only list its tools. So this module, and all that an account needs,
is imported with the first request that works on one, or while the server idles.
"""

import logging
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    ListResourcesResult,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextResourceContents,
)

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.confirmation.ask import Asker
from amo_mcp.failures import explain, internal_error
from amo_mcp.server.completions import complete
from amo_mcp.server.resources import list_resources, read_resource
from amo_mcp.server.uris import MIME_TYPE
from amo_mcp.text import sanitize
from amo_mcp.tools.runtime.catalog import CatalogEntry
from amo_mcp.tools.runtime.runner import Runner

logger = logging.getLogger(__name__)

Ctx = ServerRequestContext[Any, Any]

_T = TypeVar("_T")


class Handlers:
    """The handlers of one account.

    Args:
        account: what they work on.
        asker: asks a person before a change is carried out.
        tools: every tool by name.
        read_only: refuse the tools that write.

    Attributes:
        account: the same.
        call_tool: answers `tools/call`.
    """

    def __init__(
        self, account: AmoAccount, asker: Asker, tools: Mapping[str, CatalogEntry], *, read_only: bool
    ) -> None:
        self.account = account
        self.call_tool = Runner(account, asker, tools, read_only=read_only).call

    async def list_resources(self) -> ListResourcesResult:
        """Answer `resources/list`."""
        return ListResourcesResult(resources=await _answered(list_resources(self.account)))

    async def read_resource(self, params: ReadResourceRequestParams) -> ReadResourceResult:
        """Answer `resources/read`.

        Raises:
            MCPError: there is no such resource (-32602).
        """
        uri = str(params.uri)
        text = await _answered(read_resource(self.account, uri), uri)
        if text is None:
            message = f"There is no resource {sanitize(uri, 120)}"
            raise MCPError(code=INVALID_PARAMS, message=message, data={"uri": uri})
        return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, text=text, mime_type=MIME_TYPE)])

    async def complete(self, params: CompleteRequestParams) -> CompleteResult:
        """Ids for the templates, and for the arguments of prompts that have the same name."""
        argument = params.argument
        return CompleteResult(completion=await _answered(complete(self.account, argument.name, argument.value)))


async def _answered(answer: Awaitable[_T], uri: str | None = None) -> _T:
    """What was awaited, or a protocol error in our own words.

    Raises:
        MCPError: -32603, with nothing of a mistake of our own but that there was one.
    """
    try:
        return await answer
    except Exception as error:
        failure = explain(error)
        if failure is None:
            logger.error("A resource or a completion failed unexpectedly: %s", type(error).__name__)
        message = str(failure or internal_error())
        raise MCPError(code=INTERNAL_ERROR, message=message, data={"uri": uri} if uri else None) from error
