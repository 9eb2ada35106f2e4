"""Every block of the documentation that shows a command, a call or a question is run, and does what it shows.

- `console`: lines after `$` are commands, the others are what it prints;
- `call`: a tool and its arguments, called by a client on the sandbox; `json` behind it is the answer, `question` what
  the person is asked, who says yes. Calls of one page are one conversation.

`…` stands for anything in a line; alone on its line, for any number of lines. An id such as `c…` in a call is the last
one that was answered.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest

from amo_mcp.cli import cli
from amo_mcp.sandbox import Sandbox
from scripts import site
from tests.conftest import Person, Serve, answer

ROOT = Path(__file__).parent.parent
ALL = [ROOT / page for page in site.pages()]
PAGES = [ROOT / "README.md", ROOT / "README.ru.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(console|call|question|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(make|uv|claude|docker|/plugin|pip|pipx|uvx|python3?|npx?|git)\b")

_OURS = re.compile(r"`(amo-mcp \w[^`\n]*)`")

HELD_ELSEWHERE = {
    "make": {"README.md", "README.ru.md", "docs/adding-a-tool.md"},  # .ci/run
    "uv": {"examples/README.md"},  # make clients
    "claude": {"docs/install.md"},  # tests/packages
    "/plugin": {"docs/install.md"},  # make linters
    # make linters; nobody here can build an image
    "docker": {"docs/install.md", "docs/operations.md"},
}
"""The pages whose other blocks have commands that are not run here, by the program."""


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """The blocks of these kinds on a page, in order."""
    return [(kind, text) for kind, text in _BLOCK.findall(page.read_text("utf-8")) if kind in kinds]


def unrun(page: Path) -> list[str]:
    """The lines of a page's blocks without a kind, or of a shell."""
    fenced = _FENCED.findall(page.read_text("utf-8"))
    return [line for kind, text in fenced if kind in ("", "sh", "shell", "bash") for line in text.splitlines()]


def with_blocks(kind: str) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in PAGES if page.exists() and blocks(page, kind)]


def matches(shown: str, text: str) -> bool:
    """Whether a text is what is shown, line by line."""
    lines = [re.escape(line).replace("…", ".*") + "\n" for line in shown.splitlines()]
    pattern = "".join("(?:.*\n)*" if line == ".*\n" else line for line in lines)
    return re.fullmatch(pattern, text if text.endswith("\n") else text + "\n") is not None


def same(shown: Any, answered: Any) -> bool:
    """Whether an answer is what is shown."""
    match shown, answered:
        case "…", _:
            return True
        case str(), str():
            return matches(shown, answered)
        case dict(), dict():
            return shown.keys() == answered.keys() and all(same(shown[key], answered[key]) for key in shown)
        case list(), list():
            return len(shown) == len(answered) and all(map(same, shown, answered))
    return bool(shown == answered)


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    pieces = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


def printed(command: str, folder: Path) -> str:
    """What a command prints in an empty folder: variables, the name of a program beside this Python, arguments."""
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in takewhile(lambda word: "=" in word, words))
    program, *arguments = words[len(variables) :]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    done = subprocess.run(
        [shutil.which(program, path=Path(sys.executable).parent) or program, *arguments],
        cwd=folder,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.exhaustive
@pytest.mark.requirement("DOC-1")
@pytest.mark.parametrize("page", with_blocks("console"))
def test_a_command_on_a_page_prints_what_the_page_shows(page: str, tmp_path: Path) -> None:
    for _, block in blocks(ROOT / page, "console"):
        for command, shown in commands(block):
            assert matches(shown, said := printed(command, tmp_path)), said


@pytest.mark.requirement("DOC-1")
@pytest.mark.anyio
@pytest.mark.parametrize("page", with_blocks("call"))
async def test_a_call_on_a_page_is_answered_as_the_page_shows(page: str, sandbox: Sandbox, serve: Serve) -> None:
    answered: dict[str, Any] = {}
    ids: dict[str, Any] = {}
    person = Person("yes")
    async with serve(sandbox, language="en") as served, served.client("2026-07-28", person) as client:
        for kind, text in blocks(ROOT / page, "call", "question", "json"):
            if kind == "call":
                tool, _, written = text.partition(" ")
                arguments = {
                    key: ids[key] if isinstance(value, str) and value.endswith("…") else value
                    for key, value in json.loads(written).items()
                }
                answered = answer(await client.call_tool(tool, arguments))
                ids |= answered
            elif kind == "question":
                assert matches(text, person.asked[-1].message), person.asked[-1].message
            else:
                assert same(json.loads(text), answered), json.dumps(answered, ensure_ascii=False, indent=2)


def test_what_is_shown_is_compared_line_by_line_and_key_by_key() -> None:
    assert matches("a…c\n…\nz\n", "abbc\n1\n2\nz\n")
    assert not matches("a…c\n", "abbc\nd\n")
    assert same({"a": ["…", {"b": "c…"}]}, {"a": [1, {"b": "c1"}]})
    assert not same({"a": 1}, {"a": 1, "b": 2})
    assert not same([1], [1, 2])


@pytest.mark.requirement("DOC-1")
def test_a_command_that_is_not_run_here_is_one_that_is_held_elsewhere() -> None:
    found: dict[str, set[str]] = {}
    for page in ALL:
        for line in unrun(page):
            if command := _COMMAND.match(line):
                found.setdefault(command[1], set()).add(page.relative_to(ROOT).as_posix())
    assert found == HELD_ELSEWHERE


def every(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command of a group by its words, and those of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in every(command))


@pytest.mark.requirement("DOC-1")
def test_every_command_of_ours_that_a_page_names_exists_with_its_options() -> None:
    known = {f"amo-mcp {name}": command for name, command in every(cli)}
    named = {name for page in ALL for name in _OURS.findall(page.read_text("utf-8"))}
    named |= {line.partition(" #")[0] for page in ALL for line in unrun(page) if line.startswith("amo-mcp ")}
    assert len(named) > 10
    wrong = []
    for line in named:
        words = line.split()
        command = next((known[name] for end in (4, 3, 2) if (name := " ".join(words[:end])) in known), None)
        options = {option for parameter in command.params for option in parameter.opts} if command else set()
        if command is None or not set(re.findall(r"--[a-z-]+", line)) <= options:
            wrong.append(line)
    assert wrong == []
