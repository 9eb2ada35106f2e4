"""The context of a request, where the two eras of the protocol part, and the extensions that are served."""

from typing import Any

from mcp.server import ServerRequestContext

Ctx = ServerRequestContext[Any, Any]
"""What the SDK knows of the request that is being answered."""

STATELESS_SINCE = "2026-07-28"
"""The first revision without sessions: calls answer `input_required` (ISO dates compare as text)."""

UI_EXTENSION = "io.modelcontextprotocol/ui"
"""MCP Apps; the SDK has the name too, in a module that costs a start more than everything else here."""

TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
"""Tasks: a long call is answered with the handle of a task, and the client asks how far it is."""

UI_MIME_TYPE = "text/html;profile=mcp-app"

BOARD = "ui://amo-mcp/board"
"""The page that draws the answers of some tools, for clients that show pages."""


def can_have_task(ctx: Ctx) -> bool:
    """Whether the client of a request takes a task in place of a result."""
    capabilities = ctx.session.client_capabilities
    declared = capabilities is not None and TASKS_EXTENSION in (capabilities.extensions or {})
    return declared and ctx.protocol_version >= STATELESS_SINCE
