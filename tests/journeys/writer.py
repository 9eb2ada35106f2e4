"""A process that makes writes, each in a child of its own that is killed (`kill -9`) at a point of it.

Started by `test_kills`, it reads what to do from its input, a line of JSON each, and answers by which signal the child
died. One start of the interpreter is enough: each child is a process of its own all the same.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.custom_fields import FieldInput
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import StatusDraft
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import new_id
from amo_mcp.changes.snapshot import read_snapshot
from amo_mcp.reorganize.plan import PlannedChange, make_plan
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.tools import changes, segments, statuses
from amo_mcp.tools.runtime.tool import Confirm, ToolDefinition
from tests.conftest import account_on, session_at
from tests.storage.backends import open_sqlite

REQUESTS = ("create_segment", "update_segment", "delete_segment", "create_statuses", "update_status", "delete_status")
"""The client's methods that write."""


class Death:
    """Kills this process at a moment: before its `number`-th "record" or "request", or "after" one of them."""

    def __init__(self, kind: str, when: str, number: int) -> None:
        self._at = kind, when, number
        self._count = {"record": 0, "request": 0}

    @contextmanager
    def around(self, kind: str) -> Iterator[None]:
        """A record or a request."""
        self._reach(kind, "before")
        yield
        self._reach(kind, "after")
        self._count[kind] += 1

    def _reach(self, kind: str, when: str) -> None:
        if (kind, when, self._count[kind]) == self._at:
            die()

    def wrap(self, owner: type, name: str, kind: str) -> None:
        """Let the method of `owner` be a record or a request."""
        method: Callable[..., Any] = getattr(owner, name)

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            with self.around(kind):
                return await method(*arguments, **named)

        setattr(owner, name, wrapped)


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


async def write(account: AmoAccount, what: str, planned: list[Any]) -> None:
    """One write, as if a person had said yes; a plan is made of `planned`, and the newest change is what is undone."""
    match what:
        case "create_segment":
            await segments.create_segment.fn(account, name="VIP", color="ae003f")
        case "update_segment":
            values = [{"field_id": 272429, "values": [{"value": "20"}]}, {"field_id": 272441, "values": []}]
            fields = [FieldInput.model_validate(field) for field in values]
            await confirmed(account, segments.update_segment, 51, name="A", custom_fields_values=fields)
        case "delete_segment":
            await confirmed(account, segments.delete_segment, 51)
        case "create_status":
            await statuses.create_statuses.fn([StatusDraft(name="A", sort=2)], account)
        case "create_statuses":
            await statuses.create_statuses.fn([StatusDraft(name=name, sort=2) for name in "AB"], account)
        case "update_status":
            await confirmed(account, statuses.update_status, 4740013, name="A", color="#fff000")
        case "delete_status":
            await confirmed(account, statuses.delete_status, 4740013)
        case "apply_plan":
            wanted = [PlannedChange.model_validate(change) for change in planned]
            snapshot = await read_snapshot(account.client, {change.kind for change in wanted})
            plan, _ = make_plan(wanted, snapshot, plan_id=new_id(), made=time.time(), owner="")
            await account.plans.keep(plan)
            await account.execute("apply_plan", PendingChange(plan.steps, plan_id=plan.id))
        case _:
            [(_, newest)] = await account.journal.changes(1)
            await confirmed(account, changes.undo_change, newest.id)


async def confirmed(account: AmoAccount, tool: ToolDefinition, target: object, **arguments: Any) -> None:
    """Carry out what a destructive tool returns."""
    returned = await tool.fn(target, account, **arguments)
    assert isinstance(returned, Confirm)
    await account.execute(tool.name, returned.change)


async def main(url: str, folder: str, what: str, planned: list[Any], at: tuple[str, str, int]) -> None:
    """Write, and be killed: at a point of it, or at its end."""
    death = Death(*at)
    for name in ("begin", "note"):
        death.wrap(SqliteJournal, name, "record")
    for name in REQUESTS:
        death.wrap(AmoClient, name, "request")
    journal, plans = open_sqlite(Path(folder))
    await write(account_on(session_at(url, HttpTransport(timeout=20)), journal, plans), what, planned)
    die()


if __name__ == "__main__":
    for module in ("filelock", "httpx2", "sqlite3", "tenacity"):
        import_module(module)  # The package imports them late, which would cost each child anew.
    for line in sys.stdin:
        child = os.fork()
        if not child:
            anyio.run(main, *json.loads(line))
        sys.stdout.write(f"{os.WTERMSIG(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
