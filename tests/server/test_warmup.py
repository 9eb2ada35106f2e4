"""What starting leaves out is brought in one piece after the other, and never in the way of a call."""

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from mcp import Client

from amo_mcp.compose.local import open_server
from amo_mcp.server.warmup import imports, warm_up
from amo_mcp.settings import ServingSettings, load_settings

pytestmark = pytest.mark.anyio


async def test_pieces_run_in_order_and_off_the_event_loop() -> None:
    ran: list[tuple[int, bool]] = []

    def piece(number: int) -> Callable[[], None]:
        return lambda: ran.append((number, threading.current_thread() is threading.main_thread()))

    await warm_up([piece(number) for number in range(3)])
    assert ran == [(0, False), (1, False), (2, False)]


async def test_the_event_loop_is_free_while_a_piece_runs() -> None:
    begun, served = threading.Event(), threading.Event()

    def piece() -> None:
        begun.set()
        assert served.wait(10)

    async with anyio.create_task_group() as group:
        group.start_soon(warm_up, [piece])
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        served.set()


async def test_cancelling_ends_the_warm_up_at_once_and_starts_no_further_piece() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    further: list[int] = []

    def piece() -> None:
        begun.set()
        assert may_end.wait(10)
        ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(warm_up, [piece, lambda: further.append(1)])
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(10)
    assert further == []


async def test_a_piece_that_fails_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    def broken() -> None:
        raise OSError("no certificates")

    with caplog.at_level(logging.INFO, "amo_mcp.server.warmup"):
        await warm_up([broken, lambda: ran.append("next")])
    assert ran == ["next"]
    [record] = caplog.records
    assert record.getMessage().endswith("could not be prepared: OSError")
    assert record.exc_info is None


async def test_modules_are_imported_one_piece_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["warmed_one", "warmed_two"]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    pieces = imports(names)
    assert [name for name in names if name in sys.modules] == []
    await warm_up(pieces[:1])
    assert [name for name in names if name in sys.modules] == ["warmed_one"]
    await warm_up(pieces)
    assert [name for name in names if name in sys.modules] == names
    for name in names:
        monkeypatch.delitem(sys.modules, name)


async def test_a_server_warms_up_once_its_tools_were_listed() -> None:
    warmed_up = anyio.Event()
    settings = load_settings(ServingSettings, sandbox=True)
    done = partial(anyio.from_thread.run_sync, warmed_up.set, token=anyio.lowlevel.current_token())
    async with open_server(settings, "stdio", warmed_up=done) as server, Client(server, cache=None) as client:
        await client.list_prompts()
        assert not warmed_up.is_set()
        await client.list_tools()
        with anyio.fail_after(30):
            await warmed_up.wait()


async def test_a_server_that_ends_while_it_warms_up_does_not_wait_for_the_piece_under_way() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def last_piece() -> None:
        begun.set()
        assert may_end.wait(30)
        ended.set()

    settings = load_settings(ServingSettings, sandbox=True)
    async with open_server(settings, "stdio", warmed_up=last_piece) as server, Client(server, cache=None) as client:
        await client.list_tools()
        with anyio.fail_after(30):
            while not begun.is_set():
                await anyio.lowlevel.checkpoint()
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(10)
