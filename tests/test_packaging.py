"""What is released: a wheel and an sdist, built without a network, with everything inside."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from amo_mcp import __version__
from amo_mcp.tools.runtime.catalog import catalog
from scripts.packages import bundle

ROOT = Path(__file__).parent.parent
PROMPTS = sorted(file.stem for file in (ROOT / "prompts").glob("*.md"))


def build(tree: Path, dist: Path, *options: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist), *options]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, built without a network from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    left_out = shutil.ignore_patterns(".[!cdg]*", ".git", ".ci", ".cov*", "tests", "__pycache__", "_prompts")
    shutil.copytree(ROOT, tree, ignore=left_out, dirs_exist_ok=True)
    build(tree, tree / "dist")
    return tree / "dist"


def contents(folder: Path) -> dict[str, bytes]:
    """What the wheel in `folder` contains, by name."""
    [file] = folder.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.mark.requirement("PROMPT-3")
def test_the_wheel_has_every_prompt_inside_the_package(dist: Path) -> None:
    texts = {name: text.decode() for name, text in contents(dist).items() if name.endswith(".md")}
    assert texts == {
        f"amo_mcp/_prompts/{name}.md": (ROOT / "prompts" / f"{name}.md").read_text("utf-8") for name in PROMPTS
    }


@pytest.mark.requirement("PROMPT-3")
def test_a_package_that_was_installed_from_the_wheel_has_its_prompts(dist: Path, tmp_path: Path) -> None:
    [file] = dist.glob("*.whl")
    shutil.unpack_archive(file, tmp_path, "zip")
    code = (
        "import amo_mcp; from amo_mcp.server.prompts import Prompts;"
        "print(amo_mcp.__file__, *(item.name for item in Prompts().listed()), sep='\\n')"
    )
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**uncovered, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "amo_mcp" / "__init__.py"), *PROMPTS]


@pytest.mark.requirement("PG-2")
def test_the_wheel_has_every_file_that_makes_the_tables(dist: Path) -> None:
    files = sorted((ROOT / "amo_mcp" / "storage" / "postgres" / "migrations").iterdir())
    assert files
    packed = {name: text.decode() for name, text in contents(dist).items() if name.endswith(".sql")}
    assert packed == {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def test_the_sdist_has_every_document_and_what_the_documents_link_to(dist: Path) -> None:
    [file] = dist.glob("*.tar.gz")
    with tarfile.open(file) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert {document.relative_to(ROOT).as_posix() for document in documents} <= packed
    linked = re.findall(r"\]\((?!https?:)([\w./-]+)", (ROOT / "README.md").read_text("utf-8"))
    assert len(linked) > 5
    assert [path for path in linked if not any(name == path or name.startswith(f"{path}/") for name in packed)] == []
    assert "scripts/generate.py" in packed


def test_the_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    [file] = dist.glob("*.tar.gz")
    shutil.unpack_archive(file, tmp_path, "gztar", filter="data")
    [tree] = tmp_path.iterdir()
    assert {item.stem for item in (tree / "prompts").iterdir()} == set(PROMPTS)
    build(tree, tmp_path / "dist", "--target", "wheel")
    assert contents(tmp_path / "dist") == contents(dist)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment with the wheel, installed without an index beside what it depends on."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    uv = Path(sys.executable).with_name("uv")
    [wheel] = dist.glob("*.whl")
    for command in (
        ["venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)],
        ["pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--python", str(environment), str(wheel)],
    ):
        subprocess.run([str(uv), *command], cwd=environment.parent, capture_output=True, timeout=60, check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    Path(packages, "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    return Path(sysconfig.get_path("scripts", vars={"base": str(environment)}), "amo-mcp")


def without_settings() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("AMO_", "COVERAGE", "PYTHONPATH"))
    }


@pytest.mark.requirement("INSTALL-4")
def test_the_installed_wheel_says_its_version_and_is_not_the_tree(installed: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        return subprocess.run(
            [*command], cwd=tmp_path, env=without_settings(), capture_output=True, text=True, timeout=60, check=True
        ).stdout

    assert run(str(installed), "--version") == f"amo-mcp, version {__version__}\n"
    python = installed.with_name(Path(sys.executable).name)
    file = run(str(python), "-c", "import amo_mcp; print(amo_mcp.__file__)").strip()
    assert Path(file).is_relative_to(installed.parents[1])


@pytest.mark.requirement("INSTALL-4")
@pytest.mark.anyio
async def test_the_installed_wheel_serves_the_sandbox_over_stdio(installed: Path, tmp_path: Path) -> None:
    server = StdioServerParameters(
        command=str(installed), args=["serve", "--sandbox"], env=without_settings(), cwd=str(tmp_path)
    )
    async with Client(server, read_timeout_seconds=60) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(catalog())
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == PROMPTS


@pytest.mark.requirement("INSTALL-2")
@pytest.mark.anyio
async def test_a_bundle_is_small_complete_the_same_every_time_and_starts(dist: Path, tmp_path: Path) -> None:
    [wheel] = dist.glob("*.whl")
    made = bundle.build(wheel, tmp_path)
    before = made.read_bytes()
    assert bundle.build(wheel, tmp_path).read_bytes() == before
    with zipfile.ZipFile(made) as packed:
        sizes = {item.filename: item.file_size for item in packed.infolist()}
        packed.extractall(tmp_path / "unpacked")
    package = {name for name in contents(dist) if name.startswith("amo_mcp/")}
    assert set(sizes) - package == {"LICENSE", "icon.png", "manifest.json", "pyproject.toml", "server.py"}
    assert package < set(sizes)
    assert "amo_mcp/language/ru.mo" in package
    assert {name: size for name, size in sizes.items() if size >= 100_000} == {}
    requirements = tomllib.loads((tmp_path / "unpacked" / "pyproject.toml").read_text("utf-8"))["project"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert requirements["dependencies"] == project["dependencies"]
    assert requirements["requires-python"] == project["requires-python"]
    manifest = json.loads((tmp_path / "unpacked" / "manifest.json").read_text("utf-8"))
    assert (manifest["manifest_version"], manifest["server"]["type"]) == ("0.4", "uv")
    assert [tool["name"] for tool in manifest["tools"]] == list(catalog())
    entry_point = str(tmp_path / "unpacked" / manifest["server"]["entry_point"])
    environment = {**without_settings(), "AMO_BASE_URL": "", "AMO_ACCESS_TOKEN": "", "AMO_SANDBOX": "1"}
    server = StdioServerParameters(command=sys.executable, args=[entry_point], env=environment, cwd=str(tmp_path))
    async with Client(server, read_timeout_seconds=60) as client:
        assert (await client.call_tool("get_account", {})).structured_content
