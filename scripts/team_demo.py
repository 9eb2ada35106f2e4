"""`make team-demo`: a team's server on this machine, with a replica killed in the middle of a plan.

PostgreSQL, the sandbox and two replicas are started, and ended with the demo. Two people sign in with their clients and
their browsers, by the sandbox's consent page: an admin, and somebody who is refused as a viewer, and as an editor has a
plan approved by the admin on the page. One replica begins the plan, and the other one finishes it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import click
from mcp import Client

from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running as sandbox_running
from scripts.postgres import running as postgres_running
from scripts.team_people import PUBLIC_URL, Someone

_PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
_LEASE = 3
_KILLED_AFTER = 4
"""Writes of the plan after which its replica is killed."""

_MAX_SHOWN = 6
_READING_SECONDS = 1.2
"""Seconds for which a person looks at the page; it takes no answer within the first."""

_ANNA, _PETR = 504141, 1002045
"""Two users of the sandbox's account."""


@dataclass(frozen=True)
class _Replica:
    url: str
    process: "subprocess.Popen[str]"
    code: str


def main() -> None:
    """Show it, and leave nothing behind."""
    _step("A local PostgreSQL and a local amoCRM sandbox are started")
    sandbox = Sandbox()
    sandbox.oauth.redirect_uri = f"{PUBLIC_URL}/amocrm/callback"
    with postgres_running() as cluster, sandbox_running(sandbox) as amo:
        environment = {
            "AMO_PUBLIC_URL": PUBLIC_URL,
            "AMO_DATABASE_URL": cluster.url(),
            "AMO_SECRET_KEY": _operator("keys", "new"),
            "AMO_BASE_URL": amo,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_CLIENT_ID": sandbox.oauth.client_id,
            "AMO_CLIENT_SECRET": sandbox.oauth.client_secret,
            "AMO_APPROVAL": "second",
            "AMO_LEASE": str(_LEASE),
            "AMO_TIMEOUT": "2",
            "AMO_METRICS": "127.0.0.1:0",
            "AMO_LOG_LEVEL": "ERROR",
        }
        with _replica(environment, tells_code=True) as first, _replica(environment) as second:
            _tell(f"replica A serves at {first.url}", f"replica B serves at {second.url}")
            anyio.run(_show, sandbox, first, second)
            _step("What the audit has, the newest first: amo-mcp team audit")
            _tell(*map(_audited, _operator("audit", **environment).splitlines()))


async def _show(sandbox: Sandbox, first: _Replica, second: _Replica) -> None:
    anna = Someone(_ANNA, first.url, second.url, code=first.code)
    petr = Someone(_PETR, first.url, second.url)
    _step("Anna signs in with amoCRM in her browser, with the code that the first start has shown: she is the admin")
    await anna.browser.open("/people")
    _tell(f"she is shown: {anna.browser.heading}")
    async with petr.client(second.url) as client:
        _step("Petr connects his client; his browser asks him, then amoCRM does. He is a viewer: he can read")
        segments = (await _call(client, "list_segments", {}))["segments"]
        await _call(client, "delete_segment", {"segment_id": 51})
        _step("Anna makes him an editor, on the page of people")
        await anna.browser.open("/people")
        await anna.browser.press(do="role", id=f"{sandbox.account.id}:{_PETR}", role="editor")
        _step("He plans many changes at replica B; his client asks to be allowed to write. Nothing is changed yet")
        changes = [
            {"action": "update", "kind": "segment", "id": one["id"], "name": f"{one['name']} 2026"} for one in segments
        ]
        plan = await _call(client, "plan_changes", {"changes": changes})
        _tell(*plan["steps"][:_MAX_SHOWN], f"… {len(plan['steps'])} steps in all")
        _step("To have it carried out, somebody else has to agree: the answer has the page")
        question = (await _call(client, "apply_plan", {"plan_id": plan["plan_id"]}))["error"]
        approval = {"approval_id": question["approval_id"]}
        async with anyio.create_task_group() as group:
            group.start_soon(_begin, petr, first.url, approval)
            await _answer(anna, question["page_url"])
            done = await _written(sandbox, _KILLED_AFTER)
            first.process.kill()
            killed = time.monotonic()
            _step(f"Replica A carries it out, and is killed (kill -9) after {done} of {len(changes)} steps")
        _step("Petr's client asks replica B: nobody is asked again, and it waits for the end")
        await _written(sandbox, done + 1)
        _tell(f"B goes on after {time.monotonic() - killed:.1f} s, with a lease of {_LEASE} s")
        applied = await _call(client, "confirm_change", approval)
        _tell(f"{len(applied['done'])} steps done; {_writes(sandbox)} writes reached amoCRM for them")
        _step("Who did what: list_changes")
        [change] = (await _call(client, "list_changes", {}))["changes"]
        _tell(f"{change['change_id']} by {change['by']}: {change['summary']}: {change['status']}")


