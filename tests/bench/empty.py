"""An empty server of the same SDK, over stdio or HTTP: what anything is compared with.

Its one tool answers the text of the file that is named as first argument, both ways, as ours does.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent

TEXT = Path(sys.argv[1]).read_text("utf-8")
ANSWER: dict[str, Any] = json.loads(TEXT)

server: MCPServer[Any] = MCPServer("empty")


@server.tool()
def same() -> CallToolResult:
    """Answer always the same."""
    return CallToolResult(content=[TextContent(text=TEXT)], structured_content=ANSWER)


async def over_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = server.streamable_http_app()
        config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none", loop="asyncio")
        print(f"serves at http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201 - for the bench
        await uvicorn.Server(config).serve([listener])


if sys.argv[2:] == ["http"]:
    anyio.run(over_http)
else:
    server.run("stdio")
