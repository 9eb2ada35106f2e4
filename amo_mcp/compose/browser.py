"""A person's browser on this machine: whether one can be opened, and opening it.

`webbrowser` would also start a text browser in the terminal that an MCP client reads, so those are left out.
"""

import os
import subprocess
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.lowlevel

from amo_mcp.settings import is_reference

_TEXT_BROWSERS = {"www-browser", "links", "links2", "elinks", "lynx", "w3m", "browsh"}

_OPENS = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"

_OPENING_SECONDS = 5.0
"""Seconds after which a browser that was started, and has not ended, counts as open: some end when they are closed."""


def why_not() -> str:
    """Why no browser can be opened here; empty when one can, as far as the environment tells."""
    if chosen := os.environ.get("BROWSER"):
        return "BROWSER is a reference that was not replaced by its value" if is_reference(chosen) else ""
    if os.environ.get("SSH_CONNECTION"):
        return "this is a session over SSH"
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform not in ("win32", "darwin") and not has_display:
        return "there is no graphical session (DISPLAY or WAYLAND_DISPLAY), and BROWSER is not set"
    return ""


async def open_tab(address: str) -> bool:
    """Open an address in the person's browser; whether that worked.

    In a thread of its own that nobody waits for at the end: some browsers run until the person closes them.
    """
    ended, result = anyio.Event(), [True]
    token = anyio.lowlevel.current_token()

    def run() -> None:
        result[0] = _open(address)
        # The server may have ended meanwhile.
        with suppress(anyio.RunFinishedError):
            anyio.from_thread.run_sync(ended.set, token=token)

    threading.Thread(target=run, name="browser", daemon=True).start()
    with anyio.move_on_after(_OPENING_SECONDS):
        await ended.wait()
    return result[0]


def is_found() -> bool:
    """Whether there is a browser, and no text browser; asking takes some tens of milliseconds."""
    try:
        return Path(webbrowser.get().name or "").name not in _TEXT_BROWSERS
    except (webbrowser.Error, ValueError):
        # ValueError: BROWSER cannot be parsed, as `"firefox %s`.
        return False


def _open(address: str) -> bool:
    """By a process of its own, whose output goes nowhere: browsers, and what starts them, print the address."""
    if not is_found():
        return False
    started = [sys.executable, "-I", "-c", _OPENS, address]
    nowhere = subprocess.DEVNULL
    with suppress(OSError):
        return not subprocess.run(
            started,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            check=False,
        ).returncode
    return False
