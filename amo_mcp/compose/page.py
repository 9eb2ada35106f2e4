"""The page that asks a person, on a loopback port while there is something to ask or to tell."""

import logging
import time
from functools import partial
from socket import socket

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
    from amo_mcp.transports.uvicorn import page_config, serving_beside

    async with serving_beside(page_config(page), listener):
        await page.told()
