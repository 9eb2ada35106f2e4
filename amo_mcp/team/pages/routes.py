"""Where the pages are."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from amo_mcp.keys import Keys
from amo_mcp.pages.guard import HEADERS
from amo_mcp.team.accounts import Accounts
from amo_mcp.team.approval.questions import Question
from amo_mcp.team.audit import Audit
from amo_mcp.team.browser import Browsers
from amo_mcp.team.page import AUDIT, BOARD, MINE, PEOPLE
from amo_mcp.team.pages.audit import EXPORT, AuditPage
from amo_mcp.team.pages.board import ANSWERS, Board
from amo_mcp.team.pages.mine import Mine, new_token_cookie
from amo_mcp.team.pages.people import People
from amo_mcp.team.pages.visit import visited
from amo_mcp.team.people import PeopleStore, Person
from amo_mcp.team.refusals import Refusals
from amo_mcp.transports.http import PATH


@dataclass(frozen=True)
class Parts:
    """What the pages are made of.

    Attributes:
        issuer: the server's address, without a path.
        pending: what waits for an answer and somebody may see.
        accounts: the account as each may see it.
        clock: gives Unix seconds.
    """

    issuer: str
    keys: Keys
    browsers: Browsers
    people: PeopleStore
    audit: Audit
    refusals: Refusals
    pending: Callable[[Person], Awaitable[list[Question]]]
    accounts: Accounts
    clock: Callable[[], float] = time.time


def routes(parts: Parts) -> list[Route]:
    """Every page, for whoever may see it."""
    at = partial(visited, browsers=parts.browsers, refusals=parts.refusals, accounts=parts.accounts)
    cookie = new_token_cookie(parts.issuer)
    mine = Mine(parts.people, parts.pending, parts.issuer + PATH, parts.keys, cookie, parts.clock)
    audit, board = AuditPage(parts.audit), Board(parts.accounts)
    return [
        Route("/", _to_mine, methods=["GET"]),
        at(MINE, handler=mine, posts=True),
        at(PEOPLE, handler=People(parts.people), needs="admin", posts=True),
        at(AUDIT, handler=audit, needs="admin"),
        at(EXPORT, handler=audit.export, needs="admin"),
        at(BOARD, handler=board),
        at(ANSWERS, handler=board.answers),
    ]


async def _to_mine(_: Request) -> Response:
    return RedirectResponse(MINE, HTTPStatus.SEE_OTHER, HEADERS)
