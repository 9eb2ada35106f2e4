"""`amo-mcp team audit`: who did what on a team's server, and what came of it."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import click

from amo_mcp.cli.team.desk import at_desk
from amo_mcp.text import escape_invisible

if TYPE_CHECKING:
    from amo_mcp.compose.team import Kind, Office

_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.command("audit")
@click.option("--who", default="", help="Only of whoever has that id or name, or has said yes.")
@click.option(
    "--kind",
    type=click.Choice(["sign_in", "refusal", "person", "token", "approval", "change"]),
    help="Only of that kind.",
)
@click.option("--since", type=_DAY, help="Not before that moment (UTC).")
@click.option("--until", type=_DAY, help="Only before that moment (UTC).")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many.")
def command(who: str, kind: str | None, since: datetime | None, until: datetime | None, limit: int | None) -> None:
    """Print what everybody did, newest first, a JSON object on each line: who, what, before and after, who agreed."""

    async def work(office: "Office") -> None:
        number = 0
        async for told in office.audited(who, cast("Kind | None", kind), _seconds(since), _seconds(until)):
            click.echo(escape_invisible(json.dumps(told, ensure_ascii=False)))
            number += 1
            if number == limit:
                return

    at_desk(work)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
