"""Every page of a team's server."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from amo_mcp.team.browser import Browsers


def page_routes(browsers: Browsers) -> Sequence[BaseRoute]:
    """What browsers are shown, to whoever is signed in in them."""
    return []
