"""What a person sees of signing in: our page that asks them, and what became of amoCRM's.

Our page is always shown. Its yes binds the rest to the browser that gave it: amoCRM's answer counts there alone, and
once. Until then it can be answered anew there, by who has come back or has pressed twice. Whoever lets somebody else
follow a link of theirs gets nothing by that.
"""

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from mcp.server.auth.provider import construct_redirect_uri
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.oauth import SignInFailed
from amo_mcp.language import Message, message
from amo_mcp.pages.guard import HEADERS, new_secret
from amo_mcp.team.authorization import addresses, store
from amo_mcp.team.authorization.identity import Identity, Integration
from amo_mcp.team.authorization.provider import CONSENT_PATH
from amo_mcp.team.authorization.store import REQUEST_SECONDS, AuthorizationStore, Grant, WasRemoved, visit
from amo_mcp.team.browser import Cookie, CookieBrowsers
from amo_mcp.team.page import notice, page
from amo_mcp.team.people import WRITE, digest_of

logger = logging.getLogger(__name__)

TOO_OLD = message("This sign-in is too old, was used already, or was begun in another browser. Begin it again.")
NOT_CONFIRMED = message("amoCRM did not confirm who you are. Begin again.")
OTHER_ACCOUNT = message(
    "You are signed in to another account of amoCRM than the one that this server is for. Change to {account} there, "
    "and begin again."
)
NOT_SIGNED_IN = message("You are not signed in")
REMOVED = message("You were removed from this server, and only an administrator of it can let you in again.")


