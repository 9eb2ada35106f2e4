"""The authorization server of a team's server, put together."""

from collections.abc import Awaitable, Callable

from amo_mcp.keys import Keys
from amo_mcp.team.authorization.app import AuthorizationServer
from amo_mcp.team.authorization.clients import Clients
from amo_mcp.team.authorization.consent import Consent
from amo_mcp.team.authorization.fetch import fetch
from amo_mcp.team.authorization.identity import Identity, Integration
from amo_mcp.team.authorization.provider import Provider
from amo_mcp.team.authorization.store import AuthorizationStore
from amo_mcp.team.browser import CookieBrowsers
from amo_mcp.transports.http import PATH


def authorization_server(
    store: AuthorizationStore,
    browsers: CookieBrowsers,
    integration: Integration,
    public_url: str,
    keys: Keys,
    keep: Callable[[Identity], Awaitable[None]],
    *,
    fetch: Callable[[str], Awaitable[bytes]] = fetch,
) -> AuthorizationServer:
    """The authorization server of the server at `public_url`; clients' documents are fetched by `fetch`.

    What a person has allowed it is given to `keep`.
    """
    provider = Provider(store, Clients(store, fetch), public_url, public_url + PATH, keys.refreshing)
    consent = Consent(store, browsers, public_url, integration, keep, keys.cookies)
    return AuthorizationServer(provider, store, consent, browsers, public_url, PATH)
