"""`amo-mcp team`: what the operator of a team's server does from a shell, in the environment of the server."""

from amo_mcp.cli import Commands

command = Commands(
    __name__,
    {
        "token": "Make, list and revoke personal tokens.",
        "people": "List people, change a role, remove somebody.",
        "keys": "Make a key, see which are in use, encrypt anew.",
        "audit": "Print who did what, a JSON object on each line.",
        "doctor": "Check whether serving would work.",
    },
    name="team",
    help="Run a team's server: people, tokens, keys, checks.",
)
