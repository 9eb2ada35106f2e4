"""`amo-mcp serve`: one account, over stdio. stdout belongs to the protocol; logs go to stderr."""

import gc

import anyio
import click

from amo_mcp.log import log_to_stderr
from amo_mcp.server import open_server
from amo_mcp.settings import InvalidSettings, ServingSettings, load_settings


@click.command("serve")
@click.option("--sandbox", is_flag=True, default=None, help="Serve the embedded sandbox instead of an account.")
@click.option("--read-only", is_flag=True, default=None, help="Leave out every tool that writes.")
@click.option("--confirm", type=click.Choice(["auto", "dialog", "chat"]), help="How a person is asked.")
def command(**chosen: object) -> None:
    """Serve MCP over stdio.

    The account comes from the environment: AMO_BASE_URL (or AMO_SUBDOMAIN) and AMO_ACCESS_TOKEN.
    """
    settings = settings_or_exit(**chosen)
    log_to_stderr(settings.log_level)
    if not settings.sandbox:
        try:
            settings.state.create()
        except OSError as error:
            click.echo(f"amo-mcp cannot start:\n  AMO_STATE_DIR: {settings.state.path}: {error.strerror}", err=True)
            raise SystemExit(2) from None
    anyio.run(_serve_stdio, settings)


def settings_or_exit(**chosen: object) -> ServingSettings:
    """The settings; when they are wrong, every reason on stderr and exit code 2."""
    try:
        return load_settings(ServingSettings, **chosen)
    except InvalidSettings as error:
        click.echo("amo-mcp cannot start:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        raise SystemExit(2) from None


async def _serve_stdio(settings: ServingSettings) -> None:
    async with open_server(settings, "stdio") as server:
        gc.freeze()
        gc.enable()
        await server.run_stdio_async()
