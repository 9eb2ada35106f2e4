"""Processes of their own that use the journal in a folder or a database."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, anyio
from tests.storage.backends import backend_at
from tests.storage.examples import PENDING, deleted, change_of
from amo_mcp.changes.journal import UndoneMeanwhile
from amo_mcp.changes.plan import PlanUsed

def wait():
    sys.stdin.readline()

async def main():
    what, place = sys.argv[1:]
    async with backend_at(place) as (journal, _):
        await do(what, journal)

async def do(what, journal):
    print("ready", flush=True)
    wait()
    match what:
        case "begin ten":
            for _ in range(10):
                await journal.begin("delete_status", change_of([PENDING]))
        case "begin and wait":
            print((await journal.begin("update_segment", change_of([PENDING]))).id, flush=True)
            wait()
        case "begin twice":
            for _ in range(2):
                print((await journal.begin("update_segment", change_of([PENDING]))).id, flush=True)
                wait()
        case "apply":
            try:
                await journal.begin("apply_plan", change_of([PENDING], plan_id="p1"))
            except PlanUsed:
                print("refused")
        case "undo":
            [(_, newest)] = await journal.changes(1)
            undo = change_of([deleted(96, undoes=0, outcome="pending")], undoes=newest.id)
            try:
                await journal.begin("undo_change", undo)
            except UndoneMeanwhile:
                print("refused")

anyio.run(main)
"""


class Process:
    """A process that waits to be told to begin.

    Args:
        what: which case of the program it does.
        place: the folder or the address of the database where its journal is.
    """

    def __init__(self, what: str, place: Path | str) -> None:
        command = [sys.executable, "-c", PROGRAM, what, str(place)]
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.line() == "ready"

    def line(self) -> str:
        """What it says next."""
        assert self.popen.stdout
        return self.popen.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it go on from where it waits."""
        assert self.popen.stdin
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def end(self) -> tuple[str, str, int]:
        """What it has said since, what it complained of, and how it ended."""
        output, errors = self.popen.communicate()
        return output, errors, self.popen.returncode


def at_once(what: str, place: Path | str, count: int) -> list[tuple[str, str, int]]:
    """What becomes of processes that do the same at the same time."""
    processes = [Process(what, place) for _ in range(count)]
    for process in processes:
        process.go_on()
    return sorted(process.end() for process in processes)
