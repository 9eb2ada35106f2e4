"""amoCRM's side: the sandbox over HTTP, which sees what really happens, and strikes replicas at points of a plan."""

import json
import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.sandbox import Sandbox
from tests.bodies import receiving, whole_body

Point = Literal["reading", "pending", "effect", "answer"]
"""Where a replica is struck: while it reads the account before a step; when the request of a step that is recorded as
pending arrives, without an effect; when the request has had its effect; when it has been answered."""

Strike = Callable[[int, Point], str | None]
"""Is called at every point of every request with the process that sent it, and gives "kill" when that was killed."""


@dataclass
class Effect:
    """A write that was made.

    Attributes:
        at: monotonic seconds.
        changed: whether the account is another one than before.
    """

    at: float
    method: str
    path: str
    body: Any
    changed: bool


@dataclass
class World:
    """The sandbox, with its eyes open.

    Attributes:
        strike: what becomes of whoever sends requests.
        processes: the processes that may send any.
        effects: every write that was made, in order.
    """

    sandbox: Sandbox
    processes: Callable[[], Collection[int]] = lambda: ()
    strike: Strike = lambda _process, _point: None
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._one_at_a_time = anyio.Lock()
        self._app = self.sandbox.app
        self.sandbox.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        process = sender(scope["client"][1], self.processes())
        if scope["method"] == "GET":
            if process and self.strike(process, "reading") == "kill":
                return await _gone(receive)
            await self._app(scope, receive, send)
            return
        if process and self.strike(process, "pending") == "kill":
            return await _gone(receive)
        body = await whole_body(receive)
        response: list[Message] = []

        async def keep(message: Message) -> None:
            response.append(message)

        async with self._one_at_a_time:
            before = self._state()
            await self._app(scope, receiving(body), keep)
            changed = self._state() != before
        parsed = json.loads(body) if body else None
        self.effects.append(Effect(time.monotonic(), scope["method"], scope["path"], parsed, changed))
        if process and self.strike(process, "effect") == "kill":
            return await _gone(receive)
        for message in response:
            await send(message)
        if process:
            self.strike(process, "answer")

    def _state(self) -> str:
        """Everything but when it was changed last."""
        account = self.sandbox.account
        entities = [*account.segments.values(), *account.customers.values()]
        return json.dumps([{**one, "updated_at": None} for one in entities], sort_keys=True)


def sender(port: int, processes: Collection[int]) -> int | None:
    """Which of the processes has the socket of a connection from this port of loopback."""
    inode = _inode(port)
    for process in processes:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == f"socket:[{inode}]":
                        return process
    return None


def _inode(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        local, inode = line.split()[1], line.split()[9]
        if int(local.rpartition(":")[2], 16) == port and inode != "0":
            return inode
    return ""


async def _gone(receive: Receive) -> None:
    """Nobody is there any more; wait until the server has noticed."""
    while (await receive())["type"] != "http.disconnect":
        pass
