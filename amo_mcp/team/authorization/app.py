"""The authorization server by its routes: the SDK's handlers, and what is not left to them.

Its documents say what it does: documents of clients, public clients, `iss` in its answers. A person whose client is not
known, or asks to be answered elsewhere, is told so on a page. A resource that is not this server's is refused.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import AuthenticationError, ClientAuthenticator
from mcp.server.auth.provider import construct_redirect_uri
from mcp.server.auth.routes import cors_middleware
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import InvalidRedirectUriError
from pydantic import AnyUrl, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from amo_mcp import pages
from amo_mcp.language import message
from amo_mcp.team.authorization.consent import Consent, refusal
from amo_mcp.team.authorization.provider import CONSENT_PATH, Provider
from amo_mcp.team.authorization.store import AuthorizationStore
from amo_mcp.team.browser import SIGN_IN_PATH, SIGN_OUT_PATH, CookieBrowsers
from amo_mcp.team.people import READ, digest_of
from amo_mcp.team.settings import CALLBACK_PATH

DISCONNECTED_PATH = "/amocrm/disconnected"

UNKNOWN_CLIENT = message(
    "This server does not know the program that sent you here. Remove this server in the program, and connect it again."
)
WRONG_ADDRESS = message(
    "The program wants to be answered at an address that it has not registered. Remove this server in the program, and "
    "connect it again."
)

_Handler = Callable[[Request], Awaitable[Response]]

_RESOURCE = "/.well-known/oauth-protected-resource"


class AuthorizationServer:
    """The authorization server of one server.

    Args:
        browsers: those that people sign in by.
        issuer: its address, without a path.
        path: where what its tokens are for is.

    Attributes:
        routes: where it is asked.
        challenge: what a request without a good token is told (RFC 9728, section 5.1), to follow a scheme.
    """

    def __init__(
        self,
        provider: Provider,
        store: AuthorizationStore,
        consent: Consent,
        browsers: CookieBrowsers,
        issuer: str,
        path: str,
    ) -> None:
        self._provider = provider
        self._store = store
        self._issuer = issuer
        self.challenge = f'resource_metadata="{issuer}{_RESOURCE}{path}"'
        self._authenticator = ClientAuthenticator(provider)
        self._authorization = AuthorizationHandler(provider)
        self._tokens = TokenHandler(provider, self._authenticator)
        registration = RegistrationHandler(provider, ClientRegistrationOptions(enabled=True))

        def open_to_pages(path: str, handler: _Handler, method: str) -> Route:
            methods = [method, "OPTIONS"]
            return Route(path, cors_middleware(handler, methods), methods=methods)

        self.routes = [
            open_to_pages("/.well-known/oauth-authorization-server", self._metadata, "GET"),
            *(open_to_pages(_RESOURCE + end, self._resource_metadata(path), "GET") for end in (path, "")),
            open_to_pages("/register", registration.handle, "POST"),
            open_to_pages("/token", self._token, "POST"),
            open_to_pages("/revoke", self._revoke, "POST"),
            Route("/authorize", self._authorize, methods=["GET"]),
            Route(CONSENT_PATH, consent.ask, methods=["GET"]),
            Route(CONSENT_PATH, consent.answer, methods=["POST"]),
            Route(CALLBACK_PATH, consent.callback, methods=["GET"]),
            Route(SIGN_IN_PATH, consent.begin, methods=["GET"]),
            Route(SIGN_OUT_PATH, browsers.sign_out, methods=["POST"]),
            Route(DISCONNECTED_PATH, consent.disconnected, methods=["GET"]),
            Route("/style.css", _style, methods=["GET"]),
        ]

    async def _authorize(self, request: Request) -> Response:
        query = request.query_params
        client = await self._provider.get_client(query.get("client_id", ""))
        if client is None:
            return refusal(request, UNKNOWN_CLIENT)
        try:
            client.validate_redirect_uri(AnyUrl(query["redirect_uri"]) if "redirect_uri" in query else None)
        except (InvalidRedirectUriError, ValidationError):
            return refusal(request, WRONG_ADDRESS)
        response = await self._authorization.handle(request)
        location = response.headers.get("location", "")
        if location.startswith(self._issuer + CONSENT_PATH):
            return response
        if not location:
            return refusal(request, WRONG_ADDRESS)
        return RedirectResponse(construct_redirect_uri(location, iss=self._issuer), HTTPStatus.FOUND)

    async def tell_to_ask(self, token_id: str) -> None:
        """Note that the client of an access token is told that its person has to agree to more.

        Clients of the TypeScript SDK 1.x refresh then, are given the same again, and give up. So their next refresh
        fails, with the one error after which they ask their person, and keep the tokens that they have.
        """
        await self._store.tell_to_ask(token_id)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        resource, refresh = form.get("resource"), str(form.get("refresh_token", ""))
        if form.get("grant_type") == "refresh_token" and await self._store.is_to_ask(digest_of(refresh)):
            said = {"error": "server_error", "error_description": "the person has to agree to more: ask them"}
            return JSONResponse(said, HTTPStatus.BAD_REQUEST, _NO_STORE)
        if resource is not None and not self._provider.is_ours(str(resource)):
            said = {"error": "invalid_target", "error_description": "this server gives tokens for itself alone"}
            return JSONResponse(said, HTTPStatus.BAD_REQUEST, _NO_STORE)
        response: Response = await self._tokens.handle(request)
        return response

    async def _revoke(self, request: Request) -> Response:
        """As RFC 7009 says; the SDK's handler wants a secret of clients that have none."""
        try:
            client = await self._authenticator.authenticate_request(request)
        except AuthenticationError as error:
            said = {"error": "invalid_client", "error_description": error.message}
            return JSONResponse(said, HTTPStatus.UNAUTHORIZED, _NO_STORE)
        token = (await request.form()).get("token")
        if not isinstance(token, str):
            said = {"error": "invalid_request", "error_description": "token is needed"}
            return JSONResponse(said, HTTPStatus.BAD_REQUEST, _NO_STORE)
        await self._store.end(digest_of(token), client.client_id)
        return Response(headers=_NO_STORE)

    async def _metadata(self, _: Request) -> Response:
        """RFC 8414."""
        at = self._issuer
        document = {
            "issuer": at,
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "registration_endpoint": f"{at}/register",
            "revocation_endpoint": f"{at}/revoke",
            "scopes_supported": [READ],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": True,
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(document, headers=_CACHED)

    def _resource_metadata(self, path: str) -> _Handler:
        document = {
            "resource": self._issuer + path,
            "authorization_servers": [self._issuer],
            "scopes_supported": [READ],
            "bearer_methods_supported": ["header"],
            "resource_name": "amo-mcp",
        }

        async def answer(_: Request) -> Response:
            """RFC 9728."""
            return JSONResponse(document, headers=_CACHED)

        return answer


_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_CACHED = {"cache-control": "public, max-age=3600"}


async def _style(_: Request) -> Response:
    return Response(pages.team_stylesheet(), media_type="text/css")
