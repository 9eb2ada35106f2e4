"""`amo-mcp team token`: personal tokens, by which the clients of people sign in."""

import time
from typing import TYPE_CHECKING, cast

import click

from amo_mcp.cli.team.desk import ROLE, at_desk, moment, person_name, show_table

if TYPE_CHECKING:
    from amo_mcp.compose.team import Role, Token

MAX_DAYS = 3650
"""Days for which a token can be good, unless it has no end."""


_HEAD = ("ID", "NAME", "ROLE", "MADE", "EXPIRES", "LAST USED", "STATE")


@click.command("token")
@click.option("--name", help="Whose it is; a name that is new makes a person known.")
@click.option("--role", type=ROLE, help="What that person may do.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help="For how long it is good; else until it is revoked.")
@click.option("--list", "lists", is_flag=True, help="List all tokens.")
@click.option("--revoke", metavar="ID", help="Let a token be good no longer, at every replica at once.")
def command(name: str | None, role: str | None, days: int | None, lists: bool, revoke: str | None) -> None:
    """Make a personal token and print it, alone. It is not kept, so it cannot be shown again.

    A viewer reads. An editor also creates, plans and asks. An approver also says yes to what changes or deletes
    something. An admin has every right.
    """
    match (name, role, days, lists, revoke):
        case (str(), str(), _, False, None):
            owner = person_name(name)
            click.echo(at_desk(lambda office: office.make_token(owner, cast("Role", role), days)))
        case (None, None, None, True, None):
            show_table([_HEAD, *map(_row, at_desk(lambda office: office.people.tokens()))])
        case (None, None, None, False, str()):
            if not at_desk(lambda office: office.people.revoke(revoke)):
                raise click.ClickException(f"no good token has the id {revoke}: amo-mcp team token --list has the ids")
            click.echo(f"Revoked {revoke}.")
        case _:
            raise click.UsageError("give --name and --role, and perhaps --days; or --list; or --revoke ID")


def _row(token: "Token") -> tuple[str, ...]:
    person = token.person
    made, expires, used = moment(token.made, ""), moment(token.expires, "never"), moment(token.used, "never")
    return token.id, person.name, person.role, made, expires, used, token.state(time.time())
