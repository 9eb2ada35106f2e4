"""The one source of every file that says how amo-mcp is installed: pyproject.toml and the settings."""

import inspect
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amo_mcp import __version__
from amo_mcp.settings import LoginSettings, Settings

ROOT = Path(__file__).parents[2]

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME: str = PROJECT["name"]
VERSION = __version__
SUMMARY: str = PROJECT["description"]
AUTHOR: str = PROJECT["authors"][0]["name"]
REPOSITORY: str = PROJECT["urls"]["Repository"]
OWNER = REPOSITORY.split("/")[-2]
PLACEHOLDER = "OWNER"
"""The owner in `REPOSITORY` until the project has one. Nothing is released before."""

TITLE = "amoCRM and Kommo"
"""What people read where clients list their servers."""

REGISTRY_NAME = f"io.github.{OWNER}/{NAME}"
"""The server's name in the MCP registry, which gives `io.github.<owner>/` to whoever signs in as that owner."""

COMMAND = {"command": "uvx", "args": [f"{NAME}@{VERSION}"]}
"""How a client starts the released package without installing it first."""

Kind = Literal["string", "number", "boolean", "filepath"]

_ATTRIBUTE = re.compile(r"^    (\w+): (.+?)(?=\n    \w+: |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Variable:
    """A variable of the environment that serving reads.

    Attributes:
        description: one sentence for the person who sets it.
        choices: the only values that it takes; empty where any is taken.
        default: what it is when it is not set; None for nothing.
    """

    name: str
    description: str
    secret: bool
    kind: Kind
    choices: tuple[str, ...]
    default: str | None


def variables(kind: type[Settings] = Settings) -> dict[str, Variable]:
    """The variables that serving reads, by the setting that they set; of a kind of its own, those that it describes.

    A description is the part of the setting's docstring before its first semicolon; what is behind is for developers.
    """
    _, _, attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    described = {name: " ".join(text.split()).partition(";")[0] for name, text in _ATTRIBUTE.findall(attributes)}
    schemas = kind.model_json_schema()["properties"]
    for_login = inspect.get_annotations(LoginSettings) if kind is Settings else {}
    return {name: _variable(name, schemas[name], text) for name, text in described.items() if name not in for_login}


def _variable(name: str, schema: dict[str, Any], text: str) -> Variable:
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    kinds: dict[str, Kind] = {"integer": "number", "number": "number", "boolean": "boolean", "path": "filepath"}
    default = schema["default"]
    return Variable(
        name=f"AMO_{name.upper()}",
        description=f"{text[0].upper()}{text[1:].removesuffix('.')}.",
        secret=schema.get("writeOnly", False),
        kind=kinds.get(schema.get("format", schema["type"]), "string"),
        choices=tuple(schema.get("enum", ())),
        default=default or None if isinstance(default, str) else None if default in (None, []) else json.dumps(default),
    )
