"""`amo-mcp serve --team`: one replica of a team's server, over HTTP."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING, NoReturn

import anyio
import click

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.cli import startup
from amo_mcp.cli.team.desk import why_not
from amo_mcp.listen import authority, listen_for_others
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, load_settings

if TYPE_CHECKING:
    from amo_mcp.compose.team import TeamSettings

Stop = Callable[[list[str]], NoReturn]
"""Says why the server cannot start, and exits."""


def serve_team(host: str, port: int, chosen: Mapping[str, object], stop: Stop) -> None:
    """Serve until Ctrl-C or SIGTERM, at any address of this machine: what is in front of it is encrypted."""
    if reason := why_not():
        stop([reason])
    from amo_mcp.compose.team import JsonFormatter, TeamSettings

    try:
        settings = load_settings(TeamSettings, **chosen)
    except InvalidSettings as error:
        stop(error.problems)
    log_to_stderr(settings.log_level, JsonFormatter())
    with (
        suppress(KeyboardInterrupt),
        _listener("--host and --port", host, port, stop) as listener,
        _listener("AMO_METRICS", *settings.metrics_address, stop) as operators,
    ):
        try:
            anyio.run(_serve, settings, listener, operators)
        except* JournalUnusable as failure:
            # Whatever of the replica came to the database first may have failed by the same.
            reasons = dict.fromkeys(error.reason for error in failure.exceptions if isinstance(error, JournalUnusable))
            stop([f"AMO_DATABASE_URL: {reason}" for reason in reasons])


def _listener(what: str, host: str, port: int, stop: Stop) -> socket:
    try:
        return listen_for_others(host, port)
    except OSError as error:
        stop([f"{what}: {host}:{port} cannot be listened on: {os.strerror(error.errno or 0)}"])


async def _serve(settings: "TeamSettings", listener: socket, operators: socket) -> None:
    from amo_mcp.compose.team import open_replica
    from amo_mcp.transports.uvicorn import HttpServer, page_config, serving_beside

    def announce(code: str) -> None:
        click.echo(f"Whoever signs in with this code becomes the first admin; it is shown only now: {code}")

    async with open_replica(settings, announce) as replica, serving_beside(page_config(replica.operations), operators):
        serving = HttpServer(replica.app, listener, replica.front)

        def started() -> None:
            startup.serving()
            operator = f"http://{authority(operators)}"
            click.echo(
                f"amo-mcp serves at {serving.url} for {settings.public_url}/mcp "
                f"and for its operator at {operator} (Ctrl-C ends it)."
            )

        await serving.serve_until_stopped(started)
