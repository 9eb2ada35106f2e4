"""Pictures of the board, to look at and for the README: `make pictures`.

All of them go to tests/browser/screenshots; those that the README shows also to docs/.
"""

import shutil
from itertools import product
from typing import Any

import anyio

from amo_mcp.language import LANGUAGES
from tests.browser.boards import told
from tests.browser.chromium import HERE, chromium

SHOTS = HERE / "screenshots"
DOCS = HERE.parent.parent / "docs"
VIEWS = {
    "list_segments": "segments",
    "audit_segments": "findings",
    "plan_changes": "plan",
    "apply_plan": "applied",
    "list_changes": "changes",
}
SHOWN = {"board-segments-en-light-1200.png": "board.png", "board-plan-en-light-1200.png": "board-plan.png"}
"""What the README shows, and under which names."""


async def main() -> None:
    """Take every picture."""
    SHOTS.mkdir(exist_ok=True)
    for language in LANGUAGES:
        story = await told(language)
        async with chromium("board.mjs") as browser:
            for (tool, view), scheme, width in product(VIEWS.items(), ("light", "dark"), (320, 1200)):
                look: dict[str, Any] = {"scheme": scheme, "width": width, "locale": language}
                await browser.do("host", html=story.page, result=story.results["list_segments"], **look)
                for seen in ("audit_segments", "list_segments", tool):
                    await browser.do("result", result=story.results[seen])
                file = f"board-{view}-{language}-{scheme}-{width}.png"
                await browser.do("shot", file=str(SHOTS / file))
    for file, name in SHOWN.items():
        await anyio.to_thread.run_sync(shutil.copy, SHOTS / file, DOCS / name)


if __name__ == "__main__":
    anyio.run(main)
