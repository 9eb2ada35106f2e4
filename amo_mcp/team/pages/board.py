"""The board of the account, for who is signed in: it looks, and never writes."""

from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.responses import JSONResponse, PlainTextResponse, Response

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.changes.reader import ANYBODY, Reader
from amo_mcp.failures.explain import explain
from amo_mcp.pages.guard import HEADERS
from amo_mcp.server.board import content_security_policy, render
from amo_mcp.server.board.live import read_answers
from amo_mcp.team.accounts import Accounts
from amo_mcp.team.page import BOARD, language_of, links
from amo_mcp.team.pages.visit import Visit

ANSWERS = "/board/answers"


@dataclass(frozen=True)
class Board:
    """The board, and what it draws.

    Attributes:
        accounts: the account as each may see it.
    """

    accounts: Accounts

    async def __call__(self, visit: Visit) -> Response:
        """The page."""
        reader = replace(await self._reader(visit), language=language_of(visit.request))
        gone = reader.texts("The account could not be read. Reload the page in a moment.")
        above = [(path, reader.texts.of(name), path == BOARD) for path, name in links(visit.person)]
        page = render(reader.texts, gone, above, live=ANSWERS, account=reader.account or "amoCRM")
        policy = f"{content_security_policy(page)}; connect-src 'self'; form-action 'none'; frame-ancestors 'none'"
        return Response(page, headers=HEADERS | {"content-security-policy": policy}, media_type="text/html")

    async def answers(self, visit: Visit) -> Response:
        """What the reading tools answer, for the script of the page."""
        try:
            return JSONResponse(await read_answers(self.accounts.of(visit.person.id)), headers=HEADERS)
        except AmoError as error:
            return PlainTextResponse(str(explain(error)), HTTPStatus.BAD_GATEWAY, HEADERS)

    async def _reader(self, visit: Visit) -> Reader:
        try:
            return await self.accounts.of(visit.person.id).profile.reader()
        except AmoError:
            return ANYBODY
