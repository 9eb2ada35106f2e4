"""Every page of a team's server."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from amo_mcp.changes.runs import Runs
from amo_mcp.team.approval.pages import ApprovalPages
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.browser import Browsers


def page_routes(browsers: Browsers, approvals: Approvals, runs: Runs) -> Sequence[BaseRoute]:
    """What browsers are shown, to whoever is signed in in them."""
    return ApprovalPages(approvals, browsers, runs).routes()
