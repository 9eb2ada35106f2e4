"""Writes everything that is generated (`make generate`); tests/test_surface.py fails when it is not up to date.

- `amo_mcp/tools/runtime/catalog.json`: what `tools/list` says, made from the declarations of the tools;
- `tests/snapshots/`: one file for each tool, everything that a client is told of it, so that changes show in review;
- in the READMEs: the picture of the demo, in their language, and in the English one the name in the MCP registry;
- what the project is installed from (`scripts/packages/files.py`), and its links in `docs/install.md`;
- `docs/reference/`: the pages that are made from the code.
"""

import json
import os
import sys
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp_types import Tool

from amo_mcp.tools.runtime import catalog
from scripts import reference
from scripts.packages import files
from scripts.packages.facts import REGISTRY_NAME
from scripts.picture import picture

ROOT = Path(__file__).parent.parent
SNAPSHOTS = ROOT / "tests" / "snapshots"
READMES = {"en": ROOT / "README.md", "ru": ROOT / "README.ru.md"}
INSTALL = ROOT / "docs" / "install.md"
REFERENCE = ROOT / "docs" / "reference"


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


def registry_name() -> str:
    """What the MCP registry looks for on PyPI: that the package belongs to the server of this name."""
    return f"<!-- mcp-name: {REGISTRY_NAME} -->\n"


def between_markers(text: str, **parts: str) -> str:
    """`text` with each of `parts` between its markers, such as `<!-- demo -->` and `<!-- /demo -->`.

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
    for language, readme in READMES.items():
        parts = {"name": registry_name()} if language == "en" else {}
        readme.write_text(between_markers(readme.read_text("utf-8"), demo=picture(language), **parts), "utf-8")
    INSTALL.write_text(between_markers(INSTALL.read_text("utf-8"), **files.install_parts()), "utf-8")
    for name, text in reference.pages(tools).items():
        (REFERENCE / name).write_text(text, "utf-8")
    for path, text in files.written().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
