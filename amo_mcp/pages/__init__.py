"""What a person's browser shows: the templates, filled in with every value escaped, and the one stylesheet.

No page has a script. jinja2 is imported with the first page.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(_FOLDER / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, /, **values: Any) -> str:
    """A page of `templates/`, by its file name, with its values."""
    return _environment().get_template(template).render(**values)


@cache
def stylesheet() -> str:
    """The stylesheet of all pages."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")
