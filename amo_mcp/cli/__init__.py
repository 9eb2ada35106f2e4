"""Names the commands; a command's file is imported only when that command runs."""

import gc
from importlib import import_module

import click
from pydantic import BaseModel, TypeAdapter

from amo_mcp import __version__

_COMMANDS = {
    "serve": "Serve MCP over stdio (what `amo-mcp` alone does) or HTTP.",
    "sandbox": "Serve a local amoCRM sandbox over HTTP.",
    "demo": "Watch the main job on the sandbox.",
    "login": "Sign in to an account by OAuth.",
    "logout": "Forget the sign-in.",
    "doctor": "Check whether serving would work.",
    "config": "Print the configuration for a client.",
}


class _Commands(click.Group):
    """The commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"amo_mcp.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, prog_name="amo-mcp")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """The customer segments and statuses of amoCRM and Kommo as an MCP server.

    Without a command it serves stdio.
    """
    if ctx.invoked_subcommand is None:
        command = cli.get_command(ctx, "serve")
        assert command is not None  # noqa: S101 - it is in the table above
        ctx.invoke(command)


def main() -> None:
    """The console script.

    Clients start a server for every window, so starting is made cheap. Nothing that imports build is garbage: the
    collector is off until the command has what it needs. The SDK declares hundreds of models, for two eras of the
    protocol of which a client speaks one: each is built when it is first used.
    """
    gc.disable()
    BaseModel.model_config["defer_build"] = True
    # Of what is no model, such as a union of them, there is no public way to say it; unheeded, starting is slower.
    TypeAdapter._defer_build = True  # type: ignore[method-assign,assignment]  # noqa: SLF001
    cli()
