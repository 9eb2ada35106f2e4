"""The page: an application that shows a person, in their own browser, what waits for their yes or no.

Its address has a secret that is good for one GET: the browser that opens it gets a cookie instead, and only that
browser can answer. An answer is a POST from the page itself, with the token of its form. This stops tool calls; a
program that runs as the same user can do whatever the person can.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from socket import socket
from urllib.parse import parse_qs

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from amo_mcp import pages
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.waiting import GRACE, Answer, PageQuestion, Questions
from amo_mcp.language import SOURCE, texts
from amo_mcp.listen import authority
from amo_mcp.pages.guard import HEADERS

TAB_SECONDS = 10.0
"""Seconds between two tabs that are opened."""

RELOAD_SECONDS = 2
"""Seconds after which a page whose yes has no outcome yet looks again."""

_TICK = 0.5
_MAX_BODY = 4096
_ANSWERS: Mapping[str, Answer] = {"yes": "yes", "no": "no"}
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_HEADERS = HEADERS | {"content-security-policy": _POLICY}


class ApprovalPage:
    """The page of one server.

    It listens from the first question until the last outcome was shown, or the question is dead (`serving`).

    Args:
        listen: makes a socket on a loopback address.
        open_tab: opens an address in the person's browser; whether that worked.
        opens: whether a browser can be opened here at all.
        clock: gives Unix seconds.

    Attributes:
        questions: what is on it.
    """

    def __init__(
        self,
        listen: Callable[[], socket],
        open_tab: Callable[[str], Awaitable[bool]],
        *,
        opens: bool,
        clock: Callable[[], float],
    ) -> None:
        self.questions = Questions(clock)
        self.opens = opens
        self._listen = listen
        self._open_tab = open_tab
        self._listener: socket | None = None
        self._wanted = anyio.Event()
        self._texts = texts(SOURCE)
        self._tab_opened = -math.inf

    def ask(self, approval: Approval) -> PageQuestion:
        """Put a question on the page, in the language of who reads it.

        Raises:
            OSError: there is no socket to listen on.
        """
        self._texts = approval.reader.texts
        if self._listener is None:
            self._listener = self._listen()
            self._wanted.set()
        return self.questions.add(approval)

    def address(self, question: PageQuestion) -> str:
        """Where the person can answer; once it was opened, for the browser that did it."""
        return f"{self._origin}/{question.key or ''}"

    async def show(self, question: PageQuestion) -> bool:
        """Open a tab with the question, now or when the last one is old enough; whether a browser can be opened."""
        now = self.questions.clock()
        question.wants_tab = now < self._tab_opened + TAB_SECONDS
        if not question.wants_tab:
            self._tab_opened = now
            self.opens = await self._open_tab(self.address(question))
        return self.opens

    async def wanted(self) -> socket:
        """Wait until there is a question; where the page is to be served from then on."""
        await self._wanted.wait()
        assert self._listener is not None
        return self._listener

    async def told(self) -> None:
        """Wait until nothing is left to be answered or shown: who serves the page is to close its socket.

        The next question opens another port. Meanwhile a tab opens for a question that came too soon after another one
        and is still unseen.
        """
        while not self.questions.all_told():
            if late := self.questions.without_tab():
                await self.show(late)
            await anyio.sleep(_TICK)
        self._listener, self._wanted = None, anyio.Event()

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def _origin(self) -> str:
        return f"http://{authority(self._listener)}" if self._listener else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        request = Request(scope, receive)
        response = await self._respond(request)
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if f"http://{request.headers.get('host')}" != self._origin:
            return self._refusal(HTTPStatus.MISDIRECTED_REQUEST)
        match request.method, request.url.path:
            case "GET", "/":
                return self._page(request)
            case "GET", "/style.css":
                return Response(pages.stylesheet(), media_type="text/css")
            case "GET", path:
                return self._opened(request, path.removeprefix("/"))
            case "POST", "/":
                return await self._answered(request)
        return self._refusal(HTTPStatus.METHOD_NOT_ALLOWED)

    def _opened(self, request: Request, key: str) -> Response:
        """The first GET of an address: the secret is swapped for a cookie, and is good for nothing any more."""
        question = self.questions.opened_by(key)
        if question is None:
            return self._refusal(HTTPStatus.GONE)
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        self._give_cookie(response, question)
        return response

    def _give_cookie(self, response: Response, question: PageQuestion) -> None:
        question.key = None
        lifetime = question.approval.expires + GRACE - self.questions.clock()
        response.set_cookie(
            question.cookie_name, question.cookie, max_age=math.ceil(lifetime), httponly=True, samesite="strict"
        )

    def _page(self, request: Request) -> Response:
        seen = self.questions.seen_by(request.cookies)
        if not seen and request.headers.get("sec-fetch-site") == "cross-site":
            # Opened from a page of another site: a Strict cookie comes with the next request, which is our own.
            return Response(headers={"refresh": "0"}, media_type="text/html")
        if not seen:
            return self._refusal(HTTPStatus.FORBIDDEN)
        shown = [(question, self.questions.was_shown(question)) for question in seen]
        body = pages.render("approval.html", texts=self._texts, shown=shown, until=_time)
        response = Response(body, media_type="text/html")
        for question in seen:
            if question.key is not None:
                self._give_cookie(response, question)
        if any(stage == "agreed" for _, stage in shown):
            response.headers["refresh"] = str(RELOAD_SECONDS)
        elif waiting := [question.approval.expires for question, stage in shown if stage == "waiting"]:
            response.headers["refresh"] = str(math.ceil(min(waiting) - self.questions.clock()) + 1)
        return response

    async def _answered(self, request: Request) -> Response:
        """A button was pressed: on this page, in the browser that was asked, and for the first time."""
        if request.headers.get("origin") != self._origin:
            return self._refusal(HTTPStatus.FORBIDDEN)
        try:
            form = parse_qs((await _body(request)).decode("ascii"))
        except (_TooLong, UnicodeDecodeError, ClientDisconnect):
            return self._refusal(HTTPStatus.BAD_REQUEST)
        question = self.questions.with_token("".join(form.get("token", [])))
        answer = _ANSWERS.get("".join(form.get("answer", [])))
        if question is None or answer is None or not question.belongs_to(request.cookies):
            return self._refusal(HTTPStatus.FORBIDDEN)
        self.questions.answer(question, answer)
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)

    def _refusal(self, status: HTTPStatus) -> Response:
        body = pages.render("refused.html", texts=self._texts, opened=status == HTTPStatus.GONE)
        return Response(body, status, media_type="text/html")


class _TooLong(Exception):
    """The body has more bytes than the form of the page makes."""


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise _TooLong
    return body


def _time(expires: float) -> str:
    """A moment as the person's clock shows it: the browser is on this machine."""
    return f"{datetime.fromtimestamp(expires).astimezone():%H:%M}"
