"""The pages of the reference that are made from the code (`make generate`)."""

from typing import Any

from mcp_types import Tool

from amo_mcp.settings import Settings
from amo_mcp.team.settings import TeamSettings
from scripts.packages import facts

_TOOLS = """# Tools

Made from what `tools/list` answers. "Asks a person" means that nothing is done without their yes.
"""


_SETTINGS = """# Settings

Variables of the environment, made from the settings as the code declares them. An empty one counts as unset; everything
wrong is reported at once, by name, before serving.

| variable | meaning | default |
|---|---|---|
"""

_LOGIN = """
`amo-mcp login` also needs `AMO_CLIENT_ID`, `AMO_CLIENT_SECRET` and `AMO_REDIRECT_URI`, as the integration's page shows
them. The network's own variables are in [connect](../connect.md).
"""


_TEAM = """
## A team

[`amo-mcp serve --team`](../team.md) reads these too, or takes other defaults:

| variable | meaning | default |
|---|---|---|
"""

_NEEDED = """
A team's server needs `AMO_PUBLIC_URL`, `AMO_DATABASE_URL`, `AMO_SECRET_KEY`, the account's address, and `AMO_CLIENT_ID`
with `AMO_CLIENT_SECRET` or `AMO_ACCESS_TOKEN`, or all three. It keeps nothing in a state directory.
"""


def pages(tools: list[Tool]) -> dict[str, str]:
    """The text of each page, by its name in `docs/reference/`."""
    return {"settings.md": _settings_page(), "tools.md": _tools_page(tools)}


def _settings_page() -> str:
    """Every variable that serving reads."""
    own, team = (map(_row, facts.variables(kind).values()) for kind in (Settings, TeamSettings))
    return _SETTINGS + "".join(own) + _LOGIN + _TEAM + "".join(team) + _NEEDED


def _row(variable: facts.Variable) -> str:
    choices = ", ".join(f"`{choice}`" for choice in variable.choices)
    meaning = f"{variable.description} One of {choices}." if choices else variable.description
    default = {None: "", "false": "`0`"}.get(variable.default, f"`{variable.default}`")
    return f"| `{variable.name}` | {meaning} | {default} |\n"


def _tools_page(tools: list[Tool]) -> str:
    """Every tool with its arguments and the keys of its answer."""
    return "\n".join([_TOOLS, *map(_tool, tools)])


def _tool(tool: Tool) -> str:
    lines = [f"## {tool.name}", "", f"**{tool.title}.** {tool.description} {_manner(tool)}", ""]
    required = tool.input_schema.get("required", [])
    if arguments := tool.input_schema.get("properties", {}):
        lines += ["| argument | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{name}`{'' if name in required else ' (optional)'} | {_kind(schema)} | {_meaning(schema)} |"
            for name, schema in arguments.items()
        ]
    else:
        lines.append("It takes no arguments.")
    keys = ", ".join(f"`{key}`" for key in (tool.output_schema or {}).get("properties", {}))
    return "\n".join([*lines, "", f"Answers {keys}." if keys else "Answers what the tool answers that asked.", ""])


def _manner(tool: Tool) -> str:
    annotations = tool.annotations
    if annotations is None or annotations.read_only_hint:
        return "Reads only."
    return "Asks a person." if annotations.destructive_hint else "Creates; asks nobody."


def _kind(schema: dict[str, Any]) -> str:
    """The type of an argument, such as `list of object`."""
    kind = str(schema["type"])
    return f"list of {_kind(schema['items'])}" if kind == "array" else kind


def _meaning(schema: dict[str, Any]) -> str:
    """What a model is told of an argument: its description, choices, bounds, and the keys of an object."""
    parts = [schema["description"].replace("|", "\\|").removesuffix(".")] if "description" in schema else []
    if choices := schema.get("enum"):
        parts.append("one of " + ", ".join(f"`{choice}`" for choice in choices))
    if "maxItems" in schema:
        parts.append(f"at most {schema['maxItems']}")
    inner = schema.get("items", schema)
    if keys := inner.get("properties"):
        needed = inner.get("required", [])
        parts.append("keys: " + ", ".join(f"`{key}`" + ("" if key in needed else "?") for key in keys))
    return "; ".join(parts)
