"""What docs/architecture.md says of two calls is what happens: who calls whom, in which order, and never upwards."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import amo_mcp
from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, Serve

pytestmark = pytest.mark.anyio

PACKAGE = Path(amo_mcp.__file__).parent
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.md"

ROOMS = (
    *("storage", "transports", "server", "tools", "failures", "confirmation", "accounts", "reorganize", "changes"),
    *("amocrm", "settings", "paths", "logs", "protocol", "text", "language", "listen"),
)
"""From top to bottom, as imports go; `cli` and `compose` have no part in a call."""

PROGRESS = "confirmation/progress.py:CallProgress.report"
"""Progress goes back to the caller, and nothing comes of it."""

PLAN = [
    {"action": "update", "kind": "segment", "id": 51, "name": "VIP+"},
    {"action": "create", "kind": "segment", "name": "New"},
    {"action": "delete", "kind": "segment", "id": 54},
]


class Calls:
    """The calls of one run, each with its caller, as `changes/executor.py:Executor.execute`."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self._frames: dict[int, FrameType] = {}

    @property
    def names(self) -> list[str]:
        return [called for _, called in self.made]

    @contextmanager
    def traced(self) -> Iterator[None]:
        sys.setprofile(self._trace)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> None:
        # A coroutine is "called" whenever it goes on; its frame stays the same.
        name = _name(frame)
        if event == "call" and name is not None and id(frame) not in self._frames:
            self._frames[id(frame)] = frame
            caller = frame.f_back
            while caller is not None and _name(caller) is None:
                caller = caller.f_back
            self.made.append(("" if caller is None else _name(caller) or "", name))


def _name(frame: FrameType) -> str | None:
    file = Path(frame.f_code.co_filename)
    if not file.is_relative_to(PACKAGE) or "sandbox" in file.parts or frame.f_code.co_name == "<module>":
        return None
    return f"{file.relative_to(PACKAGE).as_posix()}:{frame.f_code.co_qualname}"


def _floor(name: str) -> int:
    return ROOMS.index(re.split(r"[/.]", name)[0])


def _goes_up(caller: str, called: str) -> bool:
    """Whether a call goes to a room above; a backend of storage is called through the protocol that it implements."""
    if not caller or called == PROGRESS or called.startswith("storage/"):
        return False
    return _floor(called) < _floor(caller)


async def call(tool: str, era: str, sandbox: Sandbox, serve: Serve) -> Calls:
    """A confirmed call of `tool`, traced."""
    calls = Calls()
    sandbox.account.customers.clear()
    async with serve(sandbox) as served, served.client(era, Person("yes")) as client:
        arguments: dict[str, Any] = {"segment_id": 51}
        if tool == "apply_plan":
            planned = await client.call_tool("plan_changes", {"changes": PLAN})
            arguments = {"plan_id": (planned.structured_content or {})["plan_id"]}
        with calls.traced():
            result = await client.call_tool(tool, arguments)
        assert not result.is_error
    return calls


@pytest.mark.parametrize("tool", ["delete_segment", "apply_plan"])
async def test_a_call_never_goes_to_a_room_above(tool: str, era: str, sandbox: Sandbox, serve: Serve) -> None:
    calls = await call(tool, era, sandbox, serve)
    assert len(calls.made) > 50
    assert sorted({made for made in calls.made if _goes_up(*made)}) == []


@pytest.mark.parametrize("tool", ["delete_segment", "apply_plan"])
async def test_each_room_receives_the_change_once(tool: str, era: str, sandbox: Sandbox, serve: Serve) -> None:
    names = (await call(tool, era, sandbox, serve)).names
    entries = ("confirmation/ask.py:Asker.ask", "accounts/account.py:AmoAccount.execute")
    assert [names.count(entry) for entry in (*entries, "changes/executor.py:Executor.execute")] == [1, 1, 1]
    assert names.count("confirmation/ask.py:Asker.resume") == (1 if era == "2026-07-28" else 0)


async def test_a_deletion_takes_the_way_that_is_documented(sandbox: Sandbox, serve: Serve) -> None:
    text = ARCHITECTURE.read_text("utf-8")
    down = text[text.index("### `delete_segment`") : text.index("From there it only returns")]
    documented = [f"{file}:{name}" for file, name in re.findall(r"`([a-z_/]+\.py):([A-Za-z_.]+)`", down)]
    backends = ("transports/", "changes/journal.py:")  # stdio has no part in this test, and a protocol makes no calls
    expected = [name for name in documented if not name.startswith(backends)]
    made = iter((await call("delete_segment", "2025-11-25", sandbox, serve)).names)
    assert len(expected) > 15
    assert [name for name in expected if name not in made] == []
