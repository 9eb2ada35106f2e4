"""Everything that the project is installed from is generated, up to date, and says the same."""

import json
import re
import shlex
import struct
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator
from pydantic import SecretStr

from amo_mcp import __version__
from amo_mcp.cli import cli
from amo_mcp.settings import Settings
from scripts import generate
from scripts.packages import bundle, facts, files, release

ROOT = Path(__file__).parents[2]
SERVER_JSON = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength": 3, "maxLength": 200},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"pattern": r"^\d+\.\d+\.\d+$"},
        "repository": {"required": ["url", "source"]},
        "remotes": {
            "items": {
                "required": ["type", "url"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "streamable-http"},
                    "url": {"const": "https://{host}/mcp"},
                    "variables": {
                        "required": ["host"],
                        "additionalProperties": {"required": ["description", "isRequired"]},
                    },
                },
            }
        },
        "packages": {
            "items": {
                "required": ["registryType", "identifier", "transport", "version"],
                "properties": {
                    "version": {"pattern": r"^\d+\.\d+\.\d+$"},
                    "transport": {"const": {"type": "stdio"}},
                    "fileSha256": {"pattern": "^[a-f0-9]{64}$"},
                    "environmentVariables": {
                        "items": {
                            "required": ["name", "description"],
                            "additionalProperties": False,
                            "properties": {
                                "name": {"pattern": "^AMO_[A-Z_]+$"},
                                "description": {"type": "string", "minLength": 10},
                                "format": {"enum": ["string", "number", "boolean", "filepath"]},
                                "default": {"type": "string"},
                                "choices": {"type": "array", "items": {"type": "string"}},
                                "isSecret": {"type": "boolean"},
                            },
                        }
                    },
                },
            }
        },
    },
}
"""What the registry's documentation says of the keys used here. `make linters` validates by the schema itself."""


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text("utf-8"))


@pytest.mark.requirement("INSTALL-1")
@pytest.mark.parametrize("path", files.written(), ids=str)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text("utf-8") == files.written()[path]


@pytest.mark.requirement("INSTALL-1")
def test_the_links_and_commands_of_the_documentation_are_up_to_date() -> None:
    text = generate.INSTALL.read_text("utf-8")
    assert text == generate.between_markers(text, **files.install_parts())
    assert facts.REGISTRY_NAME in generate.READMES["en"].read_text("utf-8")


