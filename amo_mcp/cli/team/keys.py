"""`amo-mcp team keys`: the keys of a team's server, in AMO_SECRET_KEY."""

import time

import click

from amo_mcp.cli.team.desk import at_desk, show_table


@click.group("keys", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the keys of AMO_SECRET_KEY by their ids, with what each has encrypted in the database."""
    if ctx.invoked_subcommand is None:
        used = at_desk(lambda office: office.key_use())
        show_table([("KEY", "HAS ENCRYPTED", "STATE"), *((key, str(count), state) for key, count, state in used)])


@command.command("new")
@click.option("--id", "key_id", help="Its id; by default the date.")
def new(key_id: str | None) -> None:
    """Print a new key, alone, as it goes in front of those in AMO_SECRET_KEY."""
    from amo_mcp.keys import new_key

    click.echo(new_key(key_id or time.strftime("k%Y%m%d", time.gmtime())))


@command.command("rotate")
def rotate() -> None:
    """Encrypt with the newest key what another one has encrypted; then that one can be left out."""
    renewed, unreadable = at_desk(lambda office: office.rotate())
    click.echo(f"Encrypted anew: {renewed}.")
    if unreadable:
        raise click.ClickException(f"{unreadable} cannot be read: their keys are not in AMO_SECRET_KEY")
