"""A server whose way to the sandbox loses requests and answers, and what a call on it claims and does."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from mcp import Client
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.account import Account
from amo_mcp.storage.memory.rate_limit import Unlimited
from tests.clock import Clock
from tests.conftest import Person, answer, served_on

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
NOTHING = "Nothing was changed."
CREATED_AT = 1_700_000_000.0
"""The sandbox's time, in Unix seconds."""


@dataclass(frozen=True)
class ToolCall:
    """A tool, arguments that work, and the request that it is there for.

    Attributes:
        two_steps: whether it is confirmed by `confirm_change`; else in a dialog, where it is confirmed at all.
    """

    tool: str
    arguments: dict[str, Any]
    method: str
    path: str
    two_steps: bool = False

    @property
    def mode(self) -> str:
        return "periodicity" if self.path.startswith(STATUSES) else "segments"

    def __str__(self) -> str:
        return f"confirm_change of {self.tool}" if self.two_steps else self.tool


class LossyWire:
    """The way to the sandbox: on it an answer can be lost, and a request arrive when nobody waits for it any more.

    Args:
        seconds: how long a silence takes on a real connection; in process there is no waiting, and it ends at once.

    Attributes:
        silence: by method, how the next requests end: "never" (lost), "after" (the effect, then no answer) or "late"
            (the effect comes once the caller has gone).
        meanwhile: is called once, just before a write arrives.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.sandbox = Sandbox()
        self.silence: dict[str, list[str]] = {}
        self.meanwhile: Callable[[], object] | None = None
        self._seconds = seconds
        self._late: list[tuple[Scope, Receive]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET" and self.meanwhile:
            act, self.meanwhile = self.meanwhile, None
            act()
        silences = self.silence.get(scope["method"])
        if silences:
            await self._silent(silences.pop(), (scope, await _read(receive)))
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await self.sandbox.app(scope, receive, send)

    async def settle(self) -> None:
        """Let every late request arrive, and no more trouble befall it."""
        self.sandbox.faults.clear()
        self.silence, self.meanwhile = {}, None
        while self._late:
            if self._seconds:
                await anyio.sleep(self._seconds / 10)
            else:
                await self._perform(self._late.pop(0))

    async def _silent(self, kind: str, request: tuple[Scope, Receive]) -> None:
        if kind == "after":
            await self._perform(request)
        if kind == "late":
            self._late.append(request)
        if not self._seconds:
            raise httpx2.ReadTimeout("nobody answers")
        await anyio.sleep(self._seconds)
        if kind == "late":
            await self._perform(request)
            self._late.remove(request)

    async def _perform(self, request: tuple[Scope, Receive]) -> None:
        async def send(_: Message) -> None:
            pass

        await self.sandbox.app(*request, send)


async def _read(receive: Receive) -> Receive:
    """The whole body, as something that can be received later."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Bench:
    """One server and its clients, with a person who says yes; `reset` gives them an account of its own.

    Attributes:
        clients: by whether they confirm in two steps.
        slept: the seconds of every wait of the current call.
    """

    def __init__(self, http: HttpTransport, wire: LossyWire, url: str) -> None:
        self.http, self.wire = http, wire
        self.person = Person("yes")
        self.slept: list[float] = []
        self.clients: dict[bool, Client] = {}
        self._clock = Clock()
        self._sandboxes = {mode: Sandbox(mode=mode, clock=lambda: CREATED_AT) for mode in ("segments", "periodicity")}
        self._pristine = {mode: json.dumps(sandbox.account.document()) for mode, sandbox in self._sandboxes.items()}
        token, limiter = LongLivedToken(SecretStr(ADMIN_TOKEN)), Unlimited(self._clock)
        self.served = served_on(wire.sandbox, Session(url, token, http, limiter, sleep=self._sleep))

    def reset(self, mode: str) -> Sandbox:
        """Begin with a new account of this mode."""
        self.wire.sandbox = self.served.sandbox = sandbox = self._sandboxes[mode]
        vars(sandbox.account).update(vars(Account.read(self._pristine[mode])))
        self.begin()
        return sandbox

    def begin(self) -> None:
        """Begin a call, when every wait that was asked for before is over."""
        self.wire.sandbox.requests.clear()
        self.slept.clear()
        self._clock.now += 3600

    async def call(self, call: ToolCall, prepare: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        """Make the call; `prepare` is called just before the part of it that may write."""
        client, tool, arguments = self.clients[call.two_steps], call.tool, call.arguments
        if call.two_steps:
            preview = answer(await client.call_tool(tool, arguments))
            if "approval_id" not in preview["error"]:
                return preview
            tool, arguments = "confirm_change", {"approval_id": preview["error"]["approval_id"]}
        prepare()
        answered = answer(await client.call_tool(tool, arguments))
        await self.wire.settle()
        return answered

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def opened(
    era: str, http: HttpTransport | None = None, wire: LossyWire | None = None, url: str = "http://sandbox.localhost"
) -> AsyncIterator[Bench]:
    """A bench in process, or over `http` to `url`."""
    wire = wire or LossyWire()
    http = http or HttpTransport(timeout=20, app=wire)
    bench = Bench(http, wire, url)
    async with bench.served.client(era, bench.person) as dialog, bench.served.client(era) as plain:
        bench.clients = {False: dialog, True: plain}
        yield bench
    await http.aclose()


def claim_of(answered: dict[str, Any]) -> str:
    """What an answer says came of a call: "done" or an error's code."""
    return str(answered["error"]["code"]) if "error" in answered else "done"


def is_true(answered: dict[str, Any], account: Any, untouched: Any, done: Any) -> bool:
    """Whether the account is as the answer says: changed exactly once, not at all, or one of the two."""
    if "error" not in answered:
        return bool(account == done)
    if NOTHING in answered["error"]["message"]:
        return bool(account == untouched)
    return answered["error"]["code"] == "outcome_unknown" and account in (untouched, done)
