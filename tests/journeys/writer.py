"""A process that makes writes, each in a child of its own that is killed (`kill -9`) at a point of it.

Started by `killing`, it reads what to do from its input, a line of JSON each, and tells by which signal the child died.
One start of the interpreter is enough: each child is a process of its own all the same.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import filelock  # noqa: F401 - imported late by the product, which would cost each child anew
import httpx2  # noqa: F401
import tenacity  # noqa: F401
from amo_mcp.changes.outcome import listed
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.session import LongLivedToken, Session
from amo_mcp.changes.journal import Journal
from amo_mcp.reorganize.plan import PlannedChange, State, make_plan
from amo_mcp.sandbox import ADMIN_TOKEN
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.tools.changes import UndoChange, plan_undo
from amo_mcp.tools.plans import ApplyPlan

WRITES = ("create_segment", "update_segment", "delete_segment", "create_statuses", "update_status", "delete_status")


class Death:
    """Kills this process at a moment: before its `number`-th "record" or "request", or "after" one of them."""

    def __init__(self, kind: str, when: str, number: int) -> None:
        self._at = kind, when, number
        self._count = {"record": 0, "request": 0}

    @contextmanager
    def around(self, kind: str) -> Iterator[None]:
        self._meet(kind, "before")
        yield
        self._meet(kind, "after")
        self._count[kind] += 1

    def _meet(self, kind: str, when: str) -> None:
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
    os.kill(os.getpid(), signal.SIGKILL)


async def write(account: AmoAccount, what: str, changes: list[Any]) -> None:
    """One write; a plan is made of `changes`, and what is undone is the newest change."""
    client = account.client
    match what:
        case "create_segment":
            await account.create_segment(SegmentDraft(name="VIP", color="ae003f"))
        case "update_segment":
            fields = [{"field_id": 272429, "values": [{"value": "20"}]}, {"field_id": 272441, "values": None}]
            await account.update(await client.segment(51), SegmentPatch(name="A", custom_fields_values=fields))
        case "delete_segment":
            await account.delete(await client.segment(51))
        case "create_status":
            await account.create_statuses([StatusDraft(name="A", sort=2)])
        case "create_statuses":
            await account.create_statuses([StatusDraft(name=name, sort=2) for name in "AB"])
        case "update_status":
            await account.update(await client.status(4740013), StatusPatch(name="A", color="#fff000"))
        case "delete_status":
            await account.delete(await client.status(4740013))
        case "apply_plan":
            planned = [PlannedChange.model_validate(change) for change in changes]
            things = {
                kind: {thing.id: thing for thing in await listed(client, kind)}
                for kind in {item.kind for item in planned}
            }
            plan = make_plan(planned, State(things), now=time.time(), owner="")
            await account.journal.keep_plan(plan)
            await ApplyPlan(plan).write(account)
        case _:
            [(_, change)] = await account.journal.changes(1)
            await UndoChange(change, await plan_undo(account, change)).write(account)


async def main(url: str, file: str, what: str, changes: list[Any], at: list[Any]) -> None:
    death = Death(*at)
    for name in ("begin", "note"):
        death.wrap(Journal, name, "record")
    for name in WRITES:
        death.wrap(AmoClient, name, "request")
    client = AmoClient(Session(url, LongLivedToken(SecretStr(ADMIN_TOKEN)), HttpTransport(timeout=20), Unlimited()))
    await write(AmoAccount(client, Journal(Path(file))), what, changes)
    die()


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if not child:
            anyio.run(main, *json.loads(line))
        print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - that is the answer
