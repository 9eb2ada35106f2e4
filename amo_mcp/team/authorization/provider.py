"""Codes and tokens for clients, as the SDK's handlers ask for them."""

import hmac
import logging
import math
import secrets
from collections.abc import Mapping

from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    TokenError,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl
from typing_extensions import override

from amo_mcp.team.authorization.clients import Client, Clients
from amo_mcp.team.authorization.store import ACCESS_SECONDS, AuthorizationStore, NewToken, Request
from amo_mcp.team.people import READ, digest_of, new_token

logger = logging.getLogger(__name__)

CONSENT_PATH = "/consent"


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """The provider of one server.

    Args:
        issuer: its address, without a path.
        resource: the address of what its tokens are for.
        keys: of the ring, by their ids, the newest first: successors of refresh tokens are made with them.
    """

    def __init__(
        self, store: AuthorizationStore, clients: Clients, issuer: str, resource: str, keys: Mapping[str, bytes]
    ) -> None:
        self._store = store
        self._clients = clients
        self._issuer = issuer
        self._resource = resource
        self._keys = keys

    @override
    async def get_client(self, client_id: str) -> Client | None:
        return await self._clients.get(client_id)

    @override
    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        await self._clients.register(client_info)

    @override
    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Keep the request, and send the browser to the page that asks the person."""
        assert isinstance(client, Client), "the SDK has it from `get_client`"
        if not self.is_ours(params.resource):
            raise AuthorizeError("invalid_target", "this server gives tokens for itself alone")
        request_id = secrets.token_urlsafe(32)
        request = Request(
            client_id=client.client_id,
            client_name=client.shown_name,
            redirect_uri=str(params.redirect_uri),
            given=params.redirect_uri_provided_explicitly,
            state=params.state,
            code_challenge=params.code_challenge,
            scope=" ".join(params.scopes or [READ]),
            resource=self._resource,
        )
        await self._store.ask(digest_of(request_id), request)
        return f"{self._issuer}{CONSENT_PATH}?request={request_id}"

    def is_ours(self, resource: str | None) -> bool:
        """Whether a client asks for tokens of this server; some do not name it at all."""
        return resource is None or resource.rstrip("/") == self._resource

    @override
    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        grant = await self._store.code(digest_of(authorization_code))
        if grant is None:
            return None
        asked = grant.request
        return AuthorizationCode(
            code=authorization_code,
            scopes=asked.scope.split(),
            # The database has looked, by its own clock.
            expires_at=math.inf,
            client_id=asked.client_id,
            code_challenge=asked.code_challenge,
            redirect_uri=AnyUrl(asked.redirect_uri),
            redirect_uri_provided_explicitly=asked.given,
            resource=asked.resource,
            subject=grant.person,
        )

    @override
    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        scope, refresh = " ".join(authorization_code.scopes), secrets.token_urlsafe(48)
        access, token = _access(scope)
        begun = await self._store.begin(digest_of(authorization_code.code), access, digest_of(refresh))
        if begun is None:
            raise TokenError("invalid_grant", "the code was used already")
        logger.info("%s signed in with the client %s", begun.person, begun.client_id)
        return OAuthToken(access_token=token, expires_in=ACCESS_SECONDS, scope=scope, refresh_token=refresh)

    @override
    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        known = await self._store.signed_in(digest_of(refresh_token))
        if known is None:
            return None
        scopes = known.scope.split()
        return RefreshToken(
            token=refresh_token, client_id=known.client_id, scopes=scopes, resource=self._resource, subject=known.person
        )

    @override
    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        access, token = _access(" ".join(scopes))
        successors = {key_id: _successor(key, refresh_token.token) for key_id, key in self._keys.items()}
        digests = {key_id: digest_of(successor) for key_id, successor in successors.items()}
        rotated = await self._store.rotate(digest_of(refresh_token.token), access, digests)
        if rotated.outcome == "reused":
            logger.warning("a refresh token of %s was used long after its turn: the sign-in was ended", rotated.person)
        if rotated.outcome != "ok":
            raise TokenError("invalid_grant", "the sign-in is over: sign in again")
        refresh = rotated.key_id and successors[rotated.key_id]
        scope = " ".join(scopes)
        return OAuthToken(access_token=token, expires_in=ACCESS_SECONDS, scope=scope, refresh_token=refresh)

    @override
    async def load_access_token(self, token: str) -> AccessToken | None:
        """Nothing: access tokens are looked up where requests come in."""
        return None

    @override
    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        """Nothing: see `app`."""


def _access(scope: str) -> tuple[NewToken, str]:
    token_id, token, kept = new_token()
    return NewToken(token_id, kept, scope), token


def _successor(key: bytes, refresh: str) -> str:
    """The refresh token that comes after another one: whoever has that and the key can make it again."""
    return hmac.digest(key, refresh.encode("utf-8", "surrogatepass"), "sha256").hex()
