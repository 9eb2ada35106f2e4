"""Many calls after one another, through trouble and beside other people's edits: what is claimed is what is there.

A write whose answer says `outcome_unknown` leaves two worlds possible; the account itself then tells which it is.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mcp import Client
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session
from amo_mcp.changes.journal import Journal
from amo_mcp.confirmation.ask import AppState
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.api import segments, statuses
from amo_mcp.server.app import AmoServer
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.memory.rate_limit import Unlimited
from tests.conftest import Person, Served, answer

pytestmark = pytest.mark.exhaustive

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
NOTHING = "Nothing was changed."
NOW = 1_700_000_000.0


@dataclass(frozen=True)
class Way:
    """One way to do one thing: a tool, arguments that work, and the request that it is there for."""

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


class Wire:
    """The way to the sandbox: on it an answer can be silent, and a request arrive when nobody waits for it any more.

    Args:
        seconds: how long a silence takes on a real connection; in process there is no waiting, and it is told at once.

    `silence` says, by method, how the next requests end: "never" (lost), "after" (the effect, then no answer) or "late"
    (the effect comes once the caller has gone). `meanwhile` is called once, just before a write arrives.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.sandbox = Sandbox()
        self.silence: dict[str, list[str]] = {}
        self.meanwhile: Callable[[], object] | None = None
        self._seconds = seconds
        self._late: list[tuple[Any, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] != "GET" and self.meanwhile:
            self.meanwhile, act = None, self.meanwhile
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

    async def _silent(self, kind: str, request: tuple[Any, Any]) -> None:
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

    async def _perform(self, request: tuple[Any, Any]) -> None:
        async def send(_: Any) -> None:
            pass

        await self.sandbox.app(*request, send)


async def _read(receive: Any) -> Any:
    """The whole body, as something that can be received later."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)

    async def again() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Bench:
    """One server and its clients, with a person who says yes; `reset` gives them an account of its own."""

    def __init__(self, http: HttpTransport, to_payload: Wire, root: str) -> None:
        self.http, self.to_payload = http, to_payload
        self.person = Person("yes")
        self.slept: list[float] = []
        self._sandboxes = {mode: Sandbox(mode=mode, clock=lambda: NOW) for mode in COLORS}
        self._pristine = {mode: json.dumps(sandbox.account.document()) for mode, sandbox in self._sandboxes.items()}
        self._root = root
        self._account = AmoAccount(AmoClient(self._transport()), Journal())
        server = AmoServer(AppState(self._account, MemoryApprovalStore(), two_step=True), read_only=False)
        self.served = Served(server, to_payload.sandbox, MemoryApprovalStore())
        self.clients: dict[bool, Client] = {}

    def reset(self, mode: str) -> Sandbox:
        self.to_payload.sandbox = self.served.sandbox = sandbox = self._sandboxes[mode]
        vars(sandbox.account).update(vars(Account.read(self._pristine[mode])))
        self.reconnect()
        return self.to_payload.sandbox

    def reconnect(self) -> None:
        """Begin afresh, without a wait that was asked for before."""
        self.to_payload.sandbox.requests.clear()
        self._account.client = AmoClient(self._transport())
        self.slept.clear()

    async def call(self, way: Way, prepare: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        """Make the call; `prepare` is called just before the part of it that may write."""
        client, tool, arguments = self.clients[way.two_steps], way.tool, way.arguments
        if way.two_steps:
            asked = answer(await client.call_tool(tool, arguments))
            if "approval_id" not in asked["error"]:
                return asked
            tool, arguments = "confirm_change", {"approval_id": asked["error"]["approval_id"]}
        prepare()
        told = answer(await client.call_tool(tool, arguments))
        await self.to_payload.settle()
        return told

    def _transport(self) -> Session:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return Session(self._root, LongLivedToken(SecretStr(ADMIN_TOKEN)), self.http, Unlimited(), sleep=sleep)


@asynccontextmanager
async def opened(
    era: str, http: HttpTransport | None = None, to_payload: Wire | None = None, root: str = "http://sandbox.localhost"
) -> AsyncIterator[Bench]:
    """A bench in process, or over `http` to `root`."""
    to_payload = to_payload or Wire()
    http = http or HttpTransport(timeout=20, app=to_payload)
    bench = Bench(http, to_payload, root)
    async with bench.served.client(era, bench.person) as dialog, bench.served.client(era) as plain:
        bench.clients = {False: dialog, True: plain}
        yield bench
    await http.aclose()


def claimed(told: dict[str, Any]) -> str:
    return str(told["error"]["code"]) if "error" in told else "done"


def holds_as_told(told: dict[str, Any], held: Any, untouched: Any, done: Any) -> bool:
    """Whether what is held is what the answer says: done exactly once, not at all, or one of the two."""
    if "error" not in told:
        return bool(held == done)
    if NOTHING in told["error"]["message"]:
        return bool(held == untouched)
    return told["error"]["code"] == "outcome_unknown" and held in (untouched, done)


Row = tuple[Any, ...]
WRITES = ("POST", "PATCH", "DELETE")
MOST = 20
NAMES = ("Гости", "VIP", "Сезон")
COLORS = {"segments": ("b118c8", "dd1c1a"), "periodicity": ("#fff000", "#ffdc7f")}
FOREIGN = {"segments": "4f517d", "periodicity": "#ccc8f9"}
REFUSALS = [400, 401, 402, 403, 405, 413, 422]
BROKEN = [408, 500, 502, 503, 504]
"""404 of something that is there, and any success that is none, are lies: nobody could see through them."""


def either(**choices: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.sampled_from(values) for key, values in choices.items()})


FAULTS = st.lists(
    st.builds(
        lambda kind, when: Fault(**kind, **when),
        st.one_of(
            either(drop=["before", "after", "body"]),
            either(status=REFUSALS, html=[False, True]),
            either(status=BROKEN, html=[False, True], after_effect=[False, True]),
            either(body=["<html>", '{"id": 5, "na'], after_effect=[False, True]),
            either(retry_after=[0, 5, 300]),
        ),
        either(method=["the write", "the write", "GET", None], times=[1, 2, 2], skip=[0, 0, 0, 1]),
    ),
    max_size=3,
)
SILENCE = st.sampled_from(["", "", "", "never", "after", "late"])
ACTIONS = ("create", "update", "delete")
CHANGE = either(name=NAMES, color=[0, 1], sort=[None, 0, 1, 4, 20])
WHEN = st.sampled_from(["", "", "", "before the call", "before the yes", "at the write"])


class Story(RuleBasedStateMachine):
    """Calls, troubles and foreign edits in one account, and what has to be in it after each.

    `rows` is that: (id, name, color), in the order of the account for statuses, by id for segments. The edit of another
    is in it as soon as it is made.
    """

    def __init__(self, outcomes: Counter[str], portal: BlockingPortal, bench: Bench, mode: str) -> None:
        super().__init__()
        self.outcomes, self.portal, self.bench, self.mode = outcomes, portal, bench, mode
        self.account = bench.reset(mode).account
        self.rows = self.held()

    def held(self) -> list[Row]:
        models = statuses.ordered(self.account) if self.mode == "periodicity" else self.account.segments.values()
        rows = [row(model) for model in models]
        return rows if self.mode == "periodicity" else sorted(rows)

    def deletable(self, spare: int | None = None) -> list[Row]:
        system = (key for key, status in self.account.statuses.items() if status["is_default"])
        kept = {spare, *(system if self.mode == "periodicity" else ())}
        return [row for row in self.rows if row[0] not in kept]

    def edit(self, action: str, pick: int, spare: int | None) -> None:
        """What somebody else does in the account, by the API's own rules; `spare` is left alone."""
        others, own = [row for row in self.rows if row[0] != spare], self.deletable(spare)
        api, when = (statuses, ()) if self.mode == "periodicity" else (segments, (int(NOW),))
        change: dict[str, Any] = {"name": NAMES[pick % 3], "color": FOREIGN[self.mode]}
        if action == "create" and len(self.rows) < MOST:
            several = [{**change, "sort": pick}]
            api.create(self.account, several if self.mode == "periodicity" else change, *when)
        elif action == "delete" and own:
            api.delete(self.account, own[pick % len(own)][0])
        elif others:
            api.update(self.account, others[pick % len(others)][0], change, *when)
        self.rows = self.held()

    @rule(
        call=st.tuples(st.sampled_from([*ACTIONS, "read"]), st.integers(0, 40), CHANGE, st.booleans()),
        faults=FAULTS,
        silence=SILENCE,
        beside=st.tuples(WHEN, st.sampled_from(ACTIONS)),
    )
    def call(self, call: tuple[Any, ...], faults: list[Fault], silence: str, beside: tuple[str, str]) -> None:
        """One call, whatever becomes of its requests, and whoever edits at the same time."""
        action, pick, change, flag = call
        when, edit = beside

        def meddle(now: str, spare: Row | None = None) -> str:
            if now == when:
                self.edit(edit, pick, spare and spare[0])
            return "yes"

        meddle("before the call")
        action = "delete" if action == "create" and len(self.rows) >= MOST else action
        targets = {"create": [], "delete": self.deletable()}.get(action, self.rows)
        target = targets[pick % len(targets)] if targets else None
        if target is None and action != "create":
            return
        way = self.way(action, target, change, flag=flag)

        def prepare() -> None:
            if way.two_steps:
                meddle("before the yes")
            self.bench.to_payload.meanwhile = lambda: meddle("at the write", target)
            self.trouble(way, faults, silence)

        self.bench.person.says = lambda _: meddle("before the yes")
        self.bench.reconnect()
        told = self.portal.call(self.bench.call, way, prepare)
        self.outcomes[f"{way.method} {claimed(told)}"] += 1
        forbidden = Counter(
            (item.method, item.path) for item in self.bench.to_payload.sandbox.requests if item.status == 403
        )
        assert max(forbidden.values(), default=0) <= 1
        now = self.held()
        done = self.after(action, way.arguments, target, now)
        assert holds_as_told(told, now, self.rows, done), (way, told, self.rows, now)
        if claimed(told) == "done":
            self.check(told, now, target)
        self.rows = now

    def trouble(self, way: Way, faults: list[Fault], silence: str) -> None:
        self.bench.to_payload.silence = {way.method: [silence]} if silence and way.method != "GET" else {}
        for fault in faults:
            method = way.method if fault.method == "the write" else fault.method
            self.bench.to_payload.sandbox.faults.add(replace(fault, method=method))

    def way(self, action: str, target: Row | None, change: dict[str, Any], *, flag: bool) -> Way:
        """The call."""
        root, one, several = (
            (STATUSES, "status", "statuses") if self.mode == "periodicity" else (SEGMENTS, "segment", "segments")
        )
        given = {"name": change["name"], "color": COLORS[self.mode][change["color"]]}
        if self.mode == "periodicity" and change["sort"] is not None:
            given["sort"] = change["sort"]
        if target is None and self.mode == "periodicity":
            drafts = [{"sort": 3, **given}, {**given, "sort": 1, "name": "Второй"}]
            return Way("create_statuses", {"statuses": drafts[: 1 + flag]}, "POST", root)
        if target is None:
            return Way("create_segment", given, "POST", root)
        arguments = {f"{one}_id": target[0]}
        if action == "read":
            return Way(f"get_{one}", arguments, "GET", root) if flag else Way(f"list_{several}", {}, "GET", root)
        if action == "delete":
            return Way(f"delete_{one}", arguments, "DELETE", root, flag)
        return Way(f"update_{one}", {**arguments, **given}, "PATCH", root, flag)

    def after(self, action: str, arguments: dict[str, Any], target: Row | None, now: list[Row]) -> list[Row]:
        """The rows once the call has had its effect; of what is there now, only the ids of new ones are believed."""
        if target is None:
            new = sorted({row[0] for row in now} - {row[0] for row in self.rows})
            drafts = arguments.get("statuses", [{**arguments, "sort": len(self.rows)}])
            made = [(draft["sort"], (*new[n : n + 1], draft["name"], draft["color"])) for n, draft in enumerate(drafts)]
            return [row for _, row in sorted([*enumerate(self.rows), *made], key=lambda placed: placed[0])]
        if action == "read" or target not in self.rows:
            return self.rows
        rest = [row for row in self.rows if row != target]
        if action == "update":
            place = min(arguments.get("sort", self.rows.index(target)), len(rest))
            rest.insert(place, (target[0], arguments.get("name", target[1]), arguments.get("color", target[2])))
        return rest

    def check(self, told: dict[str, Any], now: list[Row], target: Row | None) -> None:
        """The answer itself: what is told as there is there, and what was before was."""
        if "total" in told:
            assert [row(item) for item in told.get("statuses", told.get("segments"))] == now
            return
        there = [row(item) for item in (told.get("after"), told.get("segment"), *told.get("statuses", [])) if item]
        was = [row(item) for item in (told.get("before"), told.get("deleted"), told if "id" in told else None) if item]
        assert (was, set(there) - set(now)) == ([target] if target else [], set())
        assert there or target not in now or "id" in told

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert self.held() == self.rows


def row(model: dict[str, Any]) -> Row:
    return model["id"], model["name"], model["color"]


EXAMPLES, STEPS, SLOW = 7, 40, [HealthCheck.too_slow]
"""For each of two eras and two modes: 1,120 steps in all."""


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
def test_whatever_happens_the_account_holds_what_the_answers_said(era: str, mode: str) -> None:
    outcomes: Counter[str] = Counter()
    careful = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, suppress_health_check=SLOW)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened(era)) as bench:
        run_state_machine_as_test(lambda: Story(outcomes, portal, bench, mode), settings=careful)
    assert outcomes.total() >= EXAMPLES * STEPS * 9 // 10
    seen = {f"{method} {outcome}" for method in WRITES for outcome in ("done", "outcome_unknown", "unavailable")}
    assert {*seen, "PATCH target_changed", "DELETE target_changed"} <= outcomes.keys()
