"""A team's server, from settings: its replicas, and what its operator does from a shell."""

from amo_mcp.compose.team.office import Office, Problem, look_at, open_office
from amo_mcp.compose.team.replica import Replica, open_replica
from amo_mcp.storage.postgres.state import State
from amo_mcp.team.audit import Kind
from amo_mcp.team.logs import JsonFormatter
from amo_mcp.team.people import Role, Token
from amo_mcp.team.settings import TeamSettings

__all__ = [
    "JsonFormatter",
    "Kind",
    "Office",
    "Problem",
    "Replica",
    "Role",
    "State",
    "TeamSettings",
    "Token",
    "look_at",
    "open_office",
    "open_replica",
]
