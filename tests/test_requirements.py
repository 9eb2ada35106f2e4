"""REQUIREMENTS.md and the tests agree: every promise is proven by a test, and every proof is of a promise."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "REQUIREMENTS.md"

_ROW = re.compile(r"\| ([A-Z]+-[1-9][0-9]*) \| (.+) \|")
_SKIPPING = {"skip", "skipif", "xfail"}


def promised() -> list[tuple[str, str]]:
    """The id and the sentence of every row."""
    lines = TABLE.read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(("| id |", "|---"))]
    found = [_ROW.fullmatch(row) for row in rows]
    assert [row for row, match in zip(rows, found, strict=True) if match is None] == []
    return [(match[1], match[2]) for match in found if match]


def proofs(source: str) -> Iterator[list[str]]:
    """The ids that a test names, for each that is marked with some and that pytest collects and runs."""
    for node in ast.parse(source).body:
        collected = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        for test in collected:
            if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and test.name.startswith("test_"):
                marks = dict(filter(None, map(_mark, test.decorator_list)))
                if "requirement" in marks and not marks.keys() & _SKIPPING:
                    yield marks["requirement"]


def _mark(decorator: ast.expr) -> tuple[str, list[str]] | None:
    """The name and the arguments of `@pytest.mark.name(…)`."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not ast.unparse(called).startswith("pytest.mark."):
        return None
    given = decorator.args if isinstance(decorator, ast.Call) else []
    return ast.unparse(called).removeprefix("pytest.mark."), [
        item.value for item in given if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]


def test_every_promise_is_proven_by_a_test_and_every_proof_is_of_a_promise() -> None:
    ids = [item for item, _ in promised()]
    sources = [path.read_text("utf-8") for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    found = [proof for source in sources for proof in proofs(source)]
    proven = {item for proof in found for item in proof}
    assert [item for item, count in Counter(ids).items() if count > 1] == []
    assert sorted(set(ids) - proven) == []
    assert sorted(proven - set(ids)) == []
    assert sum(source.count("mark.requirement") for source in sources) == len(found)


def test_a_promise_is_a_sentence_of_its_own() -> None:
    assert [said for _, said in promised() if not said.endswith(".") or len(said) < 20 or "|" in said] == []
    sentences = Counter(said for _, said in promised())
    assert [said for said, count in sentences.items() if count > 1] == []


def test_only_what_is_collected_and_runs_proves_anything() -> None:
    source = """
import pytest

@pytest.mark.requirement("A-1", "A-2")
async def test_one(): ...

@pytest.mark.requirement("A-3")
def helper(): ...

@pytest.mark.skip
@pytest.mark.requirement("A-4")
def test_skipped(): ...

class TestMore:
    @pytest.mark.parametrize("x", ["A-5"])
    @pytest.mark.requirement("A-6")
    def test_two(self): ...

class Other:
    @pytest.mark.requirement("A-7")
    def test_three(self): ...
"""
    assert [*proofs(source)] == [["A-1", "A-2"], ["A-6"]]
