"""An empty server of the same SDK, over stdio or HTTP: the baseline of the bench.

Its tools answer the text of the file that is named as first argument, both ways, as ours do; one makes a request
first.
"""

import json
import os
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import anyio
import httpx2
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent

# The SDK logs through rich where that is installed, as it is beside the tools of this project, and not for most users.
sys.modules["rich.console"] = cast("ModuleType", None)

TEXT = Path(sys.argv[1]).read_text("utf-8")
ANSWER: dict[str, Any] = json.loads(TEXT)

server: MCPServer[Any] = MCPServer("empty")
client: httpx2.AsyncClient | None = None


@server.tool()
def same() -> CallToolResult:
    """Answer always the same."""
    return CallToolResult(content=[TextContent(text=TEXT)], structured_content=ANSWER)


@server.tool()
async def fetched(url: str) -> CallToolResult:
    """Answer the same after a request."""
    global client
    client = client or httpx2.AsyncClient(headers={"Authorization": f"Bearer {os.environ['AMO_ACCESS_TOKEN']}"})
    (await client.get(url)).json()
    return same()


async def over_http() -> None:
    """Serve Streamable HTTP at a free port, and print the address."""
    # With the protocol named, asyncio sends small pieces at once, as it does when it opens the socket itself.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        app = server.streamable_http_app()
        config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none", loop="asyncio")
        print(f"serves at http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        await uvicorn.Server(config).serve([listener])


if sys.argv[2:] == ["http"]:
    anyio.run(over_http)
else:
    server.run("stdio")
