"""The page that asks a person, on a loopback port while there is something to ask or to tell."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from socket import socket

import anyio

from amo_mcp.compose import browser
from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.listen import listen

logger = logging.getLogger(__name__)


def approval_page() -> ApprovalPage:
    """The page of one server; `serve_page` serves it."""
    opens = not browser.why_not()
    return ApprovalPage(partial(listen, "127.0.0.1", 0), browser.open_tab, opens=opens, clock=time.time)


async def serve_page(page: ApprovalPage) -> None:
    """Serve the page whenever something is on it, until this is cancelled; its failure is nobody else's."""
    try:
        while True:
            listener = await page.wanted()
            try:
                await _serve(page, listener)
            except Exception as error:
                logger.error("the page ended with %s: the next question opens another one", type(error).__name__)
                page.leave(listener)
                listener.close()
    finally:
        page.close()


async def _serve(page: ApprovalPage, listener: socket) -> None:
    """Serve until everything was told."""
    import uvicorn

    from amo_mcp.transports.uvicorn import page_config

    class Server(uvicorn.Server):
        """Leaves signals to the server whose page it is; uvicorn documents no way to say so."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(page_config(page))

    async def run() -> None:
        # uvicorn closes its connections when it is asked to exit, and not when it is cancelled.
        with anyio.CancelScope(shield=True):
            await server.serve([listener])

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            await page.told()
        finally:
            server.should_exit = True
