"""The board: one page that draws the answers of the tools. It looks and asks; it never writes, and never says yes.

It gets the answers from the client that shows it (MCP Apps), from the server of `amo-mcp board`, or has them in itself.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amo_mcp import __version__, pages
from amo_mcp.language import Texts
from amo_mcp.server.board.words import words

_INLINE = re.compile("<(script|style)>(.*?)</(?:script|style)>", re.DOTALL)


def render(texts: Texts, gone: str = "", links: Sequence[tuple[str, str, bool]] = (), **given: Any) -> str:
    """The page in a person's language.

    Args:
        texts: the language.
        gone: what it says when `live` cannot be read any more; else how `amo-mcp board` is started again.
        links: to the other pages of who serves it: the address and the name of each, and whether it is this one.
        given: `live`, the path that the answers are read from; or `answers`, the results by the names of the tools;
            with either `account`, its name, and with the latter `at`, the moment they were read. Without them the page
            speaks to the client that shows it.
    """
    return pages.render(
        "board.html",
        folder=Path(__file__).parent,
        language=texts.language,
        title=given.get("account") or texts("Segments"),
        pages=texts("Pages"),
        links=links,
        waiting=texts("Waiting for data…"),
        picture_css=pages.picture_css(),
        texts=words(texts) | ({"gone": gone} if gone else {}),
        given={"version": __version__, **given},
    )


def content_security_policy(page: str) -> str:
    """What lets the script and the style of a page run, and nothing else; `connect-src` is left to who serves it."""
    hashes = {name: _digest(text) for name, text in _INLINE.findall(page)}
    return f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; base-uri 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
