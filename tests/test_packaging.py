"""What is released: a wheel and an sdist, built without a network, with everything inside."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

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
    left_out = shutil.ignore_patterns(".*", "tests", "__pycache__", "_prompts")
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
