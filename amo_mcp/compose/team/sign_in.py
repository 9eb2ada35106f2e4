"""How people sign in to a team's server with amoCRM, from settings."""

import secrets
from collections.abc import Callable

from amo_mcp.compose.team.account import TeamAccount
from amo_mcp.storage.postgres.authorization import PostgresAuthorizationStore
from amo_mcp.storage.postgres.browsers import PostgresBrowserStore
from amo_mcp.storage.postgres.comparison import PostgresComparisonStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.authorization.app import AuthorizationServer
from amo_mcp.team.authorization.build import authorization_server
from amo_mcp.team.authorization.identity import Identity, Integration
from amo_mcp.team.browser import CookieBrowsers
from amo_mcp.team.comparison import Comparison
from amo_mcp.team.people import digest_of
from amo_mcp.team.settings import TeamSettings

Announce = Callable[[str], None]
"""Tells the operator the code that makes the first admin."""


class TeamSignIn:
    """Signing in with amoCRM.

    Attributes:
        server: where clients and browsers come for it.
        browsers: who is signed in in them.
        comparison: removes who is not in the account any more.
    """

    def __init__(
        self,
        settings: TeamSettings,
        database: Database,
        built: TeamAccount,
    ) -> None:
        assert settings.client_id is not None and settings.client_secret is not None, "both are set, or neither"
        self._store = PostgresAuthorizationStore(database)
        integration = Integration(
            settings.base_url,
            settings.client_id,
            settings.client_secret,
            settings.callback,
            built.http,
            built.limiter,
        )
        people = built.people

        async def keep(identity: Identity) -> None:
            if settings.is_per_person:
                await people.keep(identity.id, identity.account_id, identity.credentials)

        self.browsers = CookieBrowsers(PostgresBrowserStore(database), settings.public_url, settings.keys.cookies)
        self.server: AuthorizationServer = authorization_server(
            self._store, self.browsers, integration, settings.public_url, settings.keys, keep
        )

        comparisons = PostgresComparisonStore(database, PostgresPeopleStore(database))
        self.comparison = Comparison(comparisons, lambda person_id: built.accounts.of(person_id).client)

    async def announce(self, announce: Announce) -> None:
        """Tell the code that makes the first admin, at the first start of all."""
        code = secrets.token_urlsafe(16)
        if await self._store.begin_bootstrap(digest_of(code)):
            announce(code)
