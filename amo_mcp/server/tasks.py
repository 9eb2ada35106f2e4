"""The Tasks extension: a run as a task, for clients that ask how far it is instead of waiting in a call.

A task is a view of a run, and nothing is kept of it. Its id is the id of the change with a code that only this server
can make, for that caller: so it can neither be guessed nor used by somebody else.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, EmptyResult, RequestParams
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from amo_mcp.protocol import STATELESS_SINCE, Ctx

if TYPE_CHECKING:
    from amo_mcp.changes.leases import RunState
    from amo_mcp.server.base import McpServer
    from amo_mcp.server.handlers import Handlers

POLL_MS = 1000
"""Milliseconds after which a client is to ask again."""


class TaskParams(RequestParams):
    """What `tasks/get`, `tasks/update` and `tasks/cancel` are given; no task of ours asks for anything."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    task_id: str


class Tasks:
    """The tasks of one server.

    Args:
        keys: the first makes ids, and all of them are known.
        handlers: gives what works on the account.
    """

    def __init__(self, keys: Sequence[bytes], handlers: "Callable[[], Handlers]") -> None:
        self._keys = [hmac.digest(key, b"amo-mcp tasks", "sha256") for key in keys]
        self._handlers = handlers

    def serve(self, server: "McpServer") -> None:
        """Answer the methods of the extension."""
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    def created(self, run: "RunState") -> dict[str, Any]:
        """The result of a call whose run goes on as a task."""
        return {"resultType": "task", **self._task(run)}

    async def get(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        """Answer `tasks/get`.

        A run that was stopped has completed: what was done of it stays, and its result says so.

        Raises:
            MCPError: the caller has no such task (-32602).
        """
        run = await self._run(ctx, params)
        if run is None:
            raise MCPError(code=INVALID_PARAMS, message="There is no such task, or it is not the caller's")
        if run.record.status == "running":
            return self._task(run)
        result = await self._handlers().end_of(run)
        return self._task(run) | {"status": "completed", "result": result.model_dump(mode="json", by_alias=True)}

    async def update(self, ctx: Ctx, params: TaskParams) -> EmptyResult:
        """Acknowledge `tasks/update`."""
        _check_era(ctx)
        return EmptyResult()

    async def cancel(self, ctx: Ctx, params: TaskParams) -> EmptyResult:
        """Acknowledge `tasks/cancel`; the run stops between two steps, if it is the caller's and goes on."""
        if run := await self._run(ctx, params):
            await self._handlers().account.stop_run(run)
        return EmptyResult()

    async def _run(self, ctx: Ctx, params: TaskParams) -> "RunState | None":
        _check_era(ctx)
        from amo_mcp.confirmation.caller import caller_of

        change_id, _, code = params.task_id.partition(".")
        owner, given = caller_of(ctx).digest, code.encode("utf-8", "replace")
        if not any(hmac.compare_digest(_code(key, change_id, owner).encode(), given) for key in self._keys):
            return None
        return await self._handlers().account.run(change_id)

    def _task(self, run: "RunState") -> dict[str, Any]:
        from amo_mcp.changes.parts import made

        change_id = run.record.id
        done, total = made(run.record.steps)
        return {
            "taskId": f"{change_id}.{_code(self._keys[0], change_id, run.owner)}",
            "status": "working",
            "statusMessage": f"Change {change_id}: {done} of {total} steps are done.",
            "createdAt": _moment(run.record.at),
            "lastUpdatedAt": _moment(run.noted),
            "ttlMs": None,
            "pollIntervalMs": POLL_MS,
        }


def _code(key: bytes, change_id: str, owner: str) -> str:
    return hmac.new(key, f"{change_id} {owner}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def _check_era(ctx: Ctx) -> None:
    """Raise MCPError (-32601) in the older era, whose methods of these names are others."""
    if ctx.protocol_version < STATELESS_SINCE:
        raise MCPError(code=METHOD_NOT_FOUND, message="Method not found", data=ctx.method)
