"""The context of a request, and where the two eras of the protocol part."""

from typing import Any

from mcp.server import ServerRequestContext

Ctx = ServerRequestContext[Any, Any]
"""What the SDK knows of the request that is being answered."""

STATELESS_SINCE = "2026-07-28"
"""The first revision without sessions: calls answer `input_required` (ISO dates compare as text)."""
