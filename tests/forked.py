"""`amo-mcp` as processes that are forked from one which has imported everything: no interpreter starts for each."""

import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from amo_mcp.cli import cli

_IMPORTED = (
    *(__name__, "amo_mcp.cli.serve", "amo_mcp.cli.team.serving", "amo_mcp.compose.team", "tenacity"),
    *("amo_mcp.transports.uvicorn", "amo_mcp.tools.segments", "amo_mcp.tools.statuses", "amo_mcp.tools.plans"),
    *("amo_mcp.tools.changes", "amo_mcp.tools.confirm", "amo_mcp.server.handlers", "uvicorn.loops.asyncio"),
)
"""What a server needs, and would else import late."""


def begin(
    arguments: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path | None = None
) -> BaseProcess:
    """Run `amo-mcp` with these arguments in this environment, with what it prints in files; it ends with this process.

    Args:
        arguments: what comes after the name of the program.
        environment: the whole of it.
        output: where its stdout goes.
        errors: where its stderr goes; None for where its stdout does.
    """
    for path in (output, errors or output):
        path.touch()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_IMPORTED])
    process = context.Process(target=_run, args=([*arguments], {**environment}, output, errors or output))
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], output: Path, errors: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    Thread(target=_end_with_parent, daemon=True).start()
    cli(arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
