"""`amo-mcp config --link`: what a client reads out of a link, or a shell out of a command, is the configuration."""

import json
import shlex
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result

from amo_mcp.cli import cli

SECRET = "marker-of-a-secret"
SHOP = "https://shop.kommo.com"
ENVIRONMENTS = [{"AMO_SANDBOX": "1"}, {"AMO_BASE_URL": SHOP}]


@pytest.fixture(autouse=True)
def nobody_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_, **__: tmp_path / "state")


def run(*arguments: str, **environment: str) -> Result:
    given = {"AMO_ACCESS_TOKEN": SECRET, "AMO_CLIENT_SECRET": SECRET, **environment}
    result = CliRunner().invoke(cli, ["config", *arguments], env=given)
    assert SECRET not in unquote(result.output)
    return result


def link(client: str, **environment: str) -> str:
    result = run(client, "--link", **environment)
    assert result.exit_code == 0, result.output
    return result.stdout.rstrip("\n")


def configured(client: str, **environment: str) -> Any:
    return json.loads(run(client, **environment).stdout)


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_link_of_cursor_holds_the_configuration_of_cursor(environment: dict[str, str]) -> None:
    address = urlsplit(link("cursor", **environment))
    assert (address.scheme, address.netloc, address.path) == ("cursor", "anysphere.cursor-deeplink", "/mcp/install")
    asked = parse_qs(address.query, strict_parsing=True)
    assert asked["name"] == ["amocrm"]
    decoded = b64decode(asked["config"][0], validate=True)
    assert SECRET.encode() not in decoded
    assert {"mcpServers": {"amocrm": json.loads(decoded)}} == configured("cursor", **environment)


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_link_of_vs_code_holds_the_configuration_of_vs_code_and_asks_for_the_token(
    environment: dict[str, str],
) -> None:
    scheme, _, rest = link("vscode", **environment).partition(":")
    path, _, query = rest.partition("?")
    server = json.loads(unquote(query, errors="strict"))
    inputs = {"inputs": server.pop("inputs")} if "inputs" in server else {}
    assert (scheme, path, server.pop("name")) == ("vscode", "mcp/install", "amocrm")
    assert {**inputs, "servers": {"amocrm": server}} == configured("vscode", **environment)
    assert [item["password"] for item in inputs.get("inputs", ())] == [True] * ("AMO_BASE_URL" in environment)


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_command_of_claude_code_adds_its_configuration_with_a_reference_for_the_token(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a folder" / "python"))
    words = shlex.split(link("claude-code", **environment))
    server = configured("claude-code", **environment)["mcpServers"]["amocrm"]
    given = [word for item in server["env"].items() for word in ("--env", "=".join(item))]
    assert words == [
        *["claude", "mcp", "add", "--scope", "project", *given, "--transport", "stdio", "amocrm", "--"],
        *[server["command"], *server["args"]],
    ]
    assert words[-3:] == [str(tmp_path / "a folder" / "python"), "-m", "amo_mcp"]
    assert ("AMO_ACCESS_TOKEN=${AMO_ACCESS_TOKEN}" in words) == ("AMO_BASE_URL" in environment)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("cursor", "Open this link, or paste it into a browser: Cursor asks before it adds the server."),
        ("vscode", "Open this link, or paste it into a browser: VS Code asks before it adds the server."),
        ("claude-code", "Run this in the project's folder."),
    ],
)
def test_what_to_do_with_a_link_is_said_beside_it(client: str, told: str) -> None:
    assert run(client, "--link", "--sandbox").stderr == f"{told}\n"


def test_claude_desktop_opens_no_links_and_says_what_to_do_instead() -> None:
    result = run("claude-desktop", "--link", "--sandbox")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "claude-desktop opens no links: leave out --link, or open the .mcpb bundle of the release" in result.stderr
