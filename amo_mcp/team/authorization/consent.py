"""What a person sees of signing in: our page that asks them, and what became of amoCRM's.

Our page is always shown. Its yes binds the rest to the browser that gave it: amoCRM's answer counts there alone, and
once. Whoever lets somebody else follow a link of theirs gets nothing by that.
"""

import hmac
import logging
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from mcp.server.auth.provider import construct_redirect_uri
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from amo_mcp import pages
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.oauth import SignInFailed
from amo_mcp.language import SOURCE, Message, known_language, message, texts
from amo_mcp.pages.guard import HEADERS, new_secret
from amo_mcp.team.authorization import addresses, store
from amo_mcp.team.authorization.identity import Integration
from amo_mcp.team.authorization.provider import CONSENT_PATH, digest
from amo_mcp.team.authorization.store import AuthorizationStore, Grant, WasRemoved
from amo_mcp.team.people import WRITE

logger = logging.getLogger(__name__)

_POLICY = "default-src 'none'; style-src 'self'; form-action {}; frame-ancestors 'none'; base-uri 'none'"

TOO_OLD = message(
    "This sign-in is too old, was used already, or was begun in another browser. Begin it again in your program."
)
NOT_CONFIRMED = message("amoCRM did not confirm who you are. Begin again in your program.")
OTHER_ACCOUNT = message(
    "You are signed in to another account of amoCRM than the one that this server is for. Change to {account} there, "
    "and begin again in your program."
)
REMOVED = message("An administrator has removed you from this server, and only they can let you in again.")


class Consent:
    """The pages of one server.

    Args:
        issuer: its address, without a path.
        integration: by which amoCRM says who somebody is.
        keys: sign the tokens of forms, the newest first.
    """

    def __init__(self, store: AuthorizationStore, issuer: str, integration: Integration, keys: list[bytes]) -> None:
        self._store = store
        self._issuer = issuer
        self._integration = integration
        self._keys = keys
        # Browsers take no `__Host-` cookie over plain http, which is for loopback alone.
        self._is_secure = issuer.startswith("https:")
        prefix = "__Host-" if self._is_secure else ""
        self._form_cookie, self._browser_cookie = f"{prefix}amo-consent", f"{prefix}amo-sign-in"

    async def ask(self, request: Request) -> Response:
        """The page that asks."""
        request_id = request.query_params.get("request", "")
        asked = await self._store.request(digest(request_id))
        if asked is None:
            return refusal(request, TOO_OLD)
        cookie = request.cookies.get(self._form_cookie) or new_secret()
        site = self._integration.consent_page("")
        sources = ["'self'", *map(addresses.source, (site, asked.redirect_uri))]
        page = _page(
            request,
            "consent.html",
            form_action=" ".join(sources),
            client=asked.client_name,
            # The id of a client that has registered itself says nothing to a person.
            client_id=asked.client_id if asked.client_id.startswith("https:") else "",
            destination=addresses.shown(asked.redirect_uri),
            writes=WRITE in asked.scope.split(),
            has_bootstrap=await self._store.bootstrap_is_open(),
            action=CONSENT_PATH,
            request_id=request_id,
            token=_token(self._keys[0], cookie, request_id),
        )
        self._set(page, self._form_cookie, cookie)
        return page

    async def answer(self, request: Request) -> Response:
        """What the person has said there: on to amoCRM, or back to the client."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        request_id, cookie = form.get("request", ""), request.cookies.get(self._form_cookie, "")
        presented = form.get("token", "").encode("utf-8", "surrogatepass")
        is_form = any(
            hmac.compare_digest(_token(key, cookie, request_id).encode(), presented) for key in self._keys if cookie
        )
        if request.headers.get("origin") != self._issuer or not is_form:
            return refusal(request, TOO_OLD, HTTPStatus.FORBIDDEN)
        if form.get("answer") != "yes":
            refused = await self._store.refuse(digest(request_id))
            return refusal(request, TOO_OLD) if refused is None else self._denied(refused)
        browser, state = request.cookies.get(self._browser_cookie) or new_secret(), new_secret()
        code = form.get("code", "").strip()
        admin = digest(code).hex() if code else ""
        if not await self._store.approve(digest(request_id), digest(state), digest(browser), admin):
            return refusal(request, TOO_OLD)
        response = RedirectResponse(self._integration.consent_page(state), HTTPStatus.SEE_OTHER, HEADERS)
        self._set(response, self._browser_cookie, browser)
        return response

    async def callback(self, request: Request) -> Response:
        """What amoCRM answers, on which the client gets its code."""
        query = request.query_params
        browser = request.cookies.get(self._browser_cookie, "")
        asked = await self._store.take(digest(query.get("state", "")), digest(browser)) if browser else None
        if asked is None:
            return refusal(request, TOO_OLD)
        if "error" in query:
            return self._denied(asked)
        if not self._integration.is_account(query.get("referer", "")):
            return refusal(request, message(OTHER_ACCOUNT.text, account=urlsplit(self._integration.base_url).netloc))
        try:
            identity = await self._integration.identify(query.get("code", ""))
            person = await self._store.know(identity.id, identity.name, asked.admin)
        except (SignInFailed, AmoError) as error:
            logger.warning("amoCRM did not say who somebody is: %s", type(error).__name__)
            return refusal(request, NOT_CONFIRMED)
        except WasRemoved:
            return refusal(request, REMOVED, HTTPStatus.FORBIDDEN)
        code = secrets.token_urlsafe(32)
        await self._store.add_code(digest(code), Grant(request=asked, person=person.id))
        return self._to_client(asked, code=code)

    async def disconnected(self, request: Request) -> Response:
        """End every sign-in of an account that has switched the integration off, as amoCRM says."""
        query = request.query_params
        account_id = query.get("account_id", "")
        if not self._integration.is_hook(account_id, query.get("client_uuid", ""), query.get("signature", "")):
            return Response(status_code=HTTPStatus.FORBIDDEN)
        ended = await self._store.end_all(f"{account_id}:")
        logger.warning("the integration was switched off in amoCRM: %d sign-ins were ended", ended)
        return Response()

    def _denied(self, asked: store.Request) -> Response:
        return self._to_client(asked, error="access_denied")

    def _to_client(self, asked: store.Request, **said: str) -> Response:
        location = construct_redirect_uri(asked.redirect_uri, **said, state=asked.state, iss=self._issuer)
        return RedirectResponse(location, HTTPStatus.SEE_OTHER, HEADERS)

    def _set(self, response: Response, name: str, value: str) -> None:
        """Keep something in the browser. It comes back by a link of amoCRM's page, with which Strict would not come."""
        seconds = int(store.REQUEST_SECONDS)
        response.set_cookie(name, value, seconds, path="/", secure=self._is_secure, httponly=True, samesite="lax")


def refusal(request: Request, why: Message, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Response:
    """A page that says what a person can do."""
    return _page(request, "sign_in_refused.html", status, why=why)


def _page(
    request: Request, name: str, status: int = HTTPStatus.OK, form_action: str = "'none'", **values: Any
) -> Response:
    languages = request.headers.get("accept-language", "").split(",")
    language = next(filter(None, (known_language(part.strip()) for part in languages)), SOURCE)
    html = pages.render(name, texts=texts(language), **values)
    headers = HEADERS | {"content-security-policy": _POLICY.format(form_action)}
    return Response(html, status, headers, "text/html")


def _token(key: bytes, cookie: str, request_id: str) -> str:
    """What a form has that was made for this browser and this request."""
    return hmac.digest(key, f"consent\n{cookie}\n{request_id}".encode("utf-8", "surrogatepass"), "sha256").hex()
