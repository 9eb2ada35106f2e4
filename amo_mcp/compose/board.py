"""The board in the person's browser, of one account."""

from collections.abc import Callable

import anyio
import uvicorn

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.compose import browser
from amo_mcp.listen import authority, listen
from amo_mcp.server.board.live import LiveBoard, read_answers
from amo_mcp.transports.uvicorn import page_config


async def serve_board(account: AmoAccount, started: Callable[[str, bool], None]) -> None:
    """Serve the board on a free port of this machine, and open it, until Ctrl-C.

    Args:
        account: what it shows.
        started: is called with its address, and whether a browser was opened there.

    Raises:
        AmoError: the account cannot be read.
    """
    reader = await account.profile.reader()
    await read_answers(account)
    listener = listen("127.0.0.1", 0)
    board = LiveBoard(account, reader, f"http://{authority(listener)}")
    async with anyio.create_task_group() as group:
        group.start_soon(uvicorn.Server(page_config(board)).serve, [listener])
        started(board.address, not browser.why_not() and await browser.open_tab(board.address))
