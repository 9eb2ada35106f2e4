"""The public surface as files: one JSON snapshot for each tool, and the README's table of tools.

A change of the surface shows in review. `make docs` writes them anew; tests/test_surface.py holds them to the code.
"""

import json
import re
from pathlib import Path
from typing import Any

from mcp_types import ToolAnnotations

from amo_mcp.tools import account, audit, changes, confirm, plans, segments, statuses
from amo_mcp.tools.runtime.tool import LISTING, Declared

ROOT = Path(__file__).parent.parent
SNAPSHOTS = Path(__file__).parent / "snapshots"
README = ROOT / "README.md"

DECLARED: dict[str, Declared] = {
    declared.name: declared
    for module in (account, statuses, segments, audit, plans, changes, confirm)
    for declared in module.TOOLS
}
"""Every tool, in the order of `tools/list`."""

_TABLE = re.compile(r"(?<=<!-- tools -->\n).*?(?=<!-- /tools -->)", re.DOTALL)


def snapshot(name: str) -> str:
    """Everything that a client is told of one tool."""
    listed = DECLARED[name].listed()
    hints = DECLARED[name].hints
    annotations = ToolAnnotations(
        read_only_hint=hints.reads,
        destructive_hint=hints.destroys,
        idempotent_hint=hints.repeatable,
        open_world_hint=False,
    )
    told: dict[str, Any] = {
        "name": name,
        "title": listed["title"],
        "description": listed["description"],
        "annotations": annotations.model_dump(by_alias=True, exclude_none=True),
        "inputSchema": listed["input"],
        "outputSchema": listed["output"],
    }
    return json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def listing() -> str:
    """The file that the server lists its tools from."""
    told = {name: declared.listed() for name, declared in DECLARED.items()}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"


def table() -> str:
    """The README's table."""
    rows = ["| tool | what it does | asks a person |", "|---|---|---|"]
    for name, declared in DECLARED.items():
        asks = "" if not declared.hints.destroys else "it is their answer" if name == "confirm_change" else "yes"
        rows.append(f"| `{name}` | {declared.listed()['description']} | {asks} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """The README with the table as it should be."""
    return _TABLE.sub(lambda _: table(), README.read_text("utf-8"))


def write() -> None:
    """Write the snapshots and the README's table."""
    SNAPSHOTS.mkdir(exist_ok=True)
    for old in SNAPSHOTS.glob("*.json"):
        old.unlink()
    for name in DECLARED:
        (SNAPSHOTS / f"{name}.json").write_text(snapshot(name), "utf-8")
    LISTING.write_text(listing(), "utf-8")
    README.write_text(readme(), "utf-8")


if __name__ == "__main__":
    write()
