"""`amo-mcp serve`: one account, over stdio, over HTTP on loopback, or for a team. On stdio stdout is the protocol's."""

import os
from collections.abc import Iterable
from contextlib import suppress
from socket import socket
from typing import NoReturn

import anyio
import click

from amo_mcp.cli import startup
from amo_mcp.compose.local import open_server
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, ServingSettings, load_settings
from amo_mcp.transports.stdio import StdioClosed, claim_stdio, serve_stdio

_PORT = 8000


@click.command("serve")
@click.option("--http", is_flag=True, help="Serve Streamable HTTP on loopback instead of stdio.")
@click.option("--team", is_flag=True, help="Serve a team over HTTP, with PostgreSQL; people sign in.")
@click.option("--host", help="With --http a loopback address, with --team any; default 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"With --http or --team: default {_PORT}; 0: any free port."
)
@click.option("--sandbox", is_flag=True, default=None, help="Serve the embedded sandbox instead of an account.")
@click.option("--read-only", is_flag=True, default=None, help="Leave out every tool that writes.")
@click.option("--confirm", type=click.Choice(["auto", "dialog", "page", "chat"]), help="How a person is asked.")
def command(http: bool, team: bool, host: str | None, port: int | None, **chosen: object) -> None:
    """Serve MCP over stdio, with --http over HTTP on loopback, or with --team to a team.

    The account comes from the environment: AMO_BASE_URL (or AMO_SUBDOMAIN) and AMO_ACCESS_TOKEN.
    """
    if http and team:
        _stop(["--team serves over HTTP: leave --http out"])
    if not (http or team) and (host, port) != (None, None):
        _stop(["--host and --port are for --http and --team"])
    if team:
        from amo_mcp.cli.team.serving import serve_team

        serve_team(host or "127.0.0.1", _PORT if port is None else port, chosen, _stop)
        return
    try:
        settings = load_settings(ServingSettings, **chosen)
    except InvalidSettings as error:
        _stop(error.problems)
    log_to_stderr(settings.log_level)
    if not settings.sandbox:
        try:
            settings.state.create()
        except OSError as error:
            _stop([f"AMO_STATE_DIR: {settings.state.path}: {error.strerror}"])
    # Ctrl-C is how a person ends it.
    with suppress(KeyboardInterrupt):
        if http:
            with _listener(host or "127.0.0.1", _PORT if port is None else port) as listener:
                anyio.run(_serve_http, settings, listener)
        else:
            try:
                stdin, stdout = claim_stdio()
            except StdioClosed as error:
                _stop([str(error)])
            anyio.run(_serve_stdio, settings, stdin, stdout)


def _stop(problems: Iterable[str]) -> NoReturn:
    """Report every reason why it cannot start on stderr, and exit with 2."""
    click.echo("amo-mcp cannot start:", err=True)
    for problem in problems:
        click.echo(f"  {problem}", err=True)
    raise SystemExit(2) from None


async def _serve_stdio(settings: ServingSettings, stdin: int, stdout: int) -> None:
    async with open_server(settings, "stdio", warmed_up=startup.serving) as server:
        startup.serving()
        await serve_stdio(server, stdin, stdout)


def _listener(host: str, port: int) -> socket:
    from amo_mcp.listen import NotLoopback, listen

    try:
        return listen(host, port)
    except NotLoopback:
        _stop(["--host must be a loopback address, such as 127.0.0.1, ::1 or localhost: there is no sign-in"])
    except OSError as error:
        _stop([f"--port {port} cannot be used on {host}: {os.strerror(error.errno or 0)}"])


async def _serve_http(settings: ServingSettings, listener: socket) -> None:
    from amo_mcp.transports.uvicorn import HttpServer

    async with open_server(settings, "http", warmed_up=startup.serving) as server:
        serving = HttpServer.on_loopback(server, listener)

        def started() -> None:
            startup.serving()
            click.echo(f"amo-mcp serves at {serving.url} (Ctrl-C ends it).")

        await serving.serve_until_stopped(started)
