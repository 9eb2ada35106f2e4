"""A server whose page has a person in front of it, and clients that declare what a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp_types import (
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequestURLParams,
    ElicitResult,
    FormElicitationCapability,
    UrlElicitationCapability,
)

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.confirmation.approvals import ApprovalStore
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from tests.clock import Clock
from tests.confirmation.browser import Browser
from tests.conftest import Served, served_on, session_at

Declare = Callable[[str], None]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Let clients declare `none`, `form`, `url` or `both`; the SDK declares both, and has no public way to say less."""

    def declaring(what: str) -> None:
        elicitation = ElicitationCapability(
            form=FormElicitationCapability() if what in ("form", "both") else None,
            url=UrlElicitationCapability() if what in ("url", "both") else None,
        )
        declared = ClientCapabilities(elicitation=None if what == "none" else elicitation)
        monkeypatch.setattr(ClientSession, "_build_capabilities", lambda *_: declared)

    return declaring


@dataclass
class PagePerson:
    """Somebody at a browser.

    `says` is "yes" or "no"; or "" for who opens the page and does not answer. As the dialog of a client it takes a link
    to the page, and opens it unless `takes` is another action than accept.
    """

    says: str = "yes"
    takes: str = "accept"
    addresses: list[str] = field(default_factory=list)
    links: list[ElicitRequestURLParams] = field(default_factory=list)
    opens: bool = True
    served: Served | None = None
    browser: Browser | None = None

    async def open_tab(self, address: str) -> bool:
        """What the server calls to open the browser."""
        if self.opens:
            self.addresses.append(address)
        return self.opens

    async def look(self, address: str = "") -> Browser:
        """Open the page, and press what the person says."""
        assert self.served is not None
        self.browser = Browser(self.served.page)
        await self.browser.open(address or self.addresses[-1])
        if self.says and self.browser.shown.tokens:
            await self.browser.press(self.says)
        return self.browser

    async def __call__(self, _: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        self.links.append(params)
        if self.takes == "accept":
            await self.look(params.url)
        return ElicitResult(action=self.takes)


@asynccontextmanager
async def desk(
    sandbox: Sandbox,
    person: PagePerson,
    *,
    approvals: ApprovalStore | None = None,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    **how: Any,
) -> AsyncIterator[Served]:
    """A server on a sandbox in process; by default its page opens in the person's browser."""
    http = HttpTransport(timeout=20, app=sandbox.app)
    made = served_on(
        sandbox,
        session_at("http://127.0.0.1", http),
        approvals=approvals or MemoryApprovalStore(Clock()),
        open_tab=person.open_tab,
        sleep=sleep,
        **how,
    )
    person.served = replace(made)
    try:
        yield made
    finally:
        made.page.close()
        await http.aclose()
