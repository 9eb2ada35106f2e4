"""The public surface as files: one JSON snapshot for each tool, and the README's table of tools.

A change of the surface shows in review. `make docs` writes them anew; tests/test_surface.py holds them to the code.
"""

import json
import re
from pathlib import Path
from typing import Any

from amo_mcp.server import TOOLS
from amo_mcp.tools.tool import SCHEMAS, AmoTool, schemas_of

ROOT = Path(__file__).parent.parent
SNAPSHOTS = Path(__file__).parent / "snapshots"
README = ROOT / "README.md"

_TABLE = re.compile(r"(?<=<!-- tools -->\n).*?(?=<!-- /tools -->)", re.DOTALL)


def snapshot(tool: AmoTool) -> str:
    """Everything that a client is told of one tool."""
    assert tool.annotations
    made = schemas_of(tool.fn)
    told: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "annotations": tool.annotations.model_dump(by_alias=True, exclude_none=True),
        "inputSchema": made["input"],
        "outputSchema": made["output"],
    }
    return json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def kept_schemas() -> str:
    """The file that the server reads the schemas from."""
    told = {tool.name: schemas_of(tool.fn) for tool in TOOLS}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def table() -> str:
    """The README's table."""
    rows = ["| tool | what it does | asks a person |", "|---|---|---|"]
    for tool in TOOLS:
        destroys = bool(tool.annotations and tool.annotations.destructive_hint)
        asks = "" if not destroys else "it is their answer" if tool.name == "confirm_change" else "yes"
        rows.append(f"| `{tool.name}` | {tool.description} | {asks} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """The README with the table as it should be."""
    return _TABLE.sub(lambda _: table(), README.read_text("utf-8"))


def write() -> None:
    """Write the snapshots and the README's table."""
    SNAPSHOTS.mkdir(exist_ok=True)
    for old in SNAPSHOTS.glob("*.json"):
        old.unlink()
    for tool in TOOLS:
        (SNAPSHOTS / f"{tool.name}.json").write_text(snapshot(tool), "utf-8")
    SCHEMAS.write_text(kept_schemas(), "utf-8")
    README.write_text(readme(), "utf-8")


if __name__ == "__main__":
    write()
