"""The vendor's OAuth over HTTP: the consent page, the token endpoint, and where an account has moved to."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.api import body
from amo_mcp.sandbox.api.problems import sign_in_refused
from amo_mcp.sandbox.oauth.oauth import OAuth

_CONSENT = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Access to {account}</title></head>
<body>
<h1>Access to {account}</h1>
<p>{client} asks for access to this sandbox account.</p>
<p>{users}<a href="{deny}">deny</a></p>
</body>
</html>
"""


@dataclass(eq=False)
class SignIn:
    """The endpoints of `oauth`, which need no bearer token."""

    account: Account
    oauth: OAuth
    clock: Callable[[], float]

    def routes(self) -> list[Route]:
        """The routes, each with its one method."""
        return [
            Route("/oauth", self.consent, methods=["GET"]),
            Route("/oauth2/access_token", self.access_token, methods=["POST"]),
            Route("/oauth2/account/current/subdomain", self.subdomain, methods=["GET"]),
        ]

    async def consent(self, request: Request) -> Response:
        """A page that asks whether the integration may have access, and then a redirect to the integration.

        With `sandbox_answer` of "allow" or "deny" the redirect comes at once; `sandbox_user` is the id of the user who
        allows it, the first administrator when it is not given. `mode` is ignored. That an unknown `client_id` is
        refused with the problem of the token endpoint, rather than with a page, is assumed.
        """
        query = request.query_params
        self.oauth.check_client(query.get("client_id"))
        state = {"state": query["state"]} if "state" in query else {}
        match query.get("sandbox_answer"):
            case "allow":
                code = self.oauth.issue_code(self._user(query.get("sandbox_user")))
                # The page is asked for at the vendor's own host, and the account has another one.
                referer = request.url.netloc.replace("www.", f"{self.account.profile['subdomain']}.", 1)
                parameters = {"code": code, "referer": referer, **state, "platform": "1"}
            case "deny":
                parameters = {"error": "access_denied", **state}
            case _:
                return HTMLResponse(self._page(request))
        separator = "&" if "?" in self.oauth.redirect_uri else "?"
        location = f"{self.oauth.redirect_uri}{separator}{urlencode(parameters)}"
        return RedirectResponse(location, HTTPStatus.FOUND)

    async def access_token(self, request: Request) -> Response:
        """A new pair of tokens, for an authorization code or for a refresh token."""
        try:
            data = body.parse(await request.body())
        except ValueError:
            data = {}
        access, refresh = self.oauth.exchange(data if isinstance(data, dict) else {}, request.url.netloc)
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": int(self.oauth.access_lifetime),
                "server_time": int(self.clock()),
                "access_token": access,
                "refresh_token": refresh,
            }
        )

    async def subdomain(self, request: Request) -> Response:
        """The account's current host, for a valid refresh token, which stays valid.

        The response, and its 401 for a token that is missing or dead, are assumed.
        """
        self.oauth.check_refresh_token(request.headers.get("x-refresh-token", ""))
        moved_to = self.oauth.moved_to
        domain = moved_to or request.url.netloc
        return JSONResponse(
            {
                "id": self.account.id,
                "subdomain": moved_to.partition(".")[0] if moved_to else self.account.profile["subdomain"],
                "domain": domain,
                "top_level_domain": domain.partition(":")[0].rpartition(".")[2],
            }
        )

    def _page(self, request: Request) -> str:
        query = [(name, value) for name, value in request.query_params.multi_items() if not name.startswith("sandbox_")]

        def answered(*answer: tuple[str, str]) -> str:
            return escape(f"/oauth?{urlencode([*query, *answer])}")

        users = "".join(
            f'<a href="{answered(("sandbox_answer", "allow"), ("sandbox_user", str(user["id"])))}">'
            f"allow as {escape(user['name'])}</a> "
            for user in self.account.current_users.values()
        )
        account, client = escape(str(self.account.profile["name"])), escape(self.oauth.client_id)
        return _CONSENT.format(account=account, client=client, users=users, deny=answered(("sandbox_answer", "deny")))

    def _user(self, asked: str | None) -> int | None:
        if asked is None:
            return None
        users = {str(key): key for key in self.account.current_users}
        if asked not in users:
            raise sign_in_refused(HTTPStatus.BAD_REQUEST, "Check the `sandbox_user` parameter")
        return users[asked]


async def relocate(app: ASGIApp, oauth: OAuth, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass a request to `app`, except one for the API of an account that has moved.

    The response is a 301 with an empty body (assumed), whatever the token, unless the request is to the new host.
    """
    url = HTTPConnection(scope).url
    if oauth.moved_to in (None, url.netloc) or not url.path.startswith("/api/"):
        await app(scope, receive, send)
    else:
        location = url.replace(scheme="https", netloc=oauth.moved_to)
        await RedirectResponse(location, HTTPStatus.MOVED_PERMANENTLY)(scope, receive, send)
