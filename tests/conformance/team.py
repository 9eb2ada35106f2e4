"""A team's server for the conformance suite. A client of the suite signs in nowhere: it has the token of an admin."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from amo_mcp.compose.team import TeamSettings, open_replica
from amo_mcp.listen import authority, listen
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.people import new_token
from amo_mcp.tools.runtime.catalog import CatalogEntry, catalog
from amo_mcp.transports.uvicorn import HttpServer
from scripts import postgres
from tests.conformance.fixtures import Fixtures
from tests.conformance.registry import TOOLS
from tests.team.environment import KEY

_NO_LOGGING = "what the product does without, here logging, is for nobody on a team's server"
_NO_QUESTIONS = "without sessions a client of this revision cannot be asked anything in the middle of a call"
_NO_SESSION = "without a session the suite finds nothing to check"
_NO_NEWS = "without sessions a client of this revision cannot be told of a change"

REFUSED: Mapping[str, Mapping[str, str]] = {
    "2026-07-28": {},
    "2025-11-25": {
        "logging-set-level": _NO_LOGGING,
        "tools-call-with-logging": _NO_LOGGING,
        "tools-call-sampling": _NO_QUESTIONS,
        "tools-call-elicitation": _NO_QUESTIONS,
        "elicitation-sep1034-defaults": _NO_QUESTIONS,
        "elicitation-sep1330-enums": _NO_QUESTIONS,
        "server-sse-multiple-streams": _NO_SESSION,
        "resources-subscribe": _NO_NEWS,
        "resources-unsubscribe": _NO_NEWS,
    },
}
"""Scenarios of each revision that a team's server does not pass, and why; it advertises nothing of them."""


@asynccontextmanager
async def team_server() -> AsyncIterator[str]:
    """The address of one replica with the fixtures, as long as the context."""
    sandbox = Sandbox(mode="segments")
    with postgres.running() as cluster, running(sandbox) as amo, listen("127.0.0.1", 0) as listener:
        url = SecretStr(cluster.url())
        token = await _token(url)
        settings = TeamSettings(
            public_url=f"http://{authority(listener)}",
            database_url=url,
            secret_key=SecretStr(KEY),
            base_url=amo,
            access_token=SecretStr(ADMIN_TOKEN),
            confirm="dialog",
            client_id=sandbox.oauth.client_id,
            client_secret=SecretStr(sandbox.oauth.client_secret),
        )
        sandbox.oauth.redirect_uri = settings.callback
        async with open_replica(settings, lambda _: None) as replica:

            async def signed_in(scope: Scope, receive: Receive, send: Send) -> None:
                if scope["type"] == "http":
                    scope = {**scope, "headers": [*scope["headers"], (b"authorization", f"Bearer {token}".encode())]}
                await replica.front(scope, receive, send)

            serving, ready = HttpServer(replica.app, listener, signed_in), anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(serving.serve_until_stopped, ready.set)
                await ready.wait()
                # It knows its own tools by now; from here on the fixtures are anybody's who may read.
                catalog().update({name: CatalogEntry("", fixture.listed) for name, fixture in TOOLS.items()})
                Fixtures(replica.app.server)
                yield serving.url
                serving.stop()


async def _token(url: SecretStr) -> str:
    """What an admin signs in with."""
    database = Database(url)
    await database.open()
    token_id, token, digest = new_token()
    await PostgresPeopleStore(database).add_token(token_id, digest, "Анна", "admin", None)
    await database.close()
    return token
