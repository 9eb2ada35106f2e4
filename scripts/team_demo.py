"""`make team-demo`: a team's server on this machine, with a replica killed in the middle of a plan.

PostgreSQL, the sandbox and two replicas are started, and ended with the demo. Two people call them with tokens of their
own: a viewer, who is refused, and an approver, whose plan is begun by one replica and finished by the other.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

import anyio
import click
import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitResult

from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running as sandbox_running
from scripts.postgres import running as postgres_running

_HOST = "crm.example.org"
_PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
_LEASE = 3
_KILLED_AFTER = 4
"""Writes of the plan after which its replica is killed."""

_MAX_SHOWN = 6


def main() -> None:
    """Show it, and leave nothing behind."""
    _step("A local PostgreSQL and a local amoCRM sandbox are started")
    sandbox = Sandbox()
    with postgres_running() as cluster, sandbox_running(sandbox) as amo:
        environment = {
            "AMO_PUBLIC_URL": f"https://{_HOST}",
            "AMO_DATABASE_URL": cluster.url(),
            "AMO_SECRET_KEY": _operator("keys", "new"),
            "AMO_BASE_URL": amo,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_CONFIRM": "dialog",
            "AMO_LEASE": str(_LEASE),
            "AMO_TIMEOUT": "2",
            "AMO_METRICS": "127.0.0.1:0",
            "AMO_LOG_LEVEL": "ERROR",
        }
        with _replica(environment) as (first, process), _replica(environment) as (second, _):
            _tell(f"replica A serves at {first}", f"replica B serves at {second}")
            _step("The operator gives two people a token: amo-mcp team token --name NAME --role ROLE")
            tokens = {
                name: _operator("token", "--name", name, "--role", role, **environment)
                for name, role in (("Boris", "viewer"), ("Anna", "approver"))
            }
            _tell(*(f"{name}: {token[:11]}…" for name, token in tokens.items()))
            anyio.run(_show, sandbox, first, second, process, tokens)


async def _show(
    sandbox: Sandbox, first: str, second: str, process: "subprocess.Popen[str]", tokens: dict[str, str]
) -> None:
    async with _client(second, tokens["Boris"]) as client:
        _step("Boris is a viewer: he can read, and what changes something is refused")
        await _call(client, "list_segments", {"limit": 3})
        await _call(client, "delete_segment", {"segment_id": 51})
    async with _client(second, tokens["Anna"]) as client:
        _step("Anna is an approver. She plans many changes at replica B; nothing is changed yet")
        segments = (await _call(client, "list_segments", {}))["segments"]
        changes: list[dict[str, Any]] = [
            {"action": "update", "kind": "segment", "id": one["id"], "name": f"{one['name']} 2026"} for one in segments
        ]
        plan = await _call(client, "plan_changes", {"changes": changes})
        _tell(*plan["steps"][:_MAX_SHOWN], f"… {len(plan['steps'])} steps in all")
        _step("She has it carried out by replica A. The question is asked once, in her client")
        async with anyio.create_task_group() as group:
            group.start_soon(_begin, first, tokens["Anna"], plan["plan_id"])
            done = await _written(sandbox, _KILLED_AFTER)
            process.kill()
            killed = time.monotonic()
            _step(f"Replica A is killed (kill -9) after {done} of {len(changes)} steps; its answer never comes")
        _step("The same call to replica B: nobody is asked again, and it waits for the end")
        await _written(sandbox, done + 1)
        _tell(f"B goes on after {time.monotonic() - killed:.1f} s, with a lease of {_LEASE} s")
        applied = await _call(client, "apply_plan", {"plan_id": plan["plan_id"]})
        _tell(f"{len(applied['done'])} steps done; {_writes(sandbox)} writes reached amoCRM for them")
        _step("Who did what: list_changes")
        [change] = (await _call(client, "list_changes", {}))["changes"]
        _tell(f"{change['change_id']} by {change['by']}: {change['summary']}: {change['status']}")


async def _begin(url: str, token: str, plan_id: str) -> None:
    """Apply the plan at a replica that will not live to answer."""
    with suppress(Exception):  # what a client makes of a server that dies is many things
        async with _client(url, token) as client:
            await client.call_tool("apply_plan", {"plan_id": plan_id})


async def _call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, and show how it was answered."""
    click.echo(f"  {click.style('→', fg='cyan')} {click.style(tool, bold=True)}")
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content or {}
    if error := answer.get("error"):
        click.echo(f"  {click.style('✗ ' + error['code'], fg='red', bold=True)} {error['message']}")
    else:
        click.echo(f"  {click.style('✓', fg='green', bold=True)} {answer.get('status', 'answered')}")
    return answer


@asynccontextmanager
async def _client(url: str, token: str) -> AsyncIterator[Client]:
    """A client of a replica, called by the name that a proxy would keep."""
    headers = {"Host": _HOST, "Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode="2026-07-28",
            elicitation_callback=cast("ElicitationFnT", _yes),
            cache=None,
        ) as client,
    ):
        yield client


async def _yes(_: Any, question: ElicitRequestFormParams) -> ElicitResult:
    """The person reads the question, and agrees."""
    first, *_ = question.message.splitlines()
    click.echo(f"    {click.style('? ' + first, fg='yellow')}  {click.style('yes', bold=True)}")
    return ElicitResult(action="accept", content={"confirm": True})


@contextmanager
def _replica(environment: dict[str, str]) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A replica, and where it is called."""
    command = [sys.executable, "-m", "amo_mcp", "serve", "--team", "--port", "0"]
    process = subprocess.Popen(command, env=_PLAIN | environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield next(word for word in process.stdout.readline().split() if word.startswith("http")), process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _operator(*arguments: str, **environment: str) -> str:
    """What a command of the operator prints."""
    command = [sys.executable, "-m", "amo_mcp", "team", *arguments]
    return subprocess.run(command, env=_PLAIN | environment, check=True, capture_output=True, text=True).stdout.strip()


async def _written(sandbox: Sandbox, count: int) -> int:
    """How many writes reached amoCRM, once there are so many."""
    while True:
        if (written := _writes(sandbox)) >= count:
            return written
        await anyio.sleep(0.02)


def _writes(sandbox: Sandbox) -> int:
    return sum(request.method != "GET" for request in sandbox.requests)


def _step(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _tell(*lines: str) -> None:
    for line in lines:
        click.echo(f"    {line}")


if __name__ == "__main__":
    main()