class Consent:
    """The pages of one server.

    Args:
        issuer: its address, without a path.
        integration: by which amoCRM says who somebody is.
        keep: keeps what they have allowed this server, where it works with the rights of each.
        keys: sign the tokens of forms, the newest first.
    """

    def __init__(
        self,
        store: AuthorizationStore,
        browsers: CookieBrowsers,
        issuer: str,
        integration: Integration,
        keep: Callable[[Identity], Awaitable[None]],
        keys: list[bytes],
    ) -> None:
        self._store = store
        self._browsers = browsers
        self._issuer = issuer
        self._integration = integration
        self._keep = keep
        self._keys = keys
        self._form_cookie = Cookie("amo-consent", issuer, REQUEST_SECONDS)
        self._browser_cookie = Cookie("amo-sign-in", issuer, REQUEST_SECONDS)

    async def begin(self, request: Request) -> Response:
        """Keep what a browser wants that signs in for itself, a page of ours, and send it to the page that asks."""
        to = request.query_params.get("to", "")
        request_id = secrets.token_urlsafe(32)
        await self._store.ask(digest_of(request_id), visit(to if to.startswith("/") else "/"))
        return RedirectResponse(f"{CONSENT_PATH}?request={request_id}", HTTPStatus.SEE_OTHER, HEADERS)

    async def ask(self, request: Request) -> Response:
        """The page that asks."""
        request_id = request.query_params.get("request", "")
        cookie = self._form_cookie.of(request) or new_secret()
        asked = await self._store.request(digest_of(request_id), digest_of(self._browser(request, cookie)))
        if asked is None:
            return refusal(request, TOO_OLD)
        form: dict[str, Any] = {
            "has_bootstrap": await self._store.bootstrap_is_open(),
            "action": CONSENT_PATH,
            "request_id": request_id,
            "token": _signed(self._keys[0], "consent", cookie, request_id),
        }
        sources = ["'self'", addresses.source(self._integration.consent_page(""))]
        if asked.is_visit:
            response = page(request, "sign_in.html", form_action=" ".join(sources), **form)
        else:
            response = page(
                request,
                "consent.html",
                form_action=" ".join([*sources, addresses.source(asked.redirect_uri)]),
                client=asked.client_name,
                # The id of a client that has registered itself says nothing to a person.
                client_id=asked.client_id if asked.client_id.startswith("https:") else "",
                destination=addresses.shown(asked.redirect_uri),
                writes=WRITE in asked.scope.split(),
                **form,
            )
        self._form_cookie.keep(response, cookie)
        return response

    async def answer(self, request: Request) -> Response:
        """What the person has said there: on to amoCRM, or back to the client."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        request_id, cookie = form.get("request", ""), self._form_cookie.of(request)
        presented = form.get("token", "").encode("utf-8", "surrogatepass")
        is_form = any(
            hmac.compare_digest(_signed(key, "consent", cookie, request_id).encode(), presented)
            for key in self._keys
            if cookie
        )
        if request.headers.get("origin") != self._issuer or not is_form:
            return refusal(request, TOO_OLD, HTTPStatus.FORBIDDEN)
        browser, state = self._browser(request, cookie), new_secret()
        if form.get("answer") != "yes":
            refused = await self._store.refuse(digest_of(request_id), digest_of(browser))
            return refusal(request, TOO_OLD) if refused is None else self._denied(request, refused)
        code = form.get("code", "").strip()
        admin = digest_of(code).hex() if code else ""
        if not await self._store.approve(digest_of(request_id), digest_of(state), digest_of(browser), admin):
            return refusal(request, TOO_OLD)
        response = RedirectResponse(self._integration.consent_page(state), HTTPStatus.SEE_OTHER, HEADERS)
        self._browser_cookie.keep(response, browser)
        return response

    async def callback(self, request: Request) -> Response:
        """What amoCRM answers, on which the browser is signed in, and the client gets its code."""
        query = request.query_params
        browser = self._browser_cookie.of(request)
        asked = await self._store.take(digest_of(query.get("state", "")), digest_of(browser)) if browser else None
        if asked is None:
            return refusal(request, TOO_OLD)
        if "error" in query:
            return self._denied(request, asked)
        if not self._integration.is_account(query.get("referer", "")):
            return refusal(request, message(OTHER_ACCOUNT.text, account=urlsplit(self._integration.base_url).netloc))
        try:
            identity = await self._integration.identify(query.get("code", ""))
            person = await self._store.know(identity.id, identity.name, asked.admin, asked.client_name)
            await self._keep(identity)
        except (SignInFailed, AmoError) as error:
            logger.warning("amoCRM did not say who somebody is: %s", type(error).__name__)
            return refusal(request, NOT_CONFIRMED)
        except WasRemoved:
            return refusal(request, REMOVED, HTTPStatus.FORBIDDEN)
        if asked.is_visit:
            response: Response = RedirectResponse(self._issuer + asked.redirect_uri, HTTPStatus.SEE_OTHER, HEADERS)
        else:
            code = secrets.token_urlsafe(32)
            await self._store.add_code(digest_of(code), Grant(request=asked, person=person.id))
            response = self._to_client(asked, code=code)
        await self._browsers.begin(request, response, person)
        return response

    async def disconnected(self, request: Request) -> Response:
        """End every sign-in of an account that has switched the integration off, as amoCRM says."""
        query = request.query_params
        account_id = query.get("account_id", "")
        if not self._integration.is_hook(account_id, query.get("client_uuid", ""), query.get("signature", "")):
            return Response(status_code=HTTPStatus.FORBIDDEN)
        ended = await self._store.end_all(f"{account_id}:")
        logger.warning("the integration was switched off in amoCRM: %d sign-ins were ended", ended)
        return Response()

    def _browser(self, request: Request, form_cookie: str) -> str:
        """By what a browser is known: the same when it answers again before it was told that."""
        return self._browser_cookie.of(request) or _signed(self._keys[0], "browser", form_cookie)

    def _denied(self, request: Request, asked: store.Request) -> Response:
        if asked.is_visit:
            return refusal(request, NOT_CONFIRMED)
        return self._to_client(asked, error="access_denied")

    def _to_client(self, asked: store.Request, **said: str) -> Response:
        location = construct_redirect_uri(asked.redirect_uri, **said, state=asked.state, iss=self._issuer)
        return RedirectResponse(location, HTTPStatus.SEE_OTHER, HEADERS)


def refusal(request: Request, why: Message, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Response:
    """A page that says what a person can do."""
    return notice(request, NOT_SIGNED_IN, why, status)


def _signed(key: bytes, *said: str) -> str:
    """What nobody can make without the key: a form's token for one browser and one request, say."""
    return hmac.digest(key, "\n".join(said).encode("utf-8", "surrogatepass"), "sha256").hex()
