"""Names the commands."""

import errno
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

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
    "team": "Run a team's server: people, tokens, keys, checks.",
}


class Commands(click.Group):
    """Commands by name; a command's file is imported only when that command runs.

    Args:
        package: where each command has a module of its name, with `command` in it.
        described: what each is, in the order of the help.
    """

    def __init__(self, package: str, described: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._package = package
        self._described = described

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._described)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(f"{self._package}.{cmd_name}") if cmd_name in self._described else None

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Run the command; that nothing can be printed any more is raised by itself, wherever that was noticed."""
        try:
            return super().invoke(ctx)
        except BaseExceptionGroup as group:
            unwritten, others = group.split(lambda error: getattr(error, "errno", 0) in (errno.EPIPE, errno.ENOSPC))
            if unwritten is None or others is not None:
                raise
            error: BaseException = unwritten
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._described.items()))


def _command(module: str) -> click.Command:
    """Import a command. This is the only way to one, so that none runs before start-up has ended."""
    command: click.Command = import_module(module).command
    startup.ready()
    return command


class _Root(Commands):
    """All commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(__name__, _COMMANDS, **options)


@click.group(cls=_Root, invoke_without_command=True)
@click.version_option(__version__, prog_name="amo-mcp")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """The customer segments and statuses of amoCRM and Kommo as an MCP server.

    Without a command it serves stdio.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(_command(f"{__name__}.serve"))


def main() -> None:
    """The console script; when nobody reads what it prints any more (`| head`), click ends it without a word."""
    startup.begin()
    try:
        cli()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"Error: nothing more can be written ({error.strerror})")
