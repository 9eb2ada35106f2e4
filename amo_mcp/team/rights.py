"""Who may do what: looked at in one place, before anything else is done with a message.

A role is of the person and is looked at with each request: who is made a viewer while a question of theirs is open can
no longer answer it.
"""

from collections.abc import Mapping

from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, METHOD_NOT_FOUND
from mcp_types.methods import serialize_server_result

from amo_mcp.confirmation.caller import client_of_caller
from amo_mcp.failures.failure import Failure
from amo_mcp.protocol import Ctx
from amo_mcp.team.audit import Actor
from amo_mcp.team.people import Person, Role, includes
from amo_mcp.team.refusals import Refusals
from amo_mcp.team.signed_in import may_write, signed_in
from amo_mcp.tools.runtime.catalog import CatalogEntry
from amo_mcp.tools.runtime.runner import failed

METHODS: Mapping[str, Role] = {
    "completion/complete": "viewer",
    "initialize": "viewer",
    "ping": "viewer",
    "prompts/get": "viewer",
    "prompts/list": "viewer",
    "resources/list": "viewer",
    "resources/read": "viewer",
    "resources/templates/list": "viewer",
    "server/discover": "viewer",
    "subscriptions/listen": "viewer",
    "tasks/cancel": "editor",
    "tasks/get": "viewer",
    "tasks/update": "viewer",
    "tools/call": "viewer",
    "tools/list": "viewer",
}
"""What each request needs; of a call the tool decides then. A method that is not here is for nobody."""

_PLANNING = {"plan_changes"}
"""Tools that change nothing, and are not for viewers: they could do nothing with a plan."""

_AWAY = Failure("unavailable", "The server's database cannot be used now.", "Try again in a minute.", retryable=True)


class Rights:
    """As middleware: refuses what the role of who calls does not allow, and leaves it out of the list of tools.

    Who says yes to a change that a dialog asks about is who called, so their role has to allow that.

    Args:
        tools: every tool by name.
        refusals: are told what a role did not allow.
        dialog: whether a dialog asks.
    """

    def __init__(self, tools: Mapping[str, CatalogEntry], refusals: Refusals, *, dialog: bool) -> None:
        self._tools = tools
        self._refusals = refusals
        self._dialog = dialog

    async def __call__(self, ctx: Ctx, call_next: CallNext) -> HandlerResult:
        """Pass a message on, or refuse it: a call of a tool by its answer, any other request by an error."""
        person = signed_in()
        if ctx.method == "tools/call" and (failure := self._refusal(person, (ctx.params or {}).get("name"))):
            if person is not None and failure.code == "forbidden":
                by = Actor(person.id, person.name, client_of_caller(ctx))
                await self._refusals.note(by, str((ctx.params or {})["name"]))
            answer = failed(failure).model_dump(mode="json", by_alias=True, exclude_none=True)
            return serialize_server_result(ctx.method, ctx.protocol_version, answer)
        if person is None:
            raise MCPError(code=INTERNAL_ERROR, message=str(_AWAY))
        needed = METHODS.get(ctx.method)
        if ctx.request_id is not None and (needed is None or not includes(person.role, needed)):
            raise MCPError(code=METHOD_NOT_FOUND, message="Method not found", data=ctx.method)
        result = await call_next(ctx)
        if ctx.method == "tools/list" and isinstance(result, dict):
            return result | {"tools": [one for one in result["tools"] if self._may_call(person, one["name"])]}
        return result

    def _refusal(self, person: Person | None, name: object) -> Failure | None:
        """Why somebody may not call a tool; None when they may, or when there is no such tool."""
        if person is None:
            return _AWAY
        if not isinstance(name, str) or name not in self._tools:
            return None
        if not self._may_call(person, name):
            return Failure(
                "forbidden",
                f"Your role on this server is {person.role}, and {name} needs the role {_needed(self._tools[name])}.",
                "An admin of this server can change your role.",
            )
        if not may_write() and _needed(self._tools[name]) != "viewer":
            return Failure(
                "forbidden",
                f"This client was allowed to read only, and {name} changes something.",
                "Connect it to this server again, and let it change things.",
            )
        if self._dialog and self._tools[name].asks and not includes(person.role, "approver"):
            return Failure(
                "cannot_ask",
                f"This needs an approver's yes, and a dialog asks only who calls, whose role is {person.role}.",
                "Somebody whose role is approver or admin can do it.",
            )
        return None

    def _may_call(self, person: Person, name: str) -> bool:
        return includes(person.role, _needed(self._tools[name]))


def needed(tools: Mapping[str, CatalogEntry], method: str, name: object) -> Role | None:
    """The role that a request needs, a call by the name of its tool; None when there is no such method."""
    entry = tools.get(name) if method == "tools/call" and isinstance(name, str) else None
    return METHODS.get(method) if entry is None else _needed(entry)


def _needed(entry: CatalogEntry) -> Role:
    return "editor" if entry.writes or entry.listed.name in _PLANNING else "viewer"
