"""The SDK's own authorization server, as it is without anything of ours, with a provider that keeps what it is told."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from typing_extensions import override

from tests.team.authorization.world import DOCUMENT, URL


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Does what the SDK asks it to, and nothing beyond."""

    def __init__(self) -> None:
        self.codes: dict[str, AuthorizationCode] = {}

    @override
    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        known = {**DOCUMENT, "scope": "segments:read"}
        return OAuthClientInformationFull.model_validate(known) if client_id == DOCUMENT["client_id"] else None

    @override
    async def register_client(self, client_info: OAuthClientInformationFull) -> None: ...

    @override
    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(24),
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=True,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    @override
    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    @override
    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        return OAuthToken(access_token=secrets.token_urlsafe(24), expires_in=600, scope="segments:read")

    @override
    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        raise NotImplementedError

    @override
    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        raise NotImplementedError

    @override
    async def load_access_token(self, token: str) -> AccessToken | None:
        return None

    @override
    async def revoke_token(self, token: AccessToken | RefreshToken) -> None: ...


@asynccontextmanager
async def bare_sdk() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it."""
    scopes = ["segments:read", "segments:write"]
    settings = AuthSettings(
        issuer_url=AnyHttpUrl(URL),
        resource_server_url=AnyHttpUrl(f"{URL}/mcp"),
        validate_token_resource=True,
        required_scopes=["segments:read"],
        client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=scopes),
        revocation_options=RevocationOptions(enabled=True),
    )
    app = MCPServer("bare", auth_server_provider=Provider(), auth=settings).streamable_http_app()
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=URL) as client,
    ):
        yield client
