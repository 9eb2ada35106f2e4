"""A team's server: from the death of a replica in the middle of a plan to the next write of another one."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, cast

import anyio
import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from scripts import postgres
from scripts.bench.figures import Figure, figure
from scripts.bench.peers import OURS, over_http, sandbox
from scripts.bench.team import team_on

_LEASE = 1.0
_STEPS = 20
_BEFORE = 3
"""Writes of a plan before its replica is killed."""


def taking_over(rounds: int) -> Iterator[Figure]:
    """Seconds until a plan goes on, with a lease of a second; what is more than that is finding out and reading."""
    with ExitStack() as stack:
        amo, environment = stack.enter_context(sandbox(_STEPS))
        cluster = stack.enter_context(postgres.running())
        timing = {"AMO_LEASE": str(_LEASE), "AMO_TIMEOUT": str(_LEASE / 2)}
        team, headers = team_on(environment, cluster.url(), AMO_CONFIRM="dialog", **timing)
        serve = (*OURS, "serve", "--team", "--port", "0")
        replica, process = stack.enter_context(over_http(*serve, **team))
        took = []
        for number in range(rounds):
            second, its_process = stack.enter_context(over_http(*serve, **team))
            took.append(anyio.run(_round, amo, environment["AMO_ACCESS_TOKEN"], replica, process, headers, number))
            replica, process = second, its_process
    yield figure(
        "a replica killed in the middle of a plan, with a lease of 1 s: the next write after", took, "s", "≤ 3"
    )


async def _round(amo: str, token: str, replica: str, process: Any, headers: dict[str, str], number: int) -> float:
    """Let a plan be carried out by a replica, and kill that one in the middle."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as control,
        anyio.create_task_group() as group,
    ):
        listed = (await control.get(f"{amo}/api/v4/customers/segments")).json()["_embedded"]["segments"]
        changes = [
            {"action": "update", "kind": "segment", "id": one["id"], "name": f"Сегмент {number}.{place}"}
            for place, one in enumerate(listed)
        ]
        await control.delete(f"{amo}/_sandbox/requests")
        group.start_soon(_apply, replica, headers, changes)
        await _writes(control, amo, _BEFORE)
        process.kill()
        killed = time.monotonic()
        before = len([at for at in await _writes(control, amo, 0) if at <= killed])
        after = await _writes(control, amo, before + 1)
        await _writes(control, amo, len(changes))
    return after[before] - killed


async def _apply(replica: str, headers: dict[str, str], changes: list[dict[str, Any]]) -> None:
    """Plan, say yes, and be cut off; whatever a client makes of that."""
    with suppress(Exception):
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(
                streamable_http_client(replica, http_client=http),
                mode="2026-07-28",
                elicitation_callback=cast("ElicitationFnT", _yes),
                cache=None,
            ) as client,
        ):
            planned = await client.call_tool("plan_changes", {"changes": changes})
            await client.call_tool("apply_plan", {"plan_id": (planned.structured_content or {})["plan_id"]})


async def _yes(_: Any, __: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"confirm": True})


async def _writes(control: httpx2.AsyncClient, amo: str, wanted: int) -> list[float]:
    """When the writes arrived, once there are so many."""
    while True:
        requests = (await control.get(f"{amo}/_sandbox/requests")).json()
        arrived = [one["at"] for one in requests if one["method"] == "PATCH"]
        if len(arrived) >= wanted:
            return arrived
        await anyio.sleep(0.02)
