"""The configuration of each client, to the letter, and never a secret in it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from amo_mcp.cli import cli
from amo_mcp.paths import StateDir
from amo_mcp.settings import ServingSettings, load_settings

CLIENTS = ["claude-desktop", "claude-code", "cursor", "vscode"]
SECRET = "marker-of-a-secret"
SHOP = "https://shop.kommo.com"
WHERE = {
    "claude-desktop": "claude_desktop_config.json (Settings, Developer, Edit Config)",
    "claude-code": ".mcp.json in the project's folder",
    "cursor": "~/.cursor/mcp.json, or .cursor/mcp.json in the project's folder",
    "vscode": ".vscode/mcp.json in the project's folder",
}
REFERENCE = {
    "claude-code": "${AMO_ACCESS_TOKEN}",
    "cursor": "${env:AMO_ACCESS_TOKEN}",
    "vscode": "${input:amo-access-token}",
}
CONFIRM = {
    "claude-desktop": {"AMO_CONFIRM": "page"},
    "claude-code": {"AMO_CONFIRM": "page"},
    "cursor": {},
    "vscode": {},
}
"""Of the clients that are known to answer dialogs by themselves."""

INPUT = {
    "type": "promptString",
    "id": "amo-access-token",
    "description": "amoCRM long-lived access token",
    "password": True,
}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installation with the command beside its interpreter."""
    made = tmp_path / "bin" / "amo-mcp"
    made.parent.mkdir()
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(made.with_name("python")))
    return str(made)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.create()
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_, **__: made.path)
    return made


def printed(*arguments: str, **environment: str) -> Result:
    given = {"AMO_ACCESS_TOKEN": SECRET, "AMO_CLIENT_SECRET": SECRET, **environment}
    result = CliRunner().invoke(cli, ["config", *arguments], env=given)
    assert result.exit_code == 0, result.output
    assert SECRET not in result.output
    assert result.stdout == json.dumps(json.loads(result.stdout), indent=2, ensure_ascii=False) + "\n"
    return result


def whole(client: str, server: dict[str, Any], *, asks: bool = False) -> dict[str, Any]:
    """The configuration of `client` around one server."""
    match client:
        case "vscode":
            return {**({"inputs": [INPUT]} if asks else {}), "servers": {"amocrm": {"type": "stdio", **server}}}
        case "claude-code":
            return {"mcpServers": {"amocrm": {"type": "stdio", **server}}}
        case _:
            return {"mcpServers": {"amocrm": server}}


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize("client", CLIENTS)
def test_the_sandbox_needs_one_variable(client: str, script: str, state: StateDir) -> None:
    expected = whole(client, {"command": script, "args": [], "env": {"AMO_SANDBOX": "1", **CONFIRM[client]}})
    for result in (printed(client, "--sandbox"), printed(client, AMO_SANDBOX="1")):
        assert json.loads(result.stdout) == expected
        assert result.stderr == f"Put this into {WHERE[client]}.\n"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_token_of_a_named_account_is_a_reference_where_the_client_has_references(
    client: str, script: str, state: StateDir
) -> None:
    token = {"AMO_ACCESS_TOKEN": REFERENCE[client]} if client in REFERENCE else {}
    env = {"AMO_BASE_URL": SHOP, **CONFIRM[client], **token}
    expected = whole(client, {"command": script, "args": [], "env": env}, asks=True)
    result = printed(client, AMO_BASE_URL=f"{SHOP}/")
    assert json.loads(result.stdout) == expected
    no_references = "This client has no references to secrets: sign in with `amo-mcp login`, and no token is needed."
    taken = "The client takes the token from AMO_ACCESS_TOKEN where it is started itself."
    advice = {
        "claude-desktop": no_references,
        "claude-code": taken,
        "cursor": taken,
        "vscode": "VS Code asks for the token when it first starts the server.",
    }[client]
    assert result.stderr == f"Put this into {WHERE[client]}.\n{advice}\n"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("named", [{"AMO_BASE_URL": SHOP}, {}])
def test_a_signed_in_account_needs_no_token(client: str, named: dict[str, str], script: str, state: StateDir) -> None:
    for base_url in ("https://first.amocrm.ru", SHOP):
        state.remember(base_url)
    result = printed(client, **named)
    assert json.loads(result.stdout) == whole(
        client, {"command": script, "args": [], "env": {"AMO_BASE_URL": SHOP, **CONFIRM[client]}}
    )
    assert result.stderr == f"Put this into {WHERE[client]}.\n"


