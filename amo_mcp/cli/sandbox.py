"""`amo-mcp sandbox`: a local amoCRM sandbox over HTTP, on loopback."""

import os
from pathlib import Path

import anyio
import click

from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Sandbox
from amo_mcp.sandbox.serving import serve


@click.command("sandbox")
@click.option("--port", default=8901, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--mode", default="segments", show_default=True, type=click.Choice(["segments", "periodicity"]))
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="Keep the account in this file.")
def command(port: int, mode: str, state: Path | None) -> None:
    """Serve a local amoCRM sandbox over HTTP, with an example shop to tidy up.

    A --state FILE that exists is used as it is, including its mode.
    """
    try:
        sandbox = Sandbox(mode=mode, state_file=state)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    anyio.run(_serve, sandbox, port)


async def _serve(sandbox: Sandbox, port: int) -> None:
    def started(url: str) -> None:
        click.echo(f"A local amoCRM sandbox, mode {sandbox.account.mode}, at {url} (Ctrl-C stops it).")
        click.echo("To serve it over MCP:")
        click.echo(f"  AMO_BASE_URL={url} AMO_ACCESS_TOKEN={ADMIN_TOKEN} amo-mcp")
        click.echo(f"A read-only token: {USER_TOKEN}")

    try:
        await serve(sandbox, port=port, started=started)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be used: {os.strerror(error.errno or 0)}") from None
