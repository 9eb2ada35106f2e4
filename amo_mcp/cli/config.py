"""`amo-mcp config`: the configuration for a client. JSON on stdout, and where to put it on stderr."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from amo_mcp.cli.links import WITH_LINKS, link
from amo_mcp.cli.wording import wrong_environment
from amo_mcp.settings import InvalidSettings, Settings, load_settings

_WHERE = {
    "claude-desktop": "claude_desktop_config.json (Settings, Developer, Edit Config)",
    "claude-code": ".mcp.json in the project's folder",
    "cursor": "~/.cursor/mcp.json, or .cursor/mcp.json in the project's folder",
    "vscode": ".vscode/mcp.json in the project's folder",
}
_INPUT_ID = "amo-access-token"
TOKEN_REFERENCES = {
    "claude-code": "${AMO_ACCESS_TOKEN}",
    "cursor": "${env:AMO_ACCESS_TOKEN}",
    "vscode": f"${{input:{_INPUT_ID}}}",
}
_ANSWERS_BY_ITSELF = {"claude-desktop", "claude-code"}
"""Clients that are known to declare dialogs and to decline them without showing them: Claude's desktop app, and Claude
Code in its extension for VS Code, which reads the same file as Claude Code in a terminal."""

_ABOUT_LINK = {
    "claude-code": "Run this in the project's folder.",
    "cursor": "Open this link, or paste it into a browser: Cursor asks before it adds the server.",
    "vscode": "Open this link, or paste it into a browser: VS Code asks before it adds the server.",
}
_ABOUT_TOKEN = {
    **dict.fromkeys(TOKEN_REFERENCES, "The client takes the token from AMO_ACCESS_TOKEN where it is started itself."),
    "vscode": "VS Code asks for the token when it first starts the server.",
}
_ABOUT_LOGIN = "This client has no references to secrets: sign in with `amo-mcp login`, and no token is needed."
_INPUT = {
    "type": "promptString",
    "id": _INPUT_ID,
    "description": "amoCRM long-lived access token",
    "password": True,
}


@click.command("config")
@click.argument("client", type=click.Choice(list(_WHERE)))
@click.option("--sandbox", is_flag=True, help="For the embedded sandbox instead of an account.")
@click.option("--link", "as_link", is_flag=True, help="Print a link that adds it (claude-code: a command).")
def command(client: str, sandbox: bool, as_link: bool) -> None:
    """Print the configuration for a client.

    A secret is never printed: it is a reference where the client knows references, else sign in with `amo-mcp login`.
    """
    if as_link and client not in WITH_LINKS:
        raise click.UsageError(f"{client} opens no links: leave out --link, or open the .mcpb bundle of the release")
    try:
        settings = load_settings(Settings, sandbox=sandbox or None)
    except InvalidSettings as error:
        raise wrong_environment("the environment is wrong", error) from None
    configured = configuration(client, settings)
    click.echo(link(client, configured) if as_link else json.dumps(configured, indent=2, ensure_ascii=False))
    click.echo(_ABOUT_LINK[client] if as_link else f"Put this into {_WHERE[client]}.", err=True)
    if _needs_token(settings):
        click.echo(_ABOUT_TOKEN.get(client, _ABOUT_LOGIN), err=True)


def configuration(client: str, settings: Settings) -> dict[str, Any]:
    """The configuration, in the form that the client's documentation gives."""
    return client_file(client, {**_command(), "env": _environment(client, settings)})


def client_file(client: str, server: dict[str, Any]) -> dict[str, Any]:
    """What the client's file says of one server."""
    if client != "vscode":
        return {"mcpServers": {"amocrm": server if client != "claude-code" else {"type": "stdio", **server}}}
    inputs = {"inputs": [_INPUT]} if "AMO_ACCESS_TOKEN" in server["env"] else {}
    return {**inputs, "servers": {"amocrm": {"type": "stdio", **server}}}


def _command() -> dict[str, Any]:
    """How this installation is started: the script beside this interpreter, else the module."""
    script = shutil.which("amo-mcp", path=str(Path(sys.executable).parent))
    return {"command": script, "args": []} if script else {"command": sys.executable, "args": ["-m", "amo_mcp"]}


def _environment(client: str, settings: Settings) -> dict[str, str]:
    chosen = settings.confirm if "confirm" in settings.model_fields_set else None
    confirm = chosen or ("page" if client in _ANSWERS_BY_ITSELF else None)
    kept = {
        **({"AMO_READ_ONLY": "1"} if settings.read_only else {}),
        **({"AMO_CUSTOMERS": settings.customers} if settings.customers != "names" else {}),
        **({"AMO_CONFIRM": confirm} if confirm else {}),
    }
    if settings.sandbox:
        return {"AMO_SANDBOX": "1", **kept}
    base_url = settings.base_url or next(reversed(settings.state.signed_in()), "https://example.amocrm.ru")
    token = (
        {"AMO_ACCESS_TOKEN": TOKEN_REFERENCES[client]} if client in TOKEN_REFERENCES and _needs_token(settings) else {}
    )
    hosts = {"AMO_ALLOWED_HOSTS": ",".join(settings.allowed_hosts)} if settings.allowed_hosts else {}
    state_dir = {"AMO_STATE_DIR": str(settings.state_dir)} if settings.state_dir else {}
    return {"AMO_BASE_URL": base_url, **hosts, **state_dir, **kept, **token}


def _needs_token(settings: Settings) -> bool:
    signed_in = settings.state.signed_in()
    return not settings.sandbox and (settings.base_url not in signed_in if settings.base_url else not signed_in)
