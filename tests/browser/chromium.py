"""Debian's Chromium, driven through Node.js by one of the drivers here."""

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import anyio.to_thread

HERE = Path(__file__).parent
NODE = HERE / "node_modules" / ".bin" / "node"
SECONDS = 60
SCHEMES = ("light", "dark")


class Chromium:
    """One browser; every `who` has a window and cookies of their own."""

    def __init__(self, driver: str) -> None:
        path = shutil.which("chromium")
        assert path, "chromium is not installed (Debian's package chromium)"
        command, environment = [NODE, HERE / driver], {**os.environ, "CHROMIUM": path}
        self._process = subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, encoding="utf-8")
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        atexit.unregister(self.close)
        with self._process as process:
            assert process.stdin
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()

    async def do(self, action: str, who: str = "the person", **request: Any) -> dict[str, Any]:
        """Have something done, and see what the page shows then."""
        line = json.dumps({"do": action, "who": who, **request})
        with anyio.fail_after(SECONDS):
            found = json.loads(await anyio.to_thread.run_sync(self._asked, line, abandon_on_cancel=True))
        assert "failed" not in found, found["failed"]
        return dict(found)

    def _asked(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    async def check(self, name: str, widths: Sequence[int] = (360,), **request: Any) -> None:
        """That what is shown breaks no rule of accessibility and fits, in light and dark and at every width."""
        looks = [{"scheme": scheme, "width": width} for scheme in SCHEMES for width in widths]
        shown = await self.do("axe", looks=looks, **request)
        assert (name, shown["violations"], shown["tooWide"]) == (name, [], [])
        assert shown["passes"] > 10

    async def shoot(self, path: Path, widths: Sequence[int] = (360,), **request: Any) -> None:
        """Pictures of the whole page, in light and dark and at every width, for looking at."""
        for scheme in SCHEMES:
            for width in widths:
                file = path.with_name(f"{path.name}-{scheme}-{width}.png")
                await self.do("shot", file=str(file), scheme=scheme, width=width, **request)


_IDLE: dict[str, Chromium] = {}
"""By its driver, a browser that somebody before has used."""


@asynccontextmanager
async def chromium(driver: str = "driver.mjs") -> AsyncIterator[Chromium]:
    """A browser without windows; they are closed with the context."""
    browser = _IDLE.pop(driver, None) or Chromium(driver)
    try:
        yield browser
        await browser.do("end")
    except BaseException:
        # It may owe an answer.
        browser.close()
        raise
    _IDLE[driver] = browser
