"""Ten clients, a colleague, faults and kills for some minutes, on one state directory and one sandbox.

`python -m scripts.soak --minutes 10` runs two servers over stdio with a client each and one over HTTP with eight, and
kills one of them every 20 seconds. It prints what each process takes of memory, and in the end whether the journal says
what is in the account, and the largest number of requests in any one second. It ends with 1 where that is not so.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running

PER_SECOND = 7
KILL_EVERY, LOOK_EVERY, CALL_SECONDS = 20.0, 5.0, 60.0
AT_REST = 61.0
"""Seconds after which a request that was broken off does not arrive any more."""

MAX_SEGMENTS = 60
FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 503},
    {"status": 504, "after_effect": True},
    {"drop": "before"},
    {"drop": "after"},
    {"retry_after": 1},
    {"delay": 0.5},
]


async def say_yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Agree to everything."""
    return ElicitResult(action="accept", content={"confirm": True})


@dataclass
class Soak:
    """One run.

    Attributes:
        account: the sandbox.
        url: where it is served.
        folder: the state directory, and a file with the id of each process.
        counts: what came of the calls, and how often a server was killed.
    """

    account: Sandbox
    url: str
    folder: Path
    port: int
    counts: Counter[str] = field(default_factory=Counter)
    busiest: int = 0
    over: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """What the servers are given."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
        return kept | {
            "AMO_BASE_URL": self.url,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_RATE_LIMIT": str(PER_SECOND),
            "AMO_STATE_DIR": str(self.folder / "state"),
            "AMO_LOG_LEVEL": "ERROR",
            "AMO_CONFIRM": "dialog",
        }

    def stdio(self, number: int) -> Client:
        """A client with a server of its own over stdio."""
        script = (
            f"echo $$ > {self.folder}/stdio-{number}; exec {sys.executable} -m amo_mcp 2> {self.folder}/log-{number}"
        )
        server = StdioServerParameters(command="sh", args=["-c", script], env=self.environment)
        return Client(server, mode=("legacy", "auto")[number % 2], elicitation_callback=say_yes, cache=None)

    def http(self, number: int) -> Client:
        """A client of the one server over HTTP."""
        url = f"http://127.0.0.1:{self.port}/mcp"
        return Client(url, mode=("legacy", "auto")[number % 2], elicitation_callback=say_yes, cache=None)

    async def serve_http(self) -> None:
        """Keep the server over HTTP alive."""
        command = [sys.executable, "-m", "amo_mcp", "serve", "--http", "--port", str(self.port)]
        while not self.over:
            process = await anyio.open_process(
                command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            (self.folder / "http").write_text(str(process.pid))
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()

    async def use(self, connect: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        """Be one client, and connect again whenever the server is gone."""
        while not self.over:
            with suppress(Exception, BaseExceptionGroup):
                async with connect() as client:
                    while not self.over:
                        with anyio.fail_after(CALL_SECONDS):
                            await self.step(client)
            self.counts["connections"] += 1
            await anyio.sleep(0.5)

    async def step(self, client: Client) -> None:
        """One thing that a person has an assistant do."""
        segments = [*self.account.account.segments]
        choice = random.choice(["create", "update", "delete", "plan", "plan", "undo", "list"])
        name = f"Ours {random.randrange(10**9)}"
        if choice == "create" and len(segments) < MAX_SEGMENTS:
            await self.call(client, "create_segment", name=name)
        elif choice == "update":
            await self.call(client, "update_segment", segment_id=random.choice(segments), name=name)
        elif choice == "delete" and len(segments) > MAX_SEGMENTS // 4:
            await self.call(client, "delete_segment", segment_id=random.choice(segments))
        elif choice == "plan":
            picked = random.sample(segments, 5)
            changes = [{"action": "update", "kind": "segment", "id": picked[0], "name": name}]
            changes += [{"action": "create", "kind": "segment", "name": f"{name} {place}"} for place in range(2)]
            changes += [{"action": "delete", "kind": "segment", "id": one} for one in picked[1:3]]
            planned = await self.call(client, "plan_changes", changes=changes)
            if "plan_id" in planned:
                await self.call(client, "apply_plan", plan_id=planned["plan_id"])
        elif choice == "undo":
            listed = (await self.call(client, "list_changes", limit=10)).get("changes", [])
            if listed:
                await self.call(client, "undo_change", change_id=random.choice(listed)["change_id"])
        else:
            await self.call(client, "list_segments")

    async def call(self, client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        """A call, counted by what came of it."""
        answer = (await client.call_tool(tool, arguments)).structured_content or {}
        self.counts[answer.get("error", {}).get("code") or answer.get("status") or "done"] += 1
        return answer

    async def meddle(self) -> None:
        """The colleague edits, and something goes wrong, about twice a second."""
        while not self.over:
            await anyio.sleep(random.uniform(0.2, 0.8))
            segments = self.account.account.segments
            chosen = segments.get(random.choice([*segments]))
            if chosen is not None:
                chosen.update(name=f"Theirs {random.randrange(10**9)}", customers_count=random.randrange(500))
            if random.random() < 0.5:
                self.account.faults.add(Fault(method=random.choice(["GET", "POST", "PATCH"]), **random.choice(FAULTS)))

    async def kill(self) -> None:
        """Kill one of the three servers after the other."""
        while not self.over:
            await anyio.sleep(KILL_EVERY)
            name = ("stdio-0", "http", "stdio-1")[self.counts["kills"] % 3]
            if not self.over and _signal(self.folder / name):
                self.counts["kills"] += 1

    async def look(self) -> None:
        """Print what the processes take, and keep the busiest second."""
        began = time.monotonic()
        while not self.over:
            await anyio.sleep(LOOK_EVERY)
            self.busiest = max(self.busiest, self.account.busiest_second())
            taken = {name: _mebibytes(self.folder / name) for name in ("stdio-0", "stdio-1", "http")}
            memory = ", ".join(f"{name} {size} MiB" for name, size in taken.items())
            print(f"{time.monotonic() - began:4.0f} s: {memory}; {dict(self.counts)}", flush=True)

    async def changes(self) -> list[dict[str, Any]]:
        """Every change of the journal, oldest first, once nothing is under way any more."""
        async with self.stdio(0) as client:
            await self.call(client, "list_changes")
            found, cursor = [], None
            while True:
                page = await self.call(client, "list_changes", limit=100, **({"cursor": cursor} if cursor else {}))
                found += page["changes"]
                cursor = page.get("next_cursor")
                if cursor is None:
                    return found[::-1]


def check(soak: Soak, seeded: set[int], changes: list[dict[str, Any]]) -> list[str]:
    """What the journal says that is not in the account, and the other way round."""
    ids, unclear = set(seeded), 0
    for change in changes:
        for step in change.get("steps") or [{**change, "status": change["status"]}]:
            verb, _, rest = step["summary"].partition(" ")
            entity_id = int(rest.rpartition("(id ")[2].rstrip(")")) if rest.endswith(")") else 0
            if step["status"] in ("unknown", "pending", "interrupted"):
                unclear += 1
            elif step["status"] in ("done", "undone"):
                ids = ids | {entity_id} if verb == "Create" else ids - {entity_id} if verb == "Delete" else ids
    differing = ids ^ set(soak.account.account.segments)
    print(f"{len(changes)} changes, {unclear} unclear steps, {len(differing)} segments differ")
    return [f"the journal and the account differ in {sorted(differing)}"] if len(differing) > unclear else []


def _signal(file: Path) -> bool:
    with suppress(OSError, ValueError):
        os.kill(int(file.read_text()), signal.SIGKILL)
        return True
    return False


def _mebibytes(file: Path) -> int:
    with suppress(OSError, ValueError):
        status = Path(f"/proc/{int(file.read_text())}/status").read_text()
        return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return 0


async def soak(minutes: float) -> list[str]:
    """Run, and give what was wrong."""
    account = Sandbox(mode="segments")
    seeded = set(account.account.segments)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(account) as url,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        run = Soak(account, url, Path(folder), free.getsockname()[1])
        free.close()
        async with anyio.create_task_group() as group:
            for task in (run.serve_http, run.meddle, run.kill, run.look):
                group.start_soon(task)
            for number in range(2):
                group.start_soon(run.use, lambda number=number: run.stdio(number))
            for number in range(8):
                group.start_soon(run.use, lambda number=number: run.http(number))
            await anyio.sleep(minutes * 60)
            run.over = True
            account.faults.clear()
            await anyio.sleep(5)
            _signal(run.folder / "http")
            group.cancel_scope.cancel()
        await anyio.sleep(AT_REST)
        wrong = check(run, seeded, await run.changes())
        print(f"the busiest second had {run.busiest} requests; {run.counts['kills']} kills")
        return wrong + ([f"{run.busiest} requests in one second"] if run.busiest > PER_SECOND else [])


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    wrong = anyio.run(soak, parser.parse_args().minutes)
    print("\n".join(wrong) or "Nothing was lost, doubled or told falsely.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
