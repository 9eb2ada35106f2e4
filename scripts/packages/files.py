"""The files in the tree that directories of servers and clients read; `make generate` writes them."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from amo_mcp.cli.config import TOKEN_REFERENCES, client_file
from amo_mcp.cli.links import link
from scripts.packages.facts import (
    AUTHOR,
    COMMAND,
    NAME,
    OWNER,
    PROJECT,
    REGISTRY_NAME,
    REPOSITORY,
    ROOT,
    SUMMARY,
    TITLE,
    VERSION,
    Variable,
    variables,
)

EXAMPLE = "https://example.amocrm.ru"
ASKED = ("base_url", "access_token")
"""The settings that a client asks a person for when it installs the server."""


def written() -> dict[Path, str]:
    """Every generated file, by its path in the tree."""
    return {
        Path("server.json"): _text(server_json()),
        Path("glama.json"): _text({"$schema": "https://glama.ai/mcp/schemas/server.json", "maintainers": [OWNER]}),
        Path(".claude-plugin", "plugin.json"): _text(plugin()),
        Path(".claude-plugin", "marketplace.json"): _text(marketplace()),
        Path("llms.txt"): llms(),
    }


def server_json(bundle: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the MCP registry is told (schema of 2025-12-11), with the released `bundle` as a second package."""
    package = {
        "registryType": "pypi",
        "registryBaseUrl": "https://pypi.org",
        "identifier": NAME,
        "version": VERSION,
        "runtimeHint": "uvx",
        "transport": {"type": "stdio"},
        "environmentVariables": [_input(variable) for variable in variables().values()],
    }
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": TITLE,
        "description": SUMMARY,
        "repository": {"url": REPOSITORY, "source": "github"},
        "version": VERSION,
        "packages": [package, *([bundle] if bundle else [])],
        "remotes": [_team()],
    }


def _team() -> dict[str, Any]:
    """The server of somebody's team, which is at an address of their own."""
    host = {"description": "The host of your team's server, such as crm.example.org.", "isRequired": True}
    return {"type": "streamable-http", "url": "https://{host}/mcp", "variables": {"host": host}}


def _input(variable: Variable) -> dict[str, Any]:
    default = {} if variable.default is None else {"default": variable.default}
    choices = {"choices": list(variable.choices)} if variable.choices else {}
    return {
        "name": variable.name,
        "description": variable.description,
        "format": variable.kind,
        **default,
        **choices,
        **({"isSecret": True} if variable.secret else {}),
    }


def asked_for() -> dict[str, dict[str, Any]]:
    """What a person is asked for, in the form that bundles (`user_config`) and plugins (`userConfig`) share."""
    titles = {"base_url": "Address of the account", "access_token": "Access token"}
    known = variables()
    return {
        name: {
            "type": "string",
            "title": titles[name],
            "description": known[name].description,
            "sensitive": known[name].secret,
            "required": name == "base_url",
            **({} if name == "base_url" else {"default": ""}),
        }
        for name in ASKED
    }


def environment() -> dict[str, str]:
    """The environment of a server that a bundle or a plugin starts: what was asked for, and how it asks a person.

    The dialogs of the clients that open them are declined unseen, so a page asks.
    """
    return {**{f"AMO_{name.upper()}": f"${{user_config.{name}}}" for name in ASKED}, "AMO_CONFIRM": "page"}


def plugin() -> dict[str, Any]:
    """The plugin for Claude Code."""
    return {
        "name": NAME,
        "version": VERSION,
        "description": SUMMARY,
        "author": {"name": AUTHOR},
        "homepage": REPOSITORY,
        "repository": REPOSITORY,
        "license": PROJECT["license"],
        "keywords": PROJECT["keywords"],
        "userConfig": asked_for(),
        "mcpServers": {"amocrm": {**COMMAND, "env": environment()}},
    }


def marketplace() -> dict[str, Any]:
    """This repository as a marketplace of the one plugin."""
    entry = {"name": NAME, "source": "./", "version": VERSION, "description": SUMMARY, "category": "productivity"}
    return {
        "name": NAME,
        "owner": {"name": AUTHOR},
        "metadata": {"description": SUMMARY, "version": VERSION},
        "plugins": [entry],
    }


def install_parts() -> dict[str, str]:
    """The generated parts of `docs/install.md`, by their markers."""
    return {"links": links(), "commands": commands(), "plugin": marketplace_commands()}


def links() -> str:
    """The links of `docs/install.md`: on the web, since a page of a forge opens no address of a client's own."""
    rows = ["| client | the sandbox | your account |", "|---|---|---|"]
    for client, title in (("cursor", "Cursor"), ("vscode", "VS Code")):
        sandbox, account = (_on_the_web(client, added) for added in _added(client))
        rows.append(f"| {title} | [add]({sandbox}) | [add]({account}) |")
    return "\n".join(rows) + "\n"


def _on_the_web(client: str, address: str) -> str:
    if client == "cursor":
        return f"https://cursor.com/en/install-mcp?{address.partition('?')[2]}"
    return f"https://insiders.vscode.dev/redirect?url={quote(address, safe='')}"


def commands() -> str:
    """The commands of `docs/install.md` that add the server to Claude Code."""
    sandbox, account = _added("claude-code")
    return f"```\n{sandbox}  # the sandbox\n{account}  # your account\n```\n"


def marketplace_commands() -> str:
    """The commands of `docs/install.md` that add the plugin inside Claude Code."""
    repository = REPOSITORY.removeprefix("https://github.com/")
    return f"```\n/plugin marketplace add {repository}\n/plugin install {NAME}@{NAME}\n```\n"


def _added(client: str) -> list[str]:
    """What adds the released package to `client`: for the sandbox, and for an account with a token."""
    account = {"AMO_BASE_URL": EXAMPLE, "AMO_ACCESS_TOKEN": TOKEN_REFERENCES[client]}
    confirm = {"AMO_CONFIRM": "page"} if client == "claude-code" else {}
    return [
        link(client, client_file(client, {**COMMAND, "env": {**env, **confirm}}))
        for env in ({"AMO_SANDBOX": "1"}, account)
    ]


def llms() -> str:
    """What a language model reads of the project first (llmstxt.org): the documents, each with its first sentence."""
    paths = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted({*ROOT.glob("*.md")} - {ROOT / "README.md"}),
    ]
    lines = [
        f"- [{title}]({REPOSITORY}/blob/main/{path.relative_to(ROOT).as_posix()}): {first}"
        for path, title, first in map(_opening, paths)
    ]
    return "\n".join([f"# {NAME}", "", f"> {SUMMARY}", "", "## Docs", "", *lines, ""])


def _opening(path: Path) -> tuple[Path, str, str]:
    """The title of a document and its first sentence, without links."""
    text = re.sub(r"<!--.*?-->", "", path.read_text("utf-8"), flags=re.DOTALL)
    title, _, rest = text.partition("\n")
    paragraph = next((part for part in rest.split("\n\n") if re.match(r"\w", part.strip())), "")
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return path, title.removeprefix("# "), re.split(r"(?<=[.:])\s", plain)[0].rstrip(":")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
