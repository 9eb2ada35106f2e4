"""The board in a browser: what it shows, read only, and the application that serves it on loopback."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import check_mode
from amo_mcp.failures.explain import explain
from amo_mcp.pages.guard import HEADERS, new_secret, same
from amo_mcp.server.board import content_security_policy, render
from amo_mcp.tools.audit import audit
from amo_mcp.tools.changes import change_list
from amo_mcp.tools.runtime.answers import dumped
from amo_mcp.tools.runtime.tool import Output
from amo_mcp.tools.segments import segment_list
from amo_mcp.tools.statuses import status_list

_MAX_CHANGES = 100
_ANSWERS = "/answers"


async def read_answers(account: AmoAccount) -> dict[str, Any]:
    """What the reading tools answer, by their names: the entities of the account's mode, findings, changes.

    Nothing is written, not even what came of changes that were left unfinished.

    Raises:
        AmoError: the account cannot be read.
        ModeDisabled: it has neither segments nor statuses.
    """
    reads = account.cached
    found: dict[str, Output] = {}
    if (await reads.account()).customers_mode == "periodicity":
        found["list_statuses"] = status_list(await reads.statuses())
    else:
        check_mode("segment", reads.known_mode)
        found["list_segments"] = segment_list(await reads.segments())
    found["audit_segments"] = await audit(account, reads)
    with suppress(JournalUnusable):
        found["list_changes"] = await change_list(account, _MAX_CHANGES)
    return {
        name: {"structuredContent": await dumped(answer, account.profile), "_meta": answer.meta or {}}
        for name, answer in found.items()
    }


async def snapshot(account: AmoAccount, reader: Reader) -> str:
    """The board as a page that stands alone, as the account is now: it has its answers in itself, and asks nobody.

    Raises:
        AmoError: the account cannot be read.
    """
    answers = await read_answers(account)
    page = render(reader.texts, answers=answers, account=_shown(reader), at=iso_utc(datetime.now(UTC)))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy(page)}">'
    return page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}', 1)


class LiveBoard:
    """The board of an account as an application; only GET is answered, and only to the browser that opened it.

    Its address has a secret, which the first GET swaps for a cookie.

    Args:
        account: what it shows; only read.
        reader: who looks.
        origin: where it is served, such as `http://127.0.0.1:8000`.
    """

    def __init__(self, account: AmoAccount, reader: Reader, origin: str) -> None:
        self._account = account
        self._origin = origin
        self._key, self._cookie = new_secret(), new_secret()
        # All servers on this machine share one jar.
        self._cookie_name = f"amo_board_{secrets.token_hex(4)}"
        self._opened = False
        self._page = render(reader.texts, live=_ANSWERS, account=_shown(reader))
        self._headers = HEADERS | {
            "content-security-policy": f"{content_security_policy(self._page)}; connect-src 'self'; "
            "form-action 'none'; frame-ancestors 'none'"
        }

    @property
    def address(self) -> str:
        """Where a browser can open it, once."""
        return f"{self._origin}/{self._key}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        response = await self._respond(Request(scope, receive))
        response.headers.update(self._headers)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if f"http://{request.headers.get('host')}" != self._origin:
            return _refusal(HTTPStatus.MISDIRECTED_REQUEST)
        if request.method != "GET":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        path = request.url.path
        if not self._opened and same(path, f"/{self._key}"):
            self._opened = True
            response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            response.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict")
            return response
        if not same(request.cookies.get(self._cookie_name, ""), self._cookie):
            return _refusal(HTTPStatus.FORBIDDEN)
        match path:
            case "/":
                return Response(self._page, media_type="text/html")
            case "/answers":
                return await self._answers()
        return _refusal(HTTPStatus.NOT_FOUND)

    async def _answers(self) -> Response:
        try:
            return JSONResponse(await read_answers(self._account))
        except AmoError as error:
            return PlainTextResponse(str(explain(error)), HTTPStatus.BAD_GATEWAY)


def _shown(reader: Reader) -> str:
    return reader.account or "amoCRM"


def _refusal(status: HTTPStatus) -> Response:
    text = "This board is shown to the browser that opened it. Start it again with: amo-mcp board"
    return PlainTextResponse(text, status)
