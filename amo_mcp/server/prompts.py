"""The prompts: one Markdown file each, with TOML front matter between lines of `+++`. To add a prompt, add a file.

All files are read and checked when the server starts. An argument stands in the text as `{{name}}` and is put in
literally, without characters that nobody sees: what a client sends is text, and a placeholder in it is not filled.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import mcp_types
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

from amo_mcp.text import quote, visible

_FENCE = "+++"
_PLACEHOLDER = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}")
_MAX_ARGUMENT_CHARACTERS = 10_000

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,29}\z")]
_Text = Annotated[str, Field(pattern=r"\S")]


class InvalidPrompt(Exception):
    """The file of a prompt cannot be used; the text names the file and says what is wrong."""


class Argument(BaseModel, extra="forbid", strict=True):
    """One argument of a prompt."""

    name: _Name
    description: _Text
    required: bool = False


class FrontMatter(BaseModel, extra="forbid", strict=True):
    """What a file says of its prompt."""

    name: _Name
    title: _Text
    description: _Text
    arguments: list[Argument] = []


class Prompts:
    """All prompts of a folder, by name.

    Args:
        folder: where the files are; None for those that come with the package.

    Raises:
        InvalidPrompt: a file cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._prompts: dict[str, tuple[FrontMatter, str]] = {}
        for file in sorted((folder or shipped()).glob("*.md")):
            try:
                front, text = _parse(file.read_text("utf-8"))
            except ValueError as error:
                raise InvalidPrompt(f"{file}: {error}") from None
            if front.name in self._prompts:
                raise InvalidPrompt(f"{file}: another file has the name {front.name!r}")
            self._prompts[front.name] = front, text

    def listed(self) -> list[mcp_types.Prompt]:
        """What `prompts/list` answers, by name."""
        fronts = [front for _, (front, _) in sorted(self._prompts.items())]
        return [mcp_types.Prompt.model_validate(front.model_dump()) for front in fronts]

    def get(self, name: str, arguments: Mapping[str, str] | None) -> mcp_types.GetPromptResult:
        """A prompt with its arguments put in.

        Raises:
            MCPError: -32602, for an unknown name, or an argument that is missing, unknown or too long.
        """
        given = arguments or {}
        if name not in self._prompts:
            nearest = difflib.get_close_matches(name[:100], self._prompts, n=1, cutoff=0.0)
            raise _invalid(f"There is no such prompt; the nearest is {_joined(nearest)}")
        front, text = self._prompts[name]
        known = [argument.name for argument in front.arguments]
        for argument, value in given.items():
            if argument not in known:
                raise _invalid(f"The prompt {name} has no argument {quote(argument)}; it takes: {_joined(known)}")
            if len(value) > _MAX_ARGUMENT_CHARACTERS:
                raise _invalid(f"The argument {argument} is longer than {_MAX_ARGUMENT_CHARACTERS} characters")
        missing = [
            item.name for item in front.arguments if item.required and not visible(given.get(item.name, "")).strip()
        ]
        if missing:
            raise _invalid(f"The prompt {name} needs the argument {_joined(missing)}")
        filled = _PLACEHOLDER.sub(lambda placeholder: visible(given.get(placeholder[1], "")), text)
        message = mcp_types.PromptMessage(role="user", content=mcp_types.TextContent(text=filled))
        return mcp_types.GetPromptResult(description=front.description, messages=[message])


def shipped() -> Path:
    """The folder of the prompts: inside the package when it was built, beside it in a checkout."""
    package = Path(__file__).parent.parent
    built = package / "_prompts"
    return built if built.is_dir() else package.parent / "prompts"


def _parse(content: str) -> tuple[FrontMatter, str]:
    """The front matter and the text of a file; ValueError when one of them cannot be used."""
    opening, _, rest = content.partition("\n")
    toml, closing, text = rest.partition(f"\n{_FENCE}\n")
    if opening != _FENCE or not closing:
        raise ValueError(f"must begin with front matter between lines of {_FENCE}")
    front = FrontMatter.model_validate(tomllib.loads(toml))
    names = sorted(argument.name for argument in front.arguments)
    placeholders = sorted(set(_PLACEHOLDER.findall(text)))
    if names != placeholders:
        raise ValueError(f"arguments and placeholders differ: {_joined(names)}; in the text {_joined(placeholders)}")
    if not text.strip():
        raise ValueError("there is no text")
    return front, text.strip() + "\n"


def _joined(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _invalid(message: str) -> MCPError:
    return MCPError(code=mcp_types.INVALID_PARAMS, message=f"{message}.")
