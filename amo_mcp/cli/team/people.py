"""`amo-mcp team people`: who is known to a team's server."""

import time
from typing import TYPE_CHECKING, cast

import click

from amo_mcp.cli.team.desk import ROLE, at_desk, moment, person_name, show_table

if TYPE_CHECKING:
    from amo_mcp.compose.team import Office, Role


@click.command("people")
@click.option("--name", help="Who is to have another role, or to be removed.")
@click.option("--role", type=ROLE, help="The role that they have from now on.")
@click.option("--remove", is_flag=True, help="Let them be known no longer, and none of their tokens be good.")
def command(name: str | None, role: str | None, remove: bool) -> None:
    """List the people with their roles, give somebody another role, or remove somebody.

    Somebody new becomes known by signing in with amoCRM, or by their first token: amo-mcp team token.
    """
    match (name, role, remove):
        case (None, None, False):
            show_table([("NAME", "ROLE", "GOOD TOKENS", "LAST USED"), *at_desk(_rows)])
        case (str(), str(), False):
            known = person_name(name)
            person = at_desk(lambda office: office.set_role(known, cast("Role", role)))
            click.echo(f"{person.name} has the role {person.role} now.")
        case (str(), None, True):
            known = person_name(name)
            person = at_desk(lambda office: office.remove(known))
            click.echo(f"Removed {person.name}: none of their tokens is good any more.")
        case _:
            raise click.UsageError("give nothing, to list; or --name, and --role or --remove")


async def _rows(office: "Office") -> list[tuple[str, ...]]:
    people, tokens, now = await office.people.people(), await office.people.tokens(), time.time()
    rows: list[tuple[str, ...]] = []
    for person in people:
        own = [token for token in tokens if token.person == person]
        good = sum(token.state(now) == "good" for token in own)
        used = max((token.used for token in own if token.used is not None), default=None)
        rows.append((person.name, person.role, str(good), moment(used, "never")))
    return rows
