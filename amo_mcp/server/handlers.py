"""What works on the account: calls of tools, resources, completions.

Clients start a server for every window, and often only list its tools. So this module, and all that an account needs,
is imported with the first request that works on one, or while the server idles.
"""

import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.failures.explain import explain
from amo_mcp.failures.failure import internal_error
from amo_mcp.language import texts
from amo_mcp.protocol import BOARD, UI_MIME_TYPE
from amo_mcp.server.completions import complete
from amo_mcp.server.resources import list_resources, read_resource
from amo_mcp.server.uris import MIME_TYPE
from amo_mcp.text import sanitize, visible
from amo_mcp.tools.runtime.runner import Runner

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_BOARD_META: dict[str, Any] = {"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}}
"""The board asks nobody but the client. It names no `domain`: each client has a form of its own for that."""


class Handlers(Runner):
    """Answers what works on one account: `call` for tools, and what is here."""

    async def list_resources(self) -> types.ListResourcesResult:
        """Answer `resources/list`."""
        return types.ListResourcesResult(resources=await _answered(list_resources(self.account)))

    async def read_resource(self, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Answer `resources/read`.

        Raises:
            MCPError: there is no such resource (-32602).
        """
        uri = str(params.uri)
        if uri == BOARD:
            return types.ReadResourceResult(contents=[await self._board()])
        text = await _answered(read_resource(self.account, uri), uri)
        if text is None:
            message = f"There is no resource {sanitize(uri, 120)}"
            raise MCPError(code=types.INVALID_PARAMS, message=message, data={"uri": visible(uri)})
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=params.uri, text=text, mime_type=MIME_TYPE)]
        )

    async def _board(self) -> types.TextResourceContents:
        """The page that draws answers; in English while the account cannot be read."""
        from amo_mcp.server import board

        with suppress(AmoError):
            await self.account.profile.reader()
        page = board.render(texts(self.account.profile.language))
        return types.TextResourceContents(uri=BOARD, text=page, mime_type=UI_MIME_TYPE, meta=_BOARD_META)

    async def complete(self, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Ids for the templates, and for the arguments of prompts that have the same name."""
        argument = params.argument
        return types.CompleteResult(completion=await _answered(complete(self.account, argument.name, argument.value)))


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
        raise MCPError(
            code=types.INTERNAL_ERROR, message=message, data={"uri": visible(uri)} if uri else None
        ) from error
