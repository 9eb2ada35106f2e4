"""A process is killed at every point of a write; the next one tells the truth about it, and can take it back."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from amo_mcp.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import Http
from amo_mcp.amocrm.pace import Unpaced
from amo_mcp.amocrm.transport import LongLivedToken, Transport
from amo_mcp.reorganize.journal import Journal
from amo_mcp.reorganize.steps import Change
from amo_mcp.reorganize.undo import undo_of
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.tools.reorganize import UndoChange, things
from tests.conftest import no_sleep

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="the writers are forked, and killed by signal"),
]

POINTS = {
    "before the intent is recorded": None,
    "after the intent": "failed",
    "after the effect": "done",
    "after the answer is recorded": "done",
    "after the end": "done",
}
"""Where the process is killed, and what is to be said of the change; None when there is none."""

WRITER = """
import json, os, signal, sys
import filelock, httpx2, tenacity  # imported late by the product, which would cost each process anew
from pathlib import Path
import anyio
from pydantic import SecretStr
from amo_mcp.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import Http
from amo_mcp.amocrm.models import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.pace import Unpaced
from amo_mcp.amocrm.transport import LongLivedToken, Transport
from amo_mcp.reorganize.journal import Journal

token = sys.argv[1]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def die_instead(*_):
    die()

def dying_after(method):
    async def called(*arguments):
        await method(*arguments)
        die()
    return called

async def main(write, point, url, file):
    method = {"create_status": "create_statuses"}.get(write, write)
    match point:
        case "before the intent is recorded":
            Journal._begin = die
        case "after the intent":
            setattr(AmoClient, method, die_instead)
        case "after the effect":
            setattr(AmoClient, method, dying_after(getattr(AmoClient, method)))
        case "after the answer is recorded":
            Journal.note = dying_after(Journal.note)
    client = AmoClient(Transport(url, LongLivedToken(SecretStr(token)), Http(timeout=20), Unpaced()))
    account = AmoAccount(client, Journal(Path(file)))
    match write:
        case "create_segment":
            await account.create_segment(SegmentDraft(name="VIP", color="ae003f"))
        case "update_segment":
            fields = [{"field_id": 272429, "values": [{"value": "20"}]}, {"field_id": 272441, "values": None}]
            patch = SegmentPatch(name="A", custom_fields_values=fields)
            await account.update(await client.segment(51), patch)
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
    die()

# One start of the interpreter is enough: each writer is a process of its own all the same.
for line in sys.stdin:
    child = os.fork()
    if not child:
        anyio.run(main, *json.loads(line))
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
"""


Kill = Callable[[str, str, str, Path], None]


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Let a process of its own write, and be killed at a point of it."""
    command = [sys.executable, "-c", WRITER, ADMIN_TOKEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def killed(*told: object) -> None:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps([str(item) for item in told]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{int(signal.SIGKILL)}\n"

        yield killed


@asynccontextmanager
async def next_process(url: str, file: Path) -> AsyncIterator[AmoAccount]:
    http, journal = Http(timeout=20), Journal(file)
    transport = Transport(url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unpaced(), sleep=no_sleep)
    try:
        yield AmoAccount(AmoClient(transport), journal)
    finally:
        journal.close()
        await http.aclose()


async def after_a_kill_at(url: str, file: Path) -> list[Change]:
    """What the next process says, and takes back."""
    async with next_process(url, file) as account:
        await account.settle()
        told = [change for _, change in await account.journal.changes(10)]
        for change in told:
            undo = undo_of(change, await things(account, change))
            assert undo.conflicts == []
            if undo.steps:
                undone = await UndoChange(change, undo).write(account)
                assert undone.not_done is None
        return told


def without(thing: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if name not in names}


def comparable(write: str, sandbox: Sandbox) -> list[dict[str, Any]]:
    """The account's things, without what an undo says it does not bring back."""
    kind = "status" if "status" in write else "segment"
    kept = sandbox.account.statuses if kind == "status" else sandbox.account.segments
    lost = {
        "update_segment": ["updated_at"],
        "delete_segment": ["id", "created_at", "updated_at", "customers_count"],
        "delete_status": ["id", "conditions", "sort"],
    }.get(write, [])
    told = [
        {**without(thing, *lost), "prices": thing.get("available_products_price_types") or []}
        for thing in kept.values()
    ]
    return sorted(told, key=lambda thing: (thing["name"], thing.get("id", 0)))


def example(mode: str) -> tuple[dict[int, Any], dict[int, Any]]:
    account = Sandbox(mode=mode).account
    return account.segments, account.statuses


WRITES = [
    "create_segment",
    "update_segment",
    "delete_segment",
    "create_status",
    "create_statuses",
    "update_status",
    "delete_status",
]


@pytest.mark.requirement("CHANGE-2")
@pytest.mark.parametrize("write", WRITES)
async def test_whenever_the_process_is_killed_the_journal_tells_the_truth_and_undo_takes_back_just_that(
    write: str, kill: Kill, tmp_path: Path
) -> None:
    sandbox = Sandbox(mode="periodicity" if "status" in write else "segments")
    untouched = comparable(write, sandbox)
    told: dict[str, str | None] = {}
    truth: dict[str, bool] = {}
    with running(sandbox) as url:
        for number, point in enumerate(POINTS):
            file = tmp_path / f"{number}.sqlite"
            kill(write, point, url, file)
            truth[point] = comparable(write, sandbox) != untouched
            changes = await after_a_kill_at(url, file)
            told[point] = changes[0].status if changes else None
            assert (point, len(changes)) == (point, POINTS[point] is not None)
            assert (point, comparable(write, sandbox)) == (point, untouched)
            sandbox.account.segments, sandbox.account.statuses = example(sandbox.account.mode)
    assert told == POINTS
    assert truth == {point: status == "done" for point, status in POINTS.items()}


async def test_while_the_account_cannot_be_read_nothing_is_claimed_and_later_it_is(
    kill: Kill, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "journal.sqlite"
    statuses = []
    with running(sandbox) as url:
        kill("delete_segment", "after the effect", url, file)
        async with next_process(url, file) as account:
            for mode in ("periodicity", "segments"):
                sandbox.account.mode = mode
                await account.settle()
                statuses += [change.status for _, change in await account.journal.changes(10)]
    assert statuses == ["running", "done"]
    assert 51 not in sandbox.account.segments