@pytest.mark.parametrize("client", CLIENTS)
def test_another_account_than_the_signed_in_one_needs_its_token(client: str, script: str, state: StateDir) -> None:
    state.remember("https://first.amocrm.ru")
    result = printed(client, AMO_BASE_URL=SHOP)
    token = {"AMO_ACCESS_TOKEN": REFERENCE[client]} if client in REFERENCE else {}
    assert json.loads(result.stdout) == whole(
        client, {"command": script, "args": [], "env": {"AMO_BASE_URL": SHOP, **CONFIRM[client], **token}}, asks=True
    )


def test_without_an_account_an_example_address_is_printed(script: str, state: StateDir) -> None:
    printed_json = json.loads(printed("cursor").stdout)
    assert printed_json["mcpServers"]["amocrm"]["env"] == {
        "AMO_BASE_URL": "https://example.amocrm.ru",
        "AMO_ACCESS_TOKEN": "${env:AMO_ACCESS_TOKEN}",
    }


def test_a_subdomain_is_printed_as_an_address(script: str, state: StateDir) -> None:
    printed_json = json.loads(printed("claude-desktop", AMO_SUBDOMAIN="Shop").stdout)
    assert printed_json["mcpServers"]["amocrm"]["env"]["AMO_BASE_URL"] == "https://shop.amocrm.ru"


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize("client", ["claude-code", "cursor"])
def test_what_the_operator_chose_is_kept(client: str, script: str, state: StateDir) -> None:
    chosen = {"AMO_READ_ONLY": "1", "AMO_CUSTOMERS": "off", "AMO_CONFIRM": "auto"}
    printed_json = json.loads(printed(client, "--sandbox", **chosen).stdout)
    assert printed_json["mcpServers"]["amocrm"]["env"] == {"AMO_SANDBOX": "1", **chosen}


def test_without_the_script_beside_the_interpreter_the_module_is_run(
    tmp_path: Path, state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    printed_json = json.loads(printed("cursor", "--sandbox").stdout)
    assert printed_json["mcpServers"]["amocrm"] == {
        "command": str(tmp_path / "nowhere" / "python"),
        "args": ["-m", "amo_mcp"],
        "env": {"AMO_SANDBOX": "1"},
    }


def test_a_wrong_environment_is_reported_and_no_configuration_printed() -> None:
    result = CliRunner().invoke(
        cli, ["config", "cursor"], env={"AMO_BASE_URL": "https://evil.example", "AMO_ACCESS_TOKEN": f"{SECRET} x"}
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: the environment is wrong:\n"
        "  AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in AMO_ALLOWED_HOSTS\n"
        "  AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks\n"
    )


def test_an_unknown_client_is_refused_with_a_list_of_the_known_ones() -> None:
    result = CliRunner().invoke(cli, ["config", "emacs"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(f"'{client}'" in result.stderr for client in CLIENTS)


@pytest.mark.requirement("COMMAND-9")
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"AMO_BASE_URL": SHOP}, id="named"),
        pytest.param({"AMO_SUBDOMAIN": "shop"}, id="subdomain"),
        pytest.param({"AMO_SANDBOX": "1"}, id="sandbox"),
        pytest.param({"AMO_BASE_URL": "http://127.0.0.1:8901"}, id="loopback"),
        pytest.param(
            {"AMO_BASE_URL": "https://crm.example.org", "AMO_ALLOWED_HOSTS": "crm.example.org"},
            id="allowed host",
        ),
        pytest.param({"AMO_STATE_DIR": "{tmp}/other"}, id="signed in, in a state directory of its own"),
    ],
)
def test_a_server_starts_with_the_printed_configuration_alone(
    environment: dict[str, str], script: str, state: StateDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {name: value.replace("{tmp}", str(tmp_path)) for name, value in environment.items()}
    if "AMO_STATE_DIR" in environment:
        other = StateDir(Path(environment["AMO_STATE_DIR"]))
        other.create()
        other.remember(SHOP)
    for name, value in json.loads(printed("cursor", **environment).stdout)["mcpServers"]["amocrm"]["env"].items():
        monkeypatch.setenv(name, value.replace("${env:AMO_ACCESS_TOKEN}", "token"))
    assert load_settings(ServingSettings).base_url
