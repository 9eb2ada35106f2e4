"""A page of a team's server, as every one of them is answered."""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from amo_mcp import pages
from amo_mcp.language import SOURCE, Language, Message, known_language, texts
from amo_mcp.pages.guard import HEADERS

_POLICY = "default-src 'none'; style-src 'self'; form-action {}; frame-ancestors 'none'; base-uri 'none'"


def page(
    request: Request, name: str, status: int = HTTPStatus.OK, *, form_action: str = "'self'", **values: Any
) -> Response:
    """A page of `pages/templates`, in the language of the browser; its forms are sent to `form_action` alone."""
    html = pages.render(name, texts=texts(language_of(request)), **values)
    headers = HEADERS | {"content-security-policy": _POLICY.format(form_action)}
    return Response(html, status, headers, "text/html")


def notice(request: Request, heading: Message, text: Message, status: int = HTTPStatus.FORBIDDEN) -> Response:
    """A page that says one thing, and what a person can do."""
    return page(request, "notice.html", status, heading=heading, text=text)


def language_of(request: Request) -> Language:
    """The first language that a browser asks for and that is one of ours."""
    asked = request.headers.get("accept-language", "").split(",")
    return next(filter(None, (known_language(part.strip()) for part in asked)), SOURCE)
