"""What adds the server to a client in one step: a link that the client opens, or a command of the client's own."""

import json
import shlex
from base64 import b64encode
from typing import Any
from urllib.parse import quote

WITH_LINKS = ("claude-code", "cursor", "vscode")
"""The clients that can be added to in one step from outside; for Claude Desktop there is the bundle."""


def link(client: str, configured: dict[str, Any]) -> str:
    """What adds `configured` (what `amo-mcp config` prints) to `client`, which is one of `WITH_LINKS`.

    In the forms that the documentation of each client gives: Cursor's install links, VS Code's install URLs, and
    `claude mcp add`, quoted for a POSIX shell.
    """
    servers = configured.get("servers") or configured["mcpServers"]
    [(name, server)] = servers.items()
    match client:
        case "cursor":
            config = quote(b64encode(_compact(server).encode()).decode(), safe="")
            return f"cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={config}"
        case "vscode":
            inputs = {"inputs": configured["inputs"]} if "inputs" in configured else {}
            return f"vscode:mcp/install?{quote(_compact({'name': name, **server, **inputs}), safe='')}"
        case _:
            options = [option for item in server["env"].items() for option in ("--env", "=".join(item))]
            add = ["claude", "mcp", "add", "--scope", "project", *options, "--transport", "stdio", name]
            return shlex.join([*add, "--", server["command"], *server["args"]])


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
