"""`amo-mcp board`: segments or statuses, findings and changes in the browser. Nothing can be changed there."""

from contextlib import suppress
from pathlib import Path

import anyio
import click

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.cli.wording import explained, wrong_environment
from amo_mcp.compose.account import open_account
from amo_mcp.compose.board import serve_board
from amo_mcp.logs import log_to_stderr
from amo_mcp.server.board.live import snapshot
from amo_mcp.settings import InvalidSettings, ServingSettings, load_settings


@click.command("board")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write it into this file instead.")
@click.option("--sandbox", is_flag=True, default=None, help="Show the embedded sandbox instead of an account.")
def command(file: Path | None, sandbox: bool | None) -> None:
    """Look at segments, findings and changes in the browser.

    It is served on this machine alone, and only reads. With --file it is written as one page that stands alone, to mail
    or to print.
    """
    log_to_stderr("ERROR")
    try:
        settings = load_settings(ServingSettings, sandbox=sandbox)
    except InvalidSettings as error:
        raise wrong_environment("the environment is wrong", error) from None
    # Ctrl-C is how a person ends it.
    with suppress(KeyboardInterrupt):
        anyio.run(_show, settings, file)


async def _show(settings: ServingSettings, file: Path | None) -> None:
    try:
        async with open_account(settings) as account:
            if file is None:
                await serve_board(account, _started)
            else:
                page = await snapshot(account, await account.profile.reader())
                await anyio.Path(file).write_text(page, encoding="utf-8")
                click.echo(f"The board is in {file}.")
    except AmoError as error:
        raise click.ClickException(explained(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"{file or 'the board'}: {error.strerror}") from None


def _started(address: str, opened: bool) -> None:
    if opened:
        click.echo("The board is open in your browser (Ctrl-C ends it).")
    else:
        click.echo(f"Open this address in a browser on this machine; it works once (Ctrl-C ends it):\n  {address}")
