"""What the commands of a team's operator share: the environment, the database, and how a failure is told."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import anyio
import click

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.cli.wording import explained, wrong_environment
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, load_settings
from amo_mcp.text import is_invisible

if TYPE_CHECKING:
    from amo_mcp.compose.team import Office, TeamSettings

MAX_NAME = 128
"""Characters of a person's name: amoCRM's, cut at 80, and the id behind it where somebody else has the name."""

ROLE = click.Choice(["viewer", "editor", "approver", "admin"])

_T = TypeVar("_T")


def why_not() -> str:
    """Why no team's server can run here; empty when one can."""
    return "" if find_spec("asyncpg") else "a team's server needs the package asyncpg: install amo-mcp[team]"


def loaded() -> "TeamSettings":
    """The environment of the server.

    Raises:
        ClickException: it is wrong, or something is not installed.
    """
    log_to_stderr("ERROR")
    if reason := why_not():
        raise click.ClickException(reason)
    from amo_mcp.compose.team import TeamSettings

    try:
        return load_settings(TeamSettings)
    except InvalidSettings as error:
        raise wrong_environment("the environment is wrong", error) from None


def at_desk(work: "Callable[[Office], Awaitable[_T]]") -> _T:
    """What comes of `work` on the database that the environment names.

    Raises:
        ClickException: as `loaded`; the database cannot be used, or the work cannot be done.
    """
    settings = loaded()
    from amo_mcp.compose.team import Problem, open_office

    async def run() -> _T:
        async with open_office(settings) as office:
            return await work(office)

    try:
        return anyio.run(run)
    except JournalUnusable as error:
        raise click.ClickException(f"the database cannot be used: {error.reason}") from None
    except AmoError as error:
        raise click.ClickException(explained(error)) from None
    except Problem as error:
        raise click.ClickException(str(error)) from None


def person_name(given: str) -> str:
    """A person's name as it is kept.

    Raises:
        UsageError: it is none.
    """
    name = " ".join(given.split())
    if not 0 < len(name) <= MAX_NAME or any(map(is_invisible, name)):
        raise click.UsageError(f"--name has to be 1 to {MAX_NAME} characters that can be seen")
    return name


def moment(seconds: float | None, otherwise: str) -> str:
    """A moment in Unix seconds as it is shown; `otherwise` when there is none."""
    return otherwise if seconds is None else iso_utc(datetime.fromtimestamp(int(seconds), UTC))


def show_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, the first of them the names of these."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
