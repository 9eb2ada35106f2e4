"""Every page of a team's server."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from amo_mcp.compose.team.account import TeamAccount
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.approval.pages import ApprovalPages
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.browser import Browsers
from amo_mcp.team.pages.routes import Parts, routes
from amo_mcp.team.refusals import Refusals
from amo_mcp.team.settings import TeamSettings


def page_routes(
    settings: TeamSettings,
    database: Database,
    browsers: Browsers,
    approvals: Approvals,
    refusals: Refusals,
    built: TeamAccount,
) -> Sequence[BaseRoute]:
    """What browsers are shown, to whoever is signed in in them."""
    parts = Parts(
        settings.public_url,
        settings.keys,
        browsers,
        PostgresPeopleStore(database),
        PostgresAudit(database),
        refusals,
        approvals.pending,
        built.accounts,
    )
    return [*ApprovalPages(approvals, browsers, built.runs).routes(), *routes(parts)]
