"""Debian's Chromium, driven through Node.js by one of the drivers here."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

HERE = Path(__file__).parent
NODE = HERE / "node_modules" / ".bin" / "node"
SECONDS = 60
SCHEMES = ("light", "dark")


class Chromium:
    """One browser; every `who` has a window and cookies of their own."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        self._stdin = process.stdin
        self._lines = TextReceiveStream(process.stdout)
        self._read = ""

    async def do(self, action: str, who: str = "the person", **request: Any) -> dict[str, Any]:
        """Have something done, and see what the page shows then."""
        line = json.dumps({"do": action, "who": who, **request})
        await self._stdin.send(f"{line}\n".encode())
        with anyio.fail_after(SECONDS):
            while "\n" not in self._read:
                self._read += await self._lines.receive()
        answer, _, self._read = self._read.partition("\n")
        found = json.loads(answer)
        assert "failed" not in found, found["failed"]
        return dict(found)

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


@asynccontextmanager
async def chromium(driver: str = "driver.mjs") -> AsyncIterator[Chromium]:
    """A browser for as long as the context lasts."""
    path = shutil.which("chromium")
    assert path, "chromium is not installed (Debian's package chromium)"
    environment = {**os.environ, "CHROMIUM": path}
    async with await anyio.open_process([str(NODE), str(HERE / driver)], env=environment, stderr=None) as process:
        try:
            yield Chromium(process)
        finally:
            assert process.stdin
            await process.stdin.aclose()
            with anyio.move_on_after(10):
                await process.wait()
