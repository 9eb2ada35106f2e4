"""Names the commands; a command's file is imported only when that command runs."""

import errno
import os
from importlib import import_module

import click
from typing_extensions import override

from amo_mcp import __version__
from amo_mcp.cli import startup

_COMMANDS = {
    "serve": "Serve MCP over stdio (what `amo-mcp` alone does) or HTTP.",
    "sandbox": "Serve a local amoCRM sandbox over HTTP.",
    "board": "Look at segments, findings and changes in the browser.",
    "demo": "Watch the main job on the sandbox.",
    "login": "Sign in to an account by OAuth.",
    "logout": "Forget the sign-in.",
    "doctor": "Check whether serving would work.",
    "config": "Print the configuration for a client.",
}


class _Commands(click.Group):
    """The commands by name."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in _COMMANDS else None

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Run the command; when nobody reads what it prints any more (`| head`), click ends it without a word."""
        try:
            return super().invoke(ctx)
        except BaseExceptionGroup as group:
            broken, others = group.split(BrokenPipeError)
            if broken is None or others is not None:
                raise
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _command(name: str) -> click.Command:
    """Import a command. This is the only way to one, so that none runs before start-up has ended."""
    command: click.Command = import_module(f"amo_mcp.cli.{name}").command
    startup.ready()
    return command


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, prog_name="amo-mcp")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """The customer segments and statuses of amoCRM and Kommo as an MCP server.

    Without a command it serves stdio.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(_command("serve"))


def main() -> None:
    """The console script."""
    startup.begin()
    cli()
