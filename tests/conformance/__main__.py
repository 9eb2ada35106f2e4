"""Runs the conformance suite against the real server over HTTP, in both revisions of the protocol: `make conformance`.

It ends with 0 when every scenario that a revision requires passes and none has seen nothing: each has made a check of
its own, and every fixture was used. Of a team's server those do not pass that `team.REFUSED` names, and no others. What
the suite runs without scoring it (extensions that are not offered, scenarios that its own server cannot pass) is
counted apart.
"""

import re
import subprocess
import sys
import warnings
from collections.abc import Collection
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
from anyio.streams.text import TextReceiveStream
from mcp import MCPDeprecationWarning

from amo_mcp.compose.local import open_server
from amo_mcp.listen import listen
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import ServingSettings, load_settings
from amo_mcp.transports.http import PATH
from amo_mcp.transports.uvicorn import HttpServer
from tests.conformance.fixtures import Fixtures
from tests.conformance.team import REFUSED, team_server
from tests.person import sign_in

REVISIONS = ("2026-07-28", "2025-11-25")
INSTALLED = Path(__file__).parent / "node_modules"
NODE = INSTALLED / ".bin" / "node"
SUITE = INSTALLED / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

_RUN = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed", re.MULTILINE)
_UNSCORED = re.compile(r"^ +[✓✗] (\S+) \(", re.MULTILINE)


async def conforms(revision: str, url: str, what: str, refused: Collection[str] = ()) -> bool:
    """Run what the revision requires, and print the score; the suite's whole output too when something is wrong.

    Args:
        revision: of the protocol.
        url: where the server is.
        what: which one it is, for whoever reads the score.
        refused: the scenarios that it must not pass.
    """
    command = [NODE, SUITE, "server", "--url", url, "--requirements", revision]
    done = await anyio.run_process([*map(str, command)], check=False, stderr=subprocess.STDOUT)
    output = done.stdout.decode()
    runs = {name: (int(passed), int(failed)) for name, passed, failed in _RUN.findall(output)}
    unscored = {name: runs.pop(name) for name in _UNSCORED.findall(output)}
    wrong = {name for name, (passed, failed) in runs.items() if failed or not passed}
    is_right = wrong == {*refused} and bool(runs) and bool(done.returncode) == bool(wrong)
    if not is_right:
        sys.stdout.write(f"{output}\n")
    checks = sum(passed for passed, _ in runs.values())
    more = sum(bool(passed) and not failed for passed, failed in unscored.values())
    sys.stdout.write(
        f"{what}, {revision}: {len(runs) - len(wrong)} of {len(runs)} required scenarios pass, {checks} checks;"
        f" not scored: {more} of {len(unscored)} pass\n"
    )
    return is_right


async def signs_in(url: str) -> bool:
    """Run the scenarios of an authorization server against the one of a team's server; a person agrees to all of it."""
    issuer = url.removesuffix(PATH)
    with listen("127.0.0.1", 0) as free:
        port = str(free.getsockname()[1])
    async with httpx2.AsyncClient(base_url=issuer) as http:
        registered = await http.post("/register", json={"redirect_uris": [f"http://127.0.0.1:{port}/callback"]})
    client_id, asks = registered.json()["client_id"], re.compile(rf"^{re.escape(issuer)}/authorize\?\S+$", re.MULTILINE)
    command = [
        NODE,
        SUITE,
        "authorization",
        "--url",
        issuer,
        "--client-id",
        client_id,
        "--resource",
        url,
        "--port",
        port,
    ]
    output, asked = "", None
    with anyio.fail_after(60):
        async with await anyio.open_process([*map(str, command)], stderr=subprocess.STDOUT) as process:
            assert process.stdout
            async for text in TextReceiveStream(process.stdout):
                output += text
                if asked is None and (asked := asks.search(output)):
                    await anyio.to_thread.run_sync(sign_in, asked[0], "504141")
    runs = [(int(passed), int(failed)) for _, passed, failed in _RUN.findall(output)]
    passing = [passed for passed, failed in runs if passed and not failed]
    is_right = process.returncode == 0 and len(passing) == len(runs) > 0
    if not is_right:
        sys.stdout.write(f"{output}\n")
    sys.stdout.write(f"signing in to it: {len(passing)} of {len(runs)} scenarios pass, {sum(passing)} checks\n")
    return is_right


async def local() -> bool:
    """Put the suite in front of one person's server."""
    async with open_server(load_settings(ServingSettings, sandbox=True), "http") as server:
        fixtures = Fixtures(server)
        with listen("127.0.0.1", 0) as listener:
            serving, ready = HttpServer.on_loopback(server, listener), anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(serving.serve_until_stopped, ready.set)
                await ready.wait()
                passed = [await conforms(revision, serving.url, "one person's server") for revision in REVISIONS]
                serving.stop()
    if fixtures.unused:
        sys.stdout.write(f"The suite has not used: {', '.join(sorted(fixtures.unused))}\n")
    return all(passed) and not fixtures.unused


async def team() -> bool:
    """Put it in front of a team's server, and tell what that refuses."""
    async with team_server() as url:
        passed = [await conforms(revision, url, "a team's server", REFUSED[revision]) for revision in REVISIONS]
        passed.append(await signs_in(url))
    for revision in REVISIONS:
        for scenario, why in REFUSED[revision].items():
            sys.stdout.write(f"  {revision} {scenario}: {why}\n")
    return all(passed)


async def main() -> int:
    """Serve, and put the suite in front."""
    log_to_stderr("ERROR")
    return int(not all([await local(), await team()]))


warnings.simplefilter("error")
# The suite still asks for logging and sampling, which the SDK calls deprecated.
warnings.simplefilter("ignore", MCPDeprecationWarning)
raise SystemExit(anyio.run(main))
