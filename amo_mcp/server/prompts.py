"""The prompts: one Markdown file each, with TOML front matter between lines of `+++`.

A file is a prompt; adding one adds a prompt. All are read and checked when the server starts. An argument stands in the
text as `{{name}}` and is put in literally: what it brings is text, and is looked through for nothing.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, GetPromptResult, PromptMessage, TextContent
from mcp_types import Prompt as ListedPrompt
from mcp_types import PromptArgument as ListedArgument

_FENCE = "+++"
_PLACE = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_LINE = re.compile(r"at line (\d+)")
_LONGEST_ARGUMENT = 10_000


class InvalidPrompt(Exception):
    """A prompt's file cannot be used; the text names the file, the line and what is wrong."""

    def __init__(self, file: Path, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")


@dataclass(frozen=True)
class Argument:
    """One argument of a prompt."""

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True)
class Prompt:
    """One prompt, as its file has it."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    text: str

    def listed(self) -> ListedPrompt:
        """What `prompts/list` says of it."""
        return ListedPrompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[
                ListedArgument(name=item.name, description=item.description, required=item.required)
                for item in self.arguments
            ],
        )

    def filled(self, given: Mapping[str, str]) -> GetPromptResult:
        """The prompt with its arguments put in.

        Raises:
            MCPError: -32602, for an argument that is missing, unknown or too long.
        """
        known = [item.name for item in self.arguments]
        for name, value in given.items():
            if name not in known:
                raise _invalid(f"The prompt {self.name} has no argument {name!r:.60}; it takes: {_several(known)}")
            if len(value) > _LONGEST_ARGUMENT:
                raise _invalid(f"The argument {name} is longer than {_LONGEST_ARGUMENT} characters")
        missing = [item.name for item in self.arguments if item.required and not given.get(item.name, "").strip()]
        if missing:
            raise _invalid(f"The prompt {self.name} needs the argument {_several(missing)}")
        text = _PLACE.sub(lambda place: given.get(place[1], ""), self.text)
        message = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=self.description, messages=[message])


class Prompts:
    """All prompts of a folder, by name.

    Args:
        folder: where the files are; None for those that come with the package.

    Raises:
        InvalidPrompt: a file cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._prompts: dict[str, Prompt] = {}
        for file in sorted((folder or shipped()).glob("*.md")):
            prompt = parse(file)
            if prompt.name in self._prompts:
                raise InvalidPrompt(file, 1, f"another file has the name {prompt.name!r} already")
            self._prompts[prompt.name] = prompt

    def listed(self) -> list[ListedPrompt]:
        """What `prompts/list` answers, by name."""
        return [self._prompts[name].listed() for name in sorted(self._prompts)]

    def get(self, name: str, arguments: Mapping[str, str] | None) -> GetPromptResult:
        """A prompt by name, with its arguments put in.

        Raises:
            MCPError: -32602, for an unknown name or unfit arguments.
        """
        prompt = self._prompts.get(name)
        if prompt is None:
            nearest = difflib.get_close_matches(name[:100], self._prompts, n=1, cutoff=0.0)
            raise _invalid(f"There is no such prompt; the nearest is {_several(nearest)}")
        return prompt.filled(arguments or {})


def shipped() -> Path:
    """The folder of the prompts: inside the package when it was built, beside it in a checkout."""
    package = Path(__file__).parent.parent
    built = package / "_prompts"
    return built if built.is_dir() else package.parent / "prompts"


def parse(file: Path) -> Prompt:
    """The prompt of `file`.

    Raises:
        InvalidPrompt: its front matter or its text cannot be used.
    """
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidPrompt(file, 1, "is not UTF-8") from None
    opening, _, rest = text.partition("\n")
    matter, closing, body = rest.partition(f"\n{_FENCE}\n")
    if opening != _FENCE or not closing:
        raise InvalidPrompt(file, 1, f"must begin with front matter between lines of {_FENCE}")
    try:
        front = tomllib.loads(matter)
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        at = int(line[1]) if line else matter.count("\n") + 1
        raise InvalidPrompt(file, at + 1, "the front matter is not TOML") from None
    return _checked(file, matter, front, body)


def _checked(file: Path, matter: str, front: dict[str, Any], body: str) -> Prompt:
    def wrong(key: str, problem: str) -> InvalidPrompt:
        own = matter if key == "arguments" else matter.partition("[[")[0]
        lines = [number for number, line in enumerate(own.split("\n"), 2) if re.match(rf"\W*{re.escape(key)}\b", line)]
        return InvalidPrompt(file, lines[0] if lines else 1, problem)

    for key in ("name", "title", "description"):
        if not isinstance(front.get(key), str) or not front[key].strip():
            raise wrong(key, f"{key} must be text")
    if not _NAME.fullmatch(front["name"]):
        raise wrong("name", "name must be of small letters, digits and _, at most 30")
    for key in front:
        if key not in ("name", "title", "description", "arguments"):
            raise wrong(key, f"{key} is not known: name, title, description and arguments are")
    arguments = _arguments(front.get("arguments", []), wrong)
    used = set(_PLACE.findall(body))
    for name in sorted({item.name for item in arguments} ^ used):
        where = f"the text has {{{{{name}}}}}, and no argument" if name in used else f"{name} is not used in the text"
        raise wrong("arguments", f"{where} is so named" if name in used else where)
    if not body.strip():
        raise InvalidPrompt(file, matter.count("\n") + 4, "there is no text")
    return Prompt(front["name"], front["title"], front["description"], arguments, body.strip() + "\n")


def _arguments(told: Any, wrong: Any) -> tuple[Argument, ...]:
    fits = isinstance(told, list) and all(
        isinstance(item, dict)
        and isinstance(item.get("name"), str)
        and _NAME.fullmatch(item["name"])
        and isinstance(item.get("description"), str)
        and isinstance(item.get("required", False), bool)
        and item.keys() <= {"name", "description", "required"}
        for item in told
    )
    if not fits or len({item["name"] for item in told}) < len(told):
        raise wrong("arguments", "each of arguments must have its own name, a description, and required or not")
    return tuple(Argument(**item) for item in told)


def _several(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _invalid(message: str) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=f"{message}.")
