"""A process that begins replicas by forking: each is `amo-mcp serve --team`, without an interpreter's start.

It reads a line for each, the file for its output, and answers with its process. At the end of its input all are killed.
"""

import gc
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

_IMPORTED = (
    *("amo_mcp.cli.serve", "amo_mcp.cli.team.serving", "amo_mcp.compose.team", "amo_mcp.transports.uvicorn"),
    *("amo_mcp.tools.segments", "amo_mcp.tools.statuses", "amo_mcp.tools.plans", "amo_mcp.tools.changes"),
    *("amo_mcp.tools.confirm", "amo_mcp.server.handlers", "tenacity", "uvicorn.loops.asyncio"),
)
"""What a replica needs, and would else import late."""


def main() -> None:
    """Begin replicas until the input ends."""
    for module in _IMPORTED:
        import_module(module)
    gc.freeze()
    # Nobody waits for them: the system forgets them when they are dead.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    begun: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if not child:
            serve(line.strip())
        begun.append(child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
    for process in begun:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def serve(log: str) -> NoReturn:
    """Be a replica, whose output goes to a file."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    from amo_mcp.cli import cli

    try:
        cli(["serve", "--team", "--port", "0"], standalone_mode=False)
    finally:
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
