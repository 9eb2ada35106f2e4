"""What `tools/list` says of every tool, made from the declarations."""

import json
from importlib import import_module

from amo_mcp.tools.runtime.tool import LISTING as FILE

MODULES = ("account", "statuses", "segments", "audit", "plans", "changes", "confirm")


def generate() -> str:
    """The text of `catalog.json`."""
    tools = {
        declared.name: declared.listed()
        for name in MODULES
        for declared in import_module(f"amo_mcp.tools.{name}").TOOLS
    }
    return json.dumps(tools, ensure_ascii=False, separators=(",", ":")) + "\n"


def write() -> None:
    """Write `catalog.json` anew."""
    FILE.write_text(generate(), "utf-8")
