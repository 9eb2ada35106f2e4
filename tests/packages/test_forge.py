"""What a public forge runs is what the project says and does. `make linters` checks that the files are valid."""

import re
from pathlib import Path

import pytest

from scripts.packages import facts

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def recipe(target: str) -> str:
    """The commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1]


def test_every_python_that_the_package_names_is_tested_on_three_systems() -> None:
    ci = read(".github/workflows/ci.yml")
    named = [item.rpartition(" ")[2] for item in facts.PROJECT["classifiers"] if re.search(r":: 3\.\d+$", item)]
    [tested] = re.findall(r"python: \[(.*)\]", ci)
    assert re.findall(r"3\.\d+", tested) == named
    assert facts.PROJECT["requires-python"] == f">={named[0]}"
    assert "system: [ubuntu-latest, macos-latest, windows-latest]" in ci


def test_the_forge_runs_everything_that_must_pass_before_a_change_lands() -> None:
    commands = re.findall(r"^make (.+)$", read(".ci/run"), re.MULTILINE)
    required = {word for command in commands for word in command.split() if not word.startswith("-")}
    ci = read(".github/workflows/ci.yml")
    [targets] = re.findall(r"target: \[(.*)\]", ci)
    run = {*targets.split(", "), *re.findall(r"run: make (\w+)", ci)}
    assert required == run - {"clients"}
    assert all(recipe(target) for target in run)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_uses_actions_by_their_commit_and_has_no_more_rights_than_it_needs(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)] == []
    assert re.search(r"^permissions:( \{\}$|\n  contents: read$)", text, re.MULTILINE)
    assert "secrets." not in text


def test_a_hook_before_a_commit_runs_what_make_check_runs() -> None:
    hooks = re.findall(r"entry: \.venv/bin/(\S+)", read(".pre-commit-config.yaml"))
    assert hooks == ["ruff", "ruff", "mypy", "lint-imports"]
    assert all(f"$(BIN)/{hook}" in recipe("check") for hook in hooks)
