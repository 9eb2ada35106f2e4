"""A person's browser on the page, without a socket: it keeps cookies, follows redirects, and presses buttons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from types import MappingProxyType
from typing import Any

import httpx2

from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.confirmation.waiting import SETTLE
from tests.clock import Clock


@dataclass(frozen=True)
class Shown:
    """What a browser shows: the text without its tags, and what a person does not see."""

    status: int
    text: str
    html: str
    headers: httpx2.Headers

    @property
    def tokens(self) -> list[str]:
        """The token of every form, from the top."""
        return re.findall(r'name="token" value="([^"]+)"', self.html)

    @property
    def buttons(self) -> list[str]:
        return re.findall(r"<button[^>]*>([^<]*)</button>", self.html)


class Browser:
    """One browser of one person."""

    def __init__(self, page: ApprovalPage) -> None:
        self.page = page
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=page))
        self.origin = ""
        self.shown = Shown(0, "", "", httpx2.Headers())

    async def open(self, address: str) -> Shown:
        """Type an address, and follow where it leads."""
        self.origin = "/".join(address.split("/")[:3])
        return await self.request("GET", address)

    async def reload(self) -> Shown:
        return await self.request("GET", f"{self.origin}/")

    async def press(self, answer: str, form: int = 0, headers: Mapping[str, str] | None = None) -> Shown:
        """Press a button, "yes" or "no", of one of the forms, once the page has been looked at."""
        self.look()
        return await self.post({"token": self.shown.tokens[form], "answer": answer}, headers or {})

    def look(self) -> None:
        """Let the time pass in which a page that just came takes no answer."""
        if isinstance(clock := self.page.questions.clock, Clock):
            clock.now += SETTLE

    async def post(self, data: Any, headers: Mapping[str, str] = MappingProxyType({})) -> Shown:
        given = {"origin": self.origin, **headers}
        return await self.request("POST", f"{self.origin}/", data=data, headers=given)

    async def request(self, method: str, address: str, **how: Any) -> Shown:
        response = await self.http.request(method, address, **{"follow_redirects": True, **how})
        html = response.text
        body = re.sub(r"</?bdi>", "", html[html.find("<body") :])
        text = " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
        self.shown = Shown(response.status_code, text, html, response.headers)
        return self.shown
