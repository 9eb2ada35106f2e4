"""The page: an application that shows a person, in their own browser, what waits for their yes or no.

Each question has a page of its own, which never becomes another's: whatever ends or comes, no button of another
question gets under the mouse. The address that a person is given has a secret that is good for one browser: that one
gets a cookie instead, and only it can answer. An answer is a POST from the page itself, with the token of its form.
This stops tool calls; a program that runs as the same user can do whatever the person can.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from socket import socket
from typing import Any
from urllib.parse import parse_qs

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from amo_mcp import pages
from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.outcomes import HARMLESS, outcome_words
from amo_mcp.confirmation.waiting import GRACE, Answer, PageQuestion, Questions
from amo_mcp.language import SOURCE, texts
from amo_mcp.listen import authority
from amo_mcp.pages.guard import HEADERS

TAB_SECONDS = 10.0
"""Seconds between two tabs that are opened."""

MAX_OTHERS = 10
"""Ended questions, the newest, whose outcomes are told below another one."""

MAX_REQUESTS = 32
"""Requests that are answered at once; the next one is told to come again."""

BODY_SECONDS = 10.0
"""Seconds that an answer may take to come."""

RELOAD_SECONDS = 2
"""Seconds after which a page whose yes has no outcome yet looks again."""

_QUESTION = "/question/"
_TICK = 0.5
_MAX_BODY = 4096
_ANSWERS: Mapping[str, Answer] = {"yes": "yes", "no": "no"}
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_HEADERS = HEADERS | {"content-security-policy": _POLICY}

logger = logging.getLogger(__name__)


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
        self._under_way = 0

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
        return f"{self._origin}/{question.key}"

    async def show(self, question: PageQuestion) -> bool:
        """Open a tab with the question, now or when the last one is old enough; False when that did not work."""
        now = self.questions.clock()
        question.wants_tab = now < self._tab_opened + TAB_SECONDS
        if not question.wants_tab:
            self._tab_opened = now
            if not await self._open_tab(self.address(question)):
                self._tab_opened = -math.inf
                return False
        return True

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
        listener = self._listener
        try:
            while not self.questions.all_told():
                late = self.questions.without_tab()
                if late and not await self.show(late):
                    logger.warning("a tab did not open: its question waits on the page")
                await anyio.sleep(_TICK)
        except Exception:
            self.leave(listener)
            raise
        self.leave(listener)

    def leave(self, listener: socket | None) -> None:
        """Forget a port at which nothing is served any more: the next question opens another one."""
        if self._listener is listener:
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
        """As ASGI; every failure has a page too, in the person's language."""
        request = Request(scope, receive)
        self._under_way += 1
        try:
            response = await self._respond(request)
        except Exception as error:
            logger.error("the page failed with %s", type(error).__name__)
            response = self._refusal(HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            self._under_way -= 1
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if self._under_way > MAX_REQUESTS:
            return self._refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        if f"http://{request.headers.get('host')}" != self._origin:
            return self._refusal(HTTPStatus.MISDIRECTED_REQUEST)
        match request.method, request.url.path:
            case "GET", "/":
                return self._page(request, None)
            case "GET", path if path.startswith(_QUESTION):
                return self._page(request, path.removeprefix(_QUESTION))
            case "GET", "/style.css":
                return Response(pages.stylesheet(), media_type="text/css")
            case "GET", path:
                return self._opened(request, path.removeprefix("/"))
            case "POST", "/":
                return await self._answered(request)
        return self._refusal(HTTPStatus.METHOD_NOT_ALLOWED)

    def _opened(self, request: Request, key: str) -> Response:
        """The first GET of an address: the secret is swapped for a cookie, and good for no other browser any more."""
        question = self.questions.opened_by(key)
        if question is None or (question.taken and not question.belongs_to(request.cookies)):
            return self._refusal(HTTPStatus.GONE)
        response = _anew(question)
        self._give_cookie(response, question)
        return response

    def _give_cookie(self, response: Response, question: PageQuestion) -> None:
        question.taken = True
        lifetime = question.approval.expires + GRACE - self.questions.clock()
        response.set_cookie(
            question.cookie_name, question.cookie, max_age=math.ceil(lifetime), httponly=True, samesite="strict"
        )

    def _page(self, request: Request, nonce: str | None) -> Response:
        """One question; without its nonce the way to the first that waits, or to the newest."""
        seen = self.questions.seen_by(request.cookies)
        if not seen and request.headers.get("sec-fetch-site") == "cross-site":
            # Opened from a page of another site: a Strict cookie comes with the next request, which is our own.
            return Response(headers={"refresh": "0"}, media_type="text/html")
        if not seen:
            return self._refusal(HTTPStatus.FORBIDDEN)
        if nonce is None:
            return _anew(seen[0])
        question = next((item for item in seen if item.approval.nonce == nonce), None)
        if question is None:
            return self._refusal(HTTPStatus.FORBIDDEN)
        now = self.questions.clock()
        stage = question.stage(now)
        others = [item for item in seen if item is not question]
        following = next((item for item in others if stage != "waiting" and item.stage(now) == "waiting"), None)
        if following:
            following.wants_tab = False
        ended = [item for item in others if item.taken and item.stage(now) != "waiting"][:MAX_OTHERS]
        stages = {item: self.questions.was_shown(item) for item in [question, *ended]}
        words = {item: outcome_words(shown, self._texts, item.done, item.total) for item, shown in stages.items()}
        values: dict[str, Any] = {"item": question, "stages": stages, "words": words, "following": following}
        body = pages.render("approval.html", texts=self._texts, harmless=HARMLESS, **values)
        question.too_soon = False
        response = Response(body, media_type="text/html")
        if not question.taken:
            self._give_cookie(response, question)
        if "agreed" in stages.values():
            response.headers["refresh"] = str(RELOAD_SECONDS)
        elif stage == "waiting":
            response.headers["refresh"] = str(math.ceil(question.approval.expires - now) + 1)
        return response

    async def _answered(self, request: Request) -> Response:
        """A button was pressed: on this page, in the browser that was asked, and for the first time."""
        if request.headers.get("origin") != self._origin:
            return self._refusal(HTTPStatus.FORBIDDEN)
        try:
            with anyio.fail_after(BODY_SECONDS):
                form = parse_qs((await _body(request)).decode("ascii"))
        except (_TooLong, TimeoutError, UnicodeDecodeError, ClientDisconnect):
            return self._refusal(HTTPStatus.BAD_REQUEST)
        question = self.questions.with_token("".join(form.get("token", [])))
        answer = _ANSWERS.get("".join(form.get("answer", [])))
        if question is None or answer is None or not question.belongs_to(request.cookies):
            return self._refusal(HTTPStatus.FORBIDDEN)
        self.questions.answer(question, answer)
        return _to(question)

    def _refusal(self, status: HTTPStatus) -> Response:
        body = pages.render("refused.html", texts=self._texts, status=status)
        return Response(body, status, media_type="text/html")


def _to(question: PageQuestion) -> Response:
    return RedirectResponse(f"{_QUESTION}{question.approval.nonce}", HTTPStatus.SEE_OTHER)


def _anew(question: PageQuestion) -> Response:
    """The way to a question whose buttons were not on the screen a moment ago."""
    question.asked_at = math.inf
    return _to(question)


class _TooLong(Exception):
    """The body has more bytes than the form of the page makes."""


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise _TooLong
    return body