async def _answer(anna: Someone, page_url: str) -> None:
    """Anna reads the page in her browser, and agrees."""
    await anna.browser.open(page_url)
    _step("Anna opens it in her browser, reads the whole plan, and agrees")
    refusal, agreement = anna.browser.buttons
    _tell(f"{anna.browser.heading}  [{refusal}] [{agreement}]")
    await anyio.sleep(_READING_SECONDS)
    await anna.browser.press(answer="yes", comment="as we said on Monday")
    _tell(anna.browser.heading)


async def _begin(petr: Someone, url: str, approval: dict[str, Any]) -> None:
    """Wait for the answer at a replica that will not live to tell the end."""
    with suppress(Exception):  # what a client makes of a server that dies is many things
        async with petr.client(url) as client:
            await client.call_tool("confirm_change", approval)


async def _call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, and show how it was answered."""
    click.echo(f"  {click.style('→', fg='cyan')} {click.style(tool, bold=True)}")
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content or {}
    if error := answer.get("error"):
        click.echo(f"  {click.style('✗ ' + error['code'], fg='red', bold=True)} {error['message']}")
        if page_url := error.get("page_url"):
            _tell(page_url)
    else:
        click.echo(f"  {click.style('✓', fg='green', bold=True)} {answer.get('status', 'answered')}")
    return answer


@contextmanager
def _replica(environment: dict[str, str], *, tells_code: bool = False) -> Iterator[_Replica]:
    """A replica; the first start of all also tells the code of the first admin, before or after it listens."""
    command = [sys.executable, "-m", "amo_mcp", "serve", "--team", "--port", "0"]
    process = subprocess.Popen(command, env=_PLAIN | environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        said = [process.stdout.readline() for _ in range(1 + tells_code)]
        url = next(word for line in said for word in line.split() if word.startswith("http"))
        code = next((line.split()[-1] for line in said if "first admin" in line), "")
        yield _Replica(url, process, code)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _operator(*arguments: str, **environment: str) -> str:
    """What a command of the operator prints."""
    command = [sys.executable, "-m", "amo_mcp", "team", *arguments]
    return subprocess.run(command, env=_PLAIN | environment, check=True, capture_output=True, text=True).stdout.strip()


def _audited(line: str) -> str:
    """The short of a line of the audit."""
    entry = json.loads(line)
    agreed = f", {entry['approved_by']} has agreed" if "approved_by" in entry else ""
    return f"{entry['name']}: {entry['kind']} {entry['what']}: {entry['outcome']}{agreed}"


async def _written(sandbox: Sandbox, count: int) -> int:
    """How many writes reached amoCRM, once there are so many."""
    while True:
        if (written := _writes(sandbox)) >= count:
            return written
        await anyio.sleep(0.02)


def _writes(sandbox: Sandbox) -> int:
    return sum(request.method != "GET" and request.path.startswith("/api/") for request in sandbox.requests)


def _step(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _tell(*lines: str) -> None:
    for line in lines:
        click.echo(f"    {line}")


if __name__ == "__main__":
    main()
