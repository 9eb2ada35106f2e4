"""How the people of a team's server are asked, from settings."""

import time
from functools import partial

from amo_mcp.confirmation.ask import Asker
from amo_mcp.confirmation.confirmation import Confirmation
from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.listen import listen
from amo_mcp.storage.postgres.approvals import PostgresApprovalStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.approval.asker import TeamAsker
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.settings import TeamSettings


def build_approvals(settings: TeamSettings, database: Database) -> Approvals:
    """The questions that are answered on pages of the server, and who may do that."""
    return Approvals(PostgresQuestionStore(database), settings.policies)


def build_asker(settings: TeamSettings, database: Database, approvals: Approvals) -> Confirmation:
    """On a page of the server, where people can sign in to it; in a dialog of who calls; else nobody can be asked."""
    if settings.confirm == "page" and settings.has_sign_in:
        return TeamAsker(approvals, settings.public_url)
    return Asker(PostgresApprovalStore(database), _no_page(), settings.confirm, "remote")


def _no_page() -> ApprovalPage:
    """A page that nobody is shown: no browser is beside a team's server."""

    async def open_nothing(_: str) -> bool:
        return False

    return ApprovalPage(partial(listen, "127.0.0.1", 0), open_nothing, opens=False, clock=time.time)
