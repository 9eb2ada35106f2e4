"""The Tasks extension: a run as a task, for a client that asks how far it is; nobody else's."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import pytest
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim, advertise
from mcp.client.session import ElicitationFnT
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, EmptyResult, Implementation, Request, Result
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from amo_mcp.protocol import TASKS_EXTENSION
from amo_mcp.sandbox import Sandbox
from amo_mcp.server.tasks import TaskParams
from tests.conftest import ERAS, Person, answer
from tests.runs.life import Gate, Open, Replica
from tests.runs.test_watching import DONE, ERA, planned

pytestmark = pytest.mark.anyio


class Created(Result):
    """The result of a call that became a task."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    result_type: Literal["task"]
    task_id: str


class Got(Result):
    """The result of `tasks/get`, as it came."""

    model_config = ConfigDict(extra="allow")


class TaskRequest(Request[TaskParams, Any]):
    name_param = "taskId"


@asynccontextmanager
async def client_of(
    replica: Replica, person: Person, extensions: Sequence[ClientExtension], *, era: str = ERA, name: str = "tests"
) -> AsyncIterator[Client]:
    callback, info = cast("ElicitationFnT", person), Implementation(name=name, version="1")
    served = replica.served()
    async with Client(
        served.server,
        mode=ERAS[era],
        elicitation_callback=callback,
        client_info=info,
        cache=None,
        extensions=[*extensions],
    ) as client:
        yield client


class Polling(ClientExtension):
    """Asks how far a task is until it has ended; `between` happens before each time."""

    identifier = TASKS_EXTENSION

    def __init__(self, between: Callable[[Created, list[dict[str, Any]]], Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._between = between

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self._resolve)]

    async def _resolve(self, created: Created, ctx: ClaimContext) -> CallToolResult:
        while True:
            await self._between(created, self.asked)
            self.asked.append(await got(ctx.session, created.task_id))
            if self.asked[-1]["status"] != "working":
                return CallToolResult.model_validate(self.asked[-1]["result"])


async def got(session: Any, task_id: str) -> dict[str, Any]:
    """What `tasks/get` answers."""
    request = TaskRequest(method="tasks/get", params=TaskParams(task_id=task_id))
    return cast("Got", await session.send_request(request, Got)).model_dump(exclude={"meta"})


async def acknowledged(session: Any, method: str, task_id: str) -> None:
    """Send `tasks/update` or `tasks/cancel`, which are acknowledged whatever the id."""
    request = TaskRequest(method=method, params=TaskParams(task_id=task_id))
    await session.send_request(request, EmptyResult)


@pytest.mark.requirement("RUN-5")
async def test_a_client_that_takes_tasks_is_given_a_task_and_asks_until_it_has_the_result(
    serving: Open, gate: Gate
) -> None:
    created: list[dict[str, Any]] = []

    async def between(task: Created, asked: list[dict[str, Any]]) -> None:
        created.append(task.model_dump(exclude={"meta"}))
        if asked:
            gate.opened.set()

    polling = Polling(between)
    async with serving(app=gate) as one, client_of(one, Person(), [polling]) as client:
        applied = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))
        listed = answer(await client.call_tool("list_changes", {}))["changes"][0]
    change_id, at = listed["change_id"], listed["at"]
    assert applied == {"change_id": change_id, "status": "done", "done": DONE}
    first, *_, last = polling.asked
    assert created[0] == {
        "result_type": "task",
        "task_id": created[0]["task_id"],
        "status": "working",
        "statusMessage": f"Change {change_id}: 0 of 3 steps are done.",
        "createdAt": at,
        "lastUpdatedAt": created[0]["lastUpdatedAt"],
        "ttlMs": None,
        "pollIntervalMs": 1000,
    }
    assert created[0]["task_id"].startswith(f"{change_id}.")
    assert (first["status"], last["status"], last["statusMessage"]) == (
        *("working", "completed"),
        f"Change {change_id}: 3 of 3 steps are done.",
    )


@pytest.mark.requirement("RUN-5")
async def test_a_task_that_is_cancelled_stops_between_two_steps_and_its_result_says_what_was_done(
    serving: Open, gate: Gate
) -> None:
    async def between(task: Created, asked: list[dict[str, Any]]) -> None:
        await acknowledged(client.session, "tasks/cancel", task.task_id)
        await acknowledged(client.session, "tasks/update", task.task_id)
        gate.opened.set()

    async with serving(app=gate) as one, client_of(one, Person(), [Polling(between)]) as client:
        applied = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))
    assert (applied["status"], applied["reason"], applied["done"]) == ("stopped", "declined", DONE[:1])


@pytest.mark.requirement("RUN-5")
async def test_a_task_is_its_callers_alone_at_every_replica_and_its_id_cannot_be_made_up(
    serving: Open, gate: Gate, sandbox: Sandbox
) -> None:
    tried: list[str] = []

    async def between(task: Created, asked: list[dict[str, Any]]) -> None:
        if asked:
            return
        change_id, _, code = task.task_id.partition(".")
        last = "0" if code[-1] != "0" else "1"
        assert (await got(elsewhere.session, task.task_id))["status"] == "working"
        for session, task_id in (
            (other.session, task.task_id),
            (client.session, change_id),
            (client.session, f"{change_id}.{code[:-1]}{last}"),
            (client.session, f"c000000000000.{code}"),
        ):
            with pytest.raises(MCPError) as refused:
                await got(session, task_id)
            tried.append(f"{refused.value.error.code} {refused.value.error.message}")
            await acknowledged(session, "tasks/cancel", task_id)
        gate.opened.set()

    async with (
        serving(app=gate) as one,
        serving() as second,
        client_of(one, Person(), [Polling(between)]) as client,
        client_of(second, Person(), [advertise(TASKS_EXTENSION)]) as elsewhere,
        client_of(one, Person(), [advertise(TASKS_EXTENSION)], name="somebody else") as other,
    ):
        applied = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))
    assert applied["status"] == "done"
    assert tried == ["-32602 There is no such task, or it is not the caller's"] * 4


@pytest.mark.requirement("RUN-5")
@pytest.mark.parametrize("task_id", ["", "c000000000000", "c000000000000.ключ", "\0.\0"])
async def test_what_is_no_id_of_a_task_is_told_so(task_id: str, serving: Open) -> None:
    async with serving() as one, client_of(one, Person(), [advertise(TASKS_EXTENSION)]) as client:
        with pytest.raises(MCPError) as refused:
            await got(client.session, task_id)
    assert refused.value.error.code == -32602


@pytest.mark.requirement("RUN-5")
async def test_a_client_that_takes_no_tasks_and_a_change_that_is_no_run_are_answered_as_ever(serving: Open) -> None:
    async with serving() as one, client_of(one, Person(), []) as client:
        applied = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))
    assert applied["status"] == "done"
    async with serving() as one, client_of(one, Person(), [advertise(TASKS_EXTENSION)]) as client:
        deleted = answer(await client.call_tool("delete_segment", {"segment_id": 54}))
    assert deleted["deleted"]["id"] == 54


@pytest.mark.requirement("RUN-5")
async def test_the_older_era_has_no_such_methods(serving: Open) -> None:
    async with serving() as one, client_of(one, Person(), [], era="2025-11-25") as client:
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            with pytest.raises(MCPError) as refused:
                await acknowledged(client.session, method, "c")
            assert refused.value.error.code == -32601
        applied = answer(await client.call_tool("apply_plan", {"plan_id": await planned(client)}))
    assert applied["status"] == "done"
