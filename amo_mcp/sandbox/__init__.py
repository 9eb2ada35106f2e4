"""A local amoCRM sandbox: an in-process stand-in for the customers, segments and statuses of the amoCRM API v4.

`Sandbox` is an ASGI application that keeps one account in memory, or in a JSON file, and follows the published
reference: its limits, palettes, modes, rights, sign-in and error bodies. `Fault` makes a request go wrong on purpose,
and `Unknowns` has a switch for each reading of what is not published. Nothing here has been compared with a live
account; where the reference is silent the docstring says "assumed".
"""

from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.api.access import ADMIN_TOKEN, USER_TOKEN
from amo_mcp.sandbox.faults.faults import Fault, Faults
from amo_mcp.sandbox.faults.recording import Request
from amo_mcp.sandbox.sandbox import Sandbox
from amo_mcp.sandbox.unknowns import Rule, Unknowns

__all__ = ["ADMIN_TOKEN", "USER_TOKEN", "Account", "Fault", "Faults", "Request", "Rule", "Sandbox", "Unknowns"]
