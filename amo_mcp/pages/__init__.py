"""What a person's browser shows: templates, filled in with every value escaped, and how they look.

No page here has a script. jinja2 is imported with the first page.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_QUOTED = re.compile("(?<=«)([^»]+)(?=»)")
"""A name in its quotation marks; every second part of what it splits is one."""


@cache
def _environment(folder: Path) -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(folder)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # A name may run in either direction, and leaves the order of what stands around it alone.
    made.filters["parts"] = _QUOTED.split
    return made


def render(template: str, /, *, folder: Path = _FOLDER / "templates", **values: Any) -> str:
    """A page of `templates/`, or of another folder, by its file name, with its values."""
    return _environment(folder).get_template(template).render(**values)


@cache
def stylesheet() -> str:
    """How the pages look that ask a person."""
    return _css("style.css") + "\n" + picture_css()


@cache
def team_stylesheet() -> str:
    """How all pages of a team's server look."""
    return stylesheet() + "\n" + _css("team.css")


@cache
def picture_css() -> str:
    """How the steps of a plan look, wherever they are drawn: it takes its colours from the variables of the page."""
    return _css("picture.css")


def _css(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
