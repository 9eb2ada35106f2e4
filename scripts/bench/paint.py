"""How long the board takes to be painted, in Chromium; needs what `make browser` needs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.figures import Figure, figure
from scripts.bench.peers import sandbox
from scripts.generate import ROOT

_DRIVER = ROOT / "tests" / "browser" / "board.mjs"


def first_paint(rounds: int) -> Iterator[Figure]:
    """From the opening of a page with 100 segments in it until they are painted; nothing without Chromium and npm."""
    node, chromium = _DRIVER.parent / "node_modules" / ".bin" / "node", shutil.which("chromium")
    if not node.exists() or not chromium:
        print("The first paint of the board is left out: it needs chromium, and what `make browser` installs.")
        return
    with tempfile.TemporaryDirectory() as folder, sandbox(100) as (_, environment):
        page = Path(folder) / "board.html"
        command = [sys.executable, "-m", "amo_mcp", "board", "--file", str(page)]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60)
        bare = Path(folder) / "bare.html"
        bare.write_text("<!doctype html><p>One word", "utf-8")
        requests = [{"do": "paint", "address": shown.as_uri()} for _ in range(rounds + 1) for shown in (bare, page)]
        driven = subprocess.run(
            [str(node), str(_DRIVER)],
            input="".join(json.dumps(request) + "\n" for request in requests),
            env={**os.environ, "CHROMIUM": chromium},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    # The first two warm the browser up.
    took = [json.loads(line)["took"] for line in driven.stdout.splitlines()[2:]]
    yield figure("first paint of the board with 100 segments, in Chromium", took[1::2], "ms", "≤ 100")
    yield figure("the same of a page with one word", took[::2], "ms")
