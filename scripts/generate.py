"""Writes everything that is generated (`make generate`); tests/test_surface.py fails when it is not up to date.

- `amo_mcp/tools/runtime/catalog.json`: what `tools/list` says, made from the declarations of the tools;
- `tests/snapshots/`: one file for each tool, everything that a client is told of it, so that changes show in review;
- in the README: the table of tools, the picture of the demo, and the name in the MCP registry;
- what the project is installed from (`scripts/packages/files.py`), and its links in `docs/install.md`.
"""

import json
import os
import sys
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp_types import Tool

from amo_mcp.tools.runtime import catalog
from scripts.packages import files
from scripts.packages.facts import REGISTRY_NAME
from scripts.picture import picture

ROOT = Path(__file__).parent.parent
SNAPSHOTS = ROOT / "tests" / "snapshots"
README = ROOT / "README.md"
INSTALL = ROOT / "docs" / "install.md"


async def served() -> list[Tool]:
    """The tools as a client is told of them, in the order of `tools/list`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "amo_mcp", "serve", "--sandbox"], env=environment
    )
    async with Client(server) as client:
        return (await client.list_tools()).tools


def snapshot(tool: Tool) -> str:
    """The text of a tool's snapshot."""
    listed = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(listed, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def table(tools: list[Tool]) -> str:
    """The README's table of tools."""
    rows = ["| tool | what it does | asks a person |", "|---|---|---|"]
    for tool in tools:
        destructive = tool.annotations is not None and tool.annotations.destructive_hint
        asks = "it is their answer" if tool.name == "confirm_change" else "yes" if destructive else ""
        rows.append(f"| `{tool.name}` | {tool.description} | {asks} |")
    return "\n".join(rows) + "\n"


def registry_name() -> str:
    """What the MCP registry looks for on PyPI: that the package belongs to the server of this name."""
    return f"<!-- mcp-name: {REGISTRY_NAME} -->\n"


def between_markers(text: str, **parts: str) -> str:
    """`text` with each of `parts` between its markers, such as `<!-- tools -->` and `<!-- /tools -->`.

    Raises:
        ValueError: a part has no markers.
    """
    for name, part in parts.items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not opening or not closing:
            raise ValueError(f"there are no markers for {name}")
        text = f"{before}{opening}{part}{closing}{after}"
    return text


def main() -> None:
    """Write all of it."""
    catalog.write()
    tools = anyio.run(served)
    SNAPSHOTS.mkdir(exist_ok=True)
    for old in SNAPSHOTS.glob("*.json"):
        old.unlink()
    for tool in tools:
        (SNAPSHOTS / f"{tool.name}.json").write_text(snapshot(tool), "utf-8")
    README.write_text(
        between_markers(README.read_text("utf-8"), tools=table(tools), demo=picture(), name=registry_name()), "utf-8"
    )
    INSTALL.write_text(between_markers(INSTALL.read_text("utf-8"), **files.install_parts()), "utf-8")
    for path, text in files.written().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
