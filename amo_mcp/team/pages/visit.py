"""A request for a page of somebody's, once it is known who they are, and that a form is one of ours."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.language import Message, message
from amo_mcp.pages.guard import HEADERS
from amo_mcp.team.accounts import Accounts
from amo_mcp.team.audit import Actor
from amo_mcp.team.browser import FOREIGN, NOT_DONE, Browsers, actor_of
from amo_mcp.team.page import above, notice, page
from amo_mcp.team.people import Person, Role, includes
from amo_mcp.team.refusals import Refusals

_FORM = "application/x-www-form-urlencoded"

_NOT_YOURS = message("This page is for admins")
_ROLE = message("An admin of this server can make you one.")

Notices = Mapping[str, Message]
"""What a page can say of what was just done, by the word in its address."""


@dataclass(frozen=True)
class Visit:
    """One request for a page.

    Attributes:
        person: who is signed in in the browser.
        form: what a form of ours has sent; empty when none was.
        token: what the forms of the page have.
        zone: where the account's days begin.
    """

    request: Request
    person: Person
    form: Mapping[str, str]
    token: str
    zone: Zone

    @property
    def by(self) -> Actor:
        """Them, as the audit tells of them."""
        return actor_of(self.request, self.person)

    def page(self, name: str, notices: Notices, **values: Any) -> Response:
        """The page, which says what was just done where its address has a word for that."""
        said = notices.get(self.request.query_params.get("told", ""))
        return page(self.request, name, **above(self.person, self.token, said), moment=self.moment, **values)

    def to(self, path: str, told: str) -> Response:
        """To a page by GET, so that nothing is sent again when that is loaded again."""
        return RedirectResponse(f"{path}?told={told}", HTTPStatus.SEE_OTHER, HEADERS)

    def moment(self, seconds: float) -> str:
        """A moment in Unix seconds, as a person reads it."""
        return self.zone.words(int(seconds) // 60 * 60)


Handler = Callable[[Visit], Awaitable[Response]]


def visited(
    path: str,
    browsers: Browsers,
    refusals: Refusals,
    accounts: Accounts,
    handler: Handler,
    *,
    needs: Role = "viewer",
    posts: bool = False,
) -> Route:
    """A page for who is signed in and has a role.

    Args:
        path: where it is.
        browsers: knows who is signed in.
        refusals: are told who came without the role.
        accounts: tell where the account's days begin.
        handler: answers.
        needs: the role.
        posts: whether the page has forms that change something, which are sent to its own path.
    """

    async def endpoint(request: Request) -> Response:
        signed_in = await browsers.person(request)
        if signed_in is None:
            return browsers.sign_in(request)
        person, token = signed_in.person, browsers.form_token(request)
        if not includes(person.role, needs):
            await refusals.note(actor_of(request, person), path)
            return notice(request, _NOT_YOURS, _ROLE, person=person, token=token)
        form = {}
        if request.method == "POST":
            if request.headers.get("content-type", "").partition(";")[0] == _FORM:
                form = {name: str(value) for name, value in (await request.form()).items()}
            if not browsers.is_ours(request, form.get("token", "")):
                return notice(request, NOT_DONE, FOREIGN, person=person, token=token)
        return await handler(Visit(request, person, form, token, await _zone(accounts, person)))

    return Route(path, endpoint, methods=["GET", "POST"] if posts else ["GET"])


async def _zone(accounts: Accounts, person: Person) -> Zone:
    try:
        return await accounts.of(person.id).profile.zone()
    except AmoError:
        return UNKNOWN
