"""A page of a team's server, as every one of them is answered."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from amo_mcp import pages
from amo_mcp.language import SOURCE, Language, Message, known_language, message, texts
from amo_mcp.pages.guard import HEADERS
from amo_mcp.team.people import Person, Role, includes

MINE, BOARD, PEOPLE, AUDIT = "/mine", "/board", "/people", "/audit"

_PAGES: Sequence[tuple[str, Message, Role]] = (
    (MINE, message("Mine"), "viewer"),
    (BOARD, message("Board"), "viewer"),
    (PEOPLE, message("People"), "admin"),
    (AUDIT, message("Audit"), "admin"),
)
"""What every page leads to, and for whom."""

_POLICY = "default-src 'none'; style-src 'self'; form-action {}; frame-ancestors 'none'; base-uri 'none'"


def page(
    request: Request, name: str, status: int = HTTPStatus.OK, *, form_action: str = "'self'", **values: Any
) -> Response:
    """A page of `pages/templates`, in the person's language; its forms are sent to `form_action` alone."""
    html = pages.render(name, texts=texts(language_of(request)), path=request.url.path, **values)
    headers = HEADERS | {"content-security-policy": _POLICY.format(form_action)}
    return Response(html, status, headers, "text/html")


def notice(
    request: Request,
    heading: Message,
    text: Message,
    status: int = HTTPStatus.FORBIDDEN,
    *,
    person: Person | None = None,
    token: str = "",
) -> Response:
    """A page that says one thing, and what a person can do; above it, what is above every page of theirs."""
    return page(request, "notice.html", status, heading=heading, text=text, **above(person, token))


def above(person: Person | None, token: str, said: Message | None = None) -> dict[str, Any]:
    """What is above a page.

    Args:
        person: who is signed in.
        token: what a form of this browser has.
        said: what was just done.
    """
    return {"person": person, "token": token, "said": said, "links": links(person)}


def links(person: Person | None) -> list[tuple[str, Message]]:
    """The pages that somebody may see; where nobody is signed in, those that are for everybody who signs in."""
    role = person.role if person else "viewer"
    return [(path, name) for path, name, needed in _PAGES if includes(role, needed)]


def language_of(request: Request) -> Language:
    """What the operator has set for all; else the first language that a browser asks for and that is one of ours."""
    chosen: Language | None = getattr(request.state, "language", None)
    if chosen is not None:
        return chosen
    asked = request.headers.get("accept-language", "").split(",")
    return next(filter(None, (known_language(part.strip()) for part in asked)), SOURCE)
