"""The documentation names what exists: files, functions, links, and code as it stands in the package."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from amo_mcp.failures.failure import Code
from scripts import site

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "amo_mcp"
DOCS = [ROOT / page for page in site.pages()]

_FUNCTION = re.compile(r"`([a-z_/]+\.py):([A-Za-z_.]+)`")
_PATH = re.compile(r"`((?:amo_mcp|tests|scripts|prompts|docs)/[\w./-]*)`")
_ROOM = re.compile(r"^\| `([a-z_/]+/)` \|[^|]*\|([^|]*)\|$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_EXCERPT = re.compile(r"```python ([\w./]+)\n(.*?)```", re.DOTALL)


def named_in(text: str, pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """Every match of `pattern`, each once, as its groups."""
    return sorted({match.groups(default="") for match in pattern.finditer(text)})


@cache
def definitions(file: Path) -> frozenset[str]:
    """The functions and classes of a module, and the methods of its classes as `Class.method`."""
    return frozenset(_names(ast.parse(file.read_text("utf-8")).body))


def _names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{prefix}{node.name}.")


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def files_of(room: Path) -> list[str]:
    """The modules of a room, and its folders with a slash behind."""
    folders = [f"{item.name}/" for item in room.iterdir() if (item / "__init__.py").is_file()]
    return sorted([*folders, *(item.name for item in room.glob("*.py") if item.name != "__init__.py")])


def test_every_function_that_the_architecture_names_exists() -> None:
    named = named_in((ROOT / "docs" / "architecture.md").read_text("utf-8"), _FUNCTION)
    assert len(named) > 30
    missing = [
        f"{file}:{name}"
        for file, name in named
        if not (PACKAGE / file).is_file() or name not in definitions(PACKAGE / file)
    ]
    assert missing == []


def test_the_architecture_names_every_file_of_every_room_and_no_other() -> None:
    rooms = named_in((ROOT / "docs" / "architecture.md").read_text("utf-8"), _ROOM)
    assert len(rooms) > 10
    named = {room.rstrip("/"): sorted(re.findall(r"`([^`]+)`", listed)) for room, listed in rooms}
    assert named == {room: files_of(PACKAGE / room) for room in named}
    at_the_top = {item.removesuffix("/") for item in files_of(PACKAGE)} - {"__main__.py"}
    text = ROOT.joinpath("docs", "architecture.md").read_text("utf-8")
    leaves = set(re.findall(r"`(\w+\.py)`", text[text.index("| leaves |") : text.index("| `sandbox/` |")]))
    assert {room for room in named if "/" not in room} | leaves == at_the_top


@pytest.mark.requirement("DOC-3")
@pytest.mark.parametrize("document", DOCS, ids=lambda file: file.name)
def test_every_path_and_link_of_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    paths = [path for (path,) in named_in(text, _PATH)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = [(document.parent / path if path else document, anchor) for path, anchor in named_in(text, _LINK)]
    assert [str(target) for target, _ in links if not target.exists()] == []
    assert [anchor for target, anchor in links if anchor and anchor not in anchors(target)] == []


@pytest.mark.parametrize("document", DOCS, ids=lambda file: file.name)
def test_every_excerpt_of_code_stands_in_the_file_that_it_names(document: Path) -> None:
    excerpts = named_in(document.read_text("utf-8"), _EXCERPT)
    assert [file for file, code in excerpts if code not in (ROOT / file).read_text("utf-8")] == []


@pytest.mark.requirement("DOC-3")
def test_every_page_of_the_site_is_in_its_navigation_once() -> None:
    navigation = re.findall(r'"([\w./-]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8"))
    assert sorted(navigation) == sorted(page.as_posix() for page in site.pages())


def test_on_the_site_a_link_to_a_file_that_is_no_page_leads_to_the_repository() -> None:
    answers = site.laid_out(Path("docs/reference/answers.md"), "https://example.org/repository")
    assert "(https://example.org/repository/blob/main/prompts)" in answers
    assert '```python title="amo_mcp/tools/segments.py"' in site.laid_out(Path("docs/architecture.md"), "")
    assert "](decisions.md#our-own-rate-limiter)" in site.laid_out(Path("docs/pace.md"), "")


def test_the_reference_names_every_code_of_a_failed_call() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reference" / "answers.md").read_text("utf-8"), re.MULTILINE)
    assert rows == list(get_args(Code))