@pytest.mark.requirement("INSTALL-1")
def test_everything_has_the_version_of_the_package() -> None:
    manifest, server, plugin = bundle.manifest(), read("server.json"), read(".claude-plugin/plugin.json")
    [listed] = read(".claude-plugin/marketplace.json")["plugins"]
    versions = [item["version"] for item in (manifest, server, *server["packages"], plugin, listed)]
    assert versions == [__version__] * len(versions)
    assert plugin["mcpServers"]["amocrm"]["args"] == [f"amo-mcp@{__version__}"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_owner_of_the_project_is_named_in_one_place_and_generated_everywhere_else() -> None:
    generated = {*files.written(), Path("README.md"), Path("docs/install.md")}
    folders = [
        ROOT,
        *(ROOT / name for name in ("amo_mcp", "deploy", "docs", "examples", "prompts", "scripts", ".github")),
    ]
    texts = {
        path.relative_to(ROOT): path.read_text("utf-8")
        for folder in folders
        for path in (folder.glob("*") if folder == ROOT else folder.rglob("*"))
        if path.suffix in {".json", ".md", ".py", ".toml", ".txt", ".yml"} and "node_modules" not in path.parts
    }
    named = {path for path, text in texts.items() if f"{facts.OWNER}/{facts.NAME}" in text}
    assert named - generated == {Path("pyproject.toml")}
    assert (facts.OWNER != facts.PLACEHOLDER) or f"`{facts.PLACEHOLDER}`" in texts[Path("CONTRIBUTING.md")]


def test_the_variables_are_those_that_serving_reads_with_what_they_take() -> None:
    told = facts.variables()
    assert set(told) == set(Settings.model_fields) - {"client_id", "client_secret", "redirect_uri"}
    assert {name for name, item in told.items() if item.secret} == {"access_token"}
    secret = {
        name for name, field in Settings.model_fields.items() if SecretStr in getattr(field.annotation, "__args__", ())
    }
    assert secret == {"access_token", "client_secret"}
    assert told["confirm"] == facts.Variable(
        name="AMO_CONFIRM",
        description="How a person is asked before a change.",
        secret=False,
        kind="string",
        choices=("auto", "dialog", "page", "chat"),
        default="auto",
    )
    assert (told["rate_limit"].kind, told["rate_limit"].default) == ("number", "7")
    assert (told["state_dir"].kind, told["sandbox"].kind, told["sandbox"].default) == ("filepath", "boolean", "false")
    assert all(re.fullmatch(r"[A-Z][^;]+\.", item.description) for item in told.values())


@pytest.mark.requirement("INSTALL-1")
def test_the_registry_is_told_what_its_documentation_allows() -> None:
    validator = Draft7Validator(SERVER_JSON)
    assert list(validator.iter_errors(read("server.json"))) == []
    released = files.server_json(release.package(ROOT / "LICENSE", "v0.1.0"))
    assert list(validator.iter_errors(released)) == []
    assert [item["registryType"] for item in released["packages"]] == ["pypi", "mcpb"]
    assert list(validator.iter_errors({**released, "description": "x" * 101})) != []


@pytest.mark.requirement("INSTALL-2")
def test_a_bundle_and_a_plugin_ask_for_address_and_token_and_keep_the_token_secret() -> None:
    asked = bundle.manifest()["user_config"]
    assert asked == read(".claude-plugin/plugin.json")["userConfig"]
    assert {name: (item["sensitive"], item["required"]) for name, item in asked.items()} == {
        "base_url": (False, True),
        "access_token": (True, False),
    }
    environment = bundle.manifest()["server"]["mcp_config"]["env"]
    assert environment == read(".claude-plugin/plugin.json")["mcpServers"]["amocrm"]["env"]
    printed = CliRunner().invoke(cli, ["config", "claude-desktop", "--sandbox"], env={"AMO_CONFIRM": ""})
    assert environment == {
        "AMO_BASE_URL": "${user_config.base_url}",
        "AMO_ACCESS_TOKEN": "${user_config.access_token}",
        "AMO_CONFIRM": json.loads(printed.stdout)["mcpServers"]["amocrm"]["env"]["AMO_CONFIRM"],
    }


def test_the_links_of_the_documentation_start_the_released_package_and_hold_no_secret() -> None:
    addresses = re.findall(r"\[add\]\(([^)]+)\)", files.links())
    cursor = [json.loads(b64decode(parse_qs(urlsplit(link).query)["config"][0])) for link in addresses[:2]]
    vscode = [json.loads(unquote(parse_qs(urlsplit(link).query)["url"][0].partition("?")[2])) for link in addresses[2:]]
    account = {"AMO_BASE_URL": "https://example.amocrm.ru"}
    assert [server["env"] for server in cursor] == [
        {"AMO_SANDBOX": "1"},
        {**account, "AMO_ACCESS_TOKEN": "${env:AMO_ACCESS_TOKEN}"},
    ]
    assert [(server["env"], len(server.get("inputs", ()))) for server in vscode] == [
        ({"AMO_SANDBOX": "1"}, 0),
        ({**account, "AMO_ACCESS_TOKEN": "${input:amo-access-token}"}, 1),
    ]
    assert all([server["command"], *server["args"]] == ["uvx", f"amo-mcp@{__version__}"] for server in cursor + vscode)
    lines = [shlex.split(line, comments=True) for line in files.commands().splitlines()[1:-1]]
    assert [line[-2:] for line in lines] == [["uvx", f"amo-mcp@{__version__}"]] * 2


def test_the_icon_is_a_small_png_of_the_size_that_desktop_clients_show() -> None:
    icon = bundle.ICON.read_bytes()
    assert icon.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", icon[16:24]) == (512, 512)
    assert len(icon) < 100_000


def test_language_models_are_told_of_every_document() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    linked = re.findall(rf"^- \[[^]]+\]\({facts.REPOSITORY}/blob/main/([^)]+)\): \w", files.llms(), re.MULTILINE)
    assert sorted(linked) == sorted(path.relative_to(ROOT).as_posix() for path in documents)
