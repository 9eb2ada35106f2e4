"""Who is signed in in a browser: for the pages of a team's server.

A page is a Starlette route in the list of `compose.team.pages.page_routes`, which hands out the `Browsers`. It is
served behind the same checks as everything else (host, origin, size and seconds of a request), wherever people sign in
with amoCRM; a database that is away is answered for it. A handler begins so:

    signed_in = await browsers.person(request)
    if signed_in is None:
        return browsers.sign_in(request)

A form posts `browsers.form_token(request)` in a hidden field, and whatever changes something begins with `is_ours`. Who
wants to leave posts such a form to `SIGN_OUT_PATH`, with the token in the field `token`.
"""

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from typing_extensions import override

from amo_mcp.language import message
from amo_mcp.logs import on_one_line
from amo_mcp.pages.guard import HEADERS, new_secret
from amo_mcp.team.audit import Actor
from amo_mcp.team.page import notice
from amo_mcp.team.people import Person, digest_of

SIGN_IN_PATH = "/sign-in"
SIGN_OUT_PATH = "/sign-out"

VISITOR = "browser"
"""What the audit has in the place of a client."""

SESSION_SECONDS = 12 * 3600.0
"""Seconds for which a browser is signed in: a working day."""

_MAX_BROWSER = 80
"""Characters of a browser's own name that the audit keeps."""

NOT_DONE = message("Nothing was changed")
FOREIGN = message(
    "The form did not come from a page of this server in this browser. Open the page again, and repeat it."
)
_SIGNED_OUT = message("You are signed out")
_ELSEWHERE = message("Programs that you have connected go on working.")


@dataclass(frozen=True)
class SignedIn:
    """Somebody in a browser of theirs.

    Attributes:
        person: with the role that they have now.
        expires: when they have to sign in again, in Unix seconds.
    """

    person: Person
    expires: float


class Browsers(Protocol):
    """Knows people by a cookie of their browser, which nothing but a sign-in with amoCRM gives them."""

    async def person(self, request: Request) -> SignedIn | None:
        """Who is signed in; looked up anew each time, so that who was removed is nobody, and a new role counts.

        Raises:
            StorageUnavailable: that cannot be looked up now.
        """
        ...

    def sign_in(self, request: Request) -> Response:
        """Send the browser to sign in, and from there back to what it asks for now (by GET, whatever it asked by)."""
        ...

    def form_token(self, request: Request) -> str:
        """What a form of ours has in this browser, and no other page can know."""
        ...

    def is_ours(self, request: Request, token: str) -> bool:
        """Whether a request comes from a form of ours, in the browser that it was made for."""
        ...


class BrowserStore(Protocol):
    """Keeps who is signed in where; of a cookie only its SHA-256. Every method can raise `StorageUnavailable`."""

    async def begin(self, cookie: bytes, person_id: str, before: bytes = b"") -> None:
        """Let somebody be signed in in a browser, for `SESSION_SECONDS`, in place of who was by the cookie `before`."""
        ...

    async def signed_in(self, cookie: bytes) -> SignedIn | None:
        """Who is signed in in a browser; None also when they were removed since."""
        ...

    async def end(self, cookie: bytes) -> None:
        """Let nobody be signed in in a browser."""
        ...


class Cookie:
    """A secret that a browser keeps for one server alone.

    Args:
        issuer: the address of the server, without a path.
    """

    def __init__(self, name: str, issuer: str, seconds: float) -> None:
        # Browsers take no `__Host-` cookie over plain http, which is for loopback alone.
        self._is_secure = issuer.startswith("https:")
        self._name = ("__Host-" if self._is_secure else "") + name
        self._seconds = int(seconds)

    def of(self, request: Request) -> str:
        """What the browser has; empty when it has none."""
        return request.cookies.get(self._name, "")

    def keep(self, response: Response, value: str) -> None:
        """Have the browser keep it. It also comes by links of other sites, with which a Strict one would not come."""
        response.set_cookie(
            self._name, value, self._seconds, path="/", secure=self._is_secure, httponly=True, samesite="lax"
        )

    def forget(self, response: Response) -> None:
        """Have the browser keep it no longer."""
        response.delete_cookie(self._name, path="/", secure=self._is_secure, httponly=True, samesite="lax")


class CookieBrowsers(Browsers):
    """The browsers of one server.

    Args:
        issuer: its address, without a path.
        keys: sign the tokens of forms, the newest first.
    """

    def __init__(self, store: BrowserStore, issuer: str, keys: list[bytes]) -> None:
        self._store = store
        self._issuer = issuer
        self._keys = keys
        self._cookie = Cookie("amo-session", issuer, SESSION_SECONDS)

    @override
    async def person(self, request: Request) -> SignedIn | None:
        cookie = self._cookie.of(request)
        return await self._store.signed_in(digest_of(cookie)) if cookie else None

    @override
    def sign_in(self, request: Request) -> Response:
        to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN_PATH}?{urlencode({'to': to})}", HTTPStatus.SEE_OTHER, HEADERS)

    @override
    def form_token(self, request: Request) -> str:
        return _form_token(self._keys[0], self._cookie.of(request))

    @override
    def is_ours(self, request: Request, token: str) -> bool:
        cookie, presented = self._cookie.of(request), token.encode("utf-8", "surrogatepass")
        if not cookie or request.headers.get("origin") != self._issuer:
            return False
        return any(hmac.compare_digest(_form_token(key, cookie).encode(), presented) for key in self._keys)

    async def begin(self, request: Request, response: Response, person: Person) -> None:
        """Let somebody be signed in in the browser that asks, by a new cookie, whatever it had before."""
        cookie = new_secret()
        await self._store.begin(digest_of(cookie), person.id, digest_of(self._cookie.of(request)))
        self._cookie.keep(response, cookie)

    async def sign_out(self, request: Request) -> Response:
        """What a form that is sent to `SIGN_OUT_PATH` is answered."""
        has_cookie = bool(self._cookie.of(request))
        if has_cookie and not self.is_ours(request, str((await request.form()).get("token", ""))):
            return notice(request, NOT_DONE, FOREIGN)
        await self._store.end(digest_of(self._cookie.of(request)))
        response = notice(request, _SIGNED_OUT, _ELSEWHERE, HTTPStatus.OK)
        self._cookie.forget(response)
        return response


def actor_of(request: Request, person: Person) -> Actor:
    """Somebody in a browser of theirs, as the audit tells of them."""
    return Actor(person.id, person.name, on_one_line(request.headers.get("user-agent", ""), _MAX_BROWSER))


def _form_token(key: bytes, cookie: str) -> str:
    return hmac.digest(key, f"form\n{cookie}".encode("utf-8", "surrogatepass"), "sha256").hex()
