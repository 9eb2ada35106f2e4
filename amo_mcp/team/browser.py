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

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from amo_mcp.team.people import Person

SIGN_OUT_PATH = "/sign-out"


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
