"""`amo-mcp` as a process, in an environment in which nothing is set."""

import os
import subprocess
import sys

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AMO_")},
    "AMO_STATE_DIR": os.devnull,
    "COVERAGE_PROCESS_CONFIG": os.environ.get("COVERAGE_OF_COMMANDS", ""),
}
"""An environment without variables of ours, on a machine on which nobody is signed in."""


def amo(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `amo-mcp` to its end, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "amo_mcp", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def python(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh interpreter prints that runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**ENVIRONMENT, **environment},
    )
    return done.stdout
