"""The stdio transport in front of a small server: what is refused, what is bounded, and how it ends."""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from amo_mcp.transports import descriptors, outbox, stdio
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.messages import BUSY
from amo_mcp.transports.stdio import serve_stdio
from tests.transports.peers import INITIALIZE, INITIALIZED, META, TestServer, call, text_of

SECONDS = 10
"""How long anything may take before the test gives up."""


@pytest.fixture(params=[True, False], ids=["when ready", "by threads"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on POSIX systems and as on Windows."""
    monkeypatch.setattr(descriptors, "POSIX", request.param)


class Wire:
    """The client's ends of two pipes, and the server that runs at the others."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.stdin, self._to_server = os.pipe()
        self._from_server, self.stdout = os.pipe()
        self.ended = anyio.Event()
        self._received = b""

    async def send(self, *messages: Any) -> None:
        lines = (item if isinstance(item, bytes) else json.dumps(item).encode() for item in messages)
        left = memoryview(b"".join(line + b"\n" for line in lines))
        with anyio.fail_after(SECONDS):
            while left:
                await anyio.wait_writable(self._to_server)
                left = left[os.write(self._to_server, left[: select.PIPE_BUF]) :]

    async def receive(self) -> Any:
        """The next message."""
        with anyio.fail_after(SECONDS):
            while b"\n" not in self._received:
                await anyio.wait_readable(self._from_server)
                chunk = os.read(self._from_server, 65536)
                assert chunk, "stdout has ended"
                self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    async def ask(self, request: dict[str, Any]) -> Any:
        """The answer to one request, which is the next message."""
        await self.send(request)
        answer = await self.receive()
        assert answer["id"] == request["id"]
        return answer

    async def begins(self, *names: str) -> None:
        """Wait until these tools have been called."""
        with anyio.fail_after(SECONDS):
            while [name for name, _ in self.server.called] != [*names]:
                await anyio.lowlevel.checkpoint()

    def end_input(self) -> None:
        os.close(self._to_server)
        self._to_server = -1

    def stop_reading(self) -> None:
        os.close(self._from_server)
        self._from_server = -1

    async def ends(self) -> None:
        with anyio.fail_after(SECONDS):
            await self.ended.wait()

    async def run(self) -> None:
        await serve_stdio(self.server, self.stdin, self.stdout)
        self.ended.set()

    async def close(self) -> None:
        """Close the client's ends, and then the server's, when no thread uses them any more."""
        for fd in (self._to_server, self._from_server):
            if fd >= 0:
                os.close(fd)
        for thread in threading.enumerate():
            if thread.name in {"stdin", "stdout"}:
                await anyio.to_thread.run_sync(thread.join, SECONDS)
        os.close(self.stdin)
        os.close(self.stdout)


@asynccontextmanager
async def served(*, stdout: int | None = None) -> AsyncIterator[Wire]:
    """A server to which a client of 2025-11-25 has just introduced itself."""
    wire = Wire(TestServer())
    if stdout is not None:
        os.dup2(stdout, wire.stdout)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(wire.run)
            if stdout is None:
                assert (await wire.ask(INITIALIZE))["result"]["serverInfo"]["name"] == "test"
                await wire.send(INITIALIZED)
            yield wire
            group.cancel_scope.cancel()
    finally:
        await wire.close()


@pytest.fixture
def _two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two calls at once."""
    monkeypatch.setattr(stdio, "MAX_CONCURRENT_CALLS", 2)


def error_of(answer: Any) -> tuple[int, str]:
    return answer["error"]["code"], answer["error"]["message"]


BUSY_ERROR = (BUSY, "Busy: 2 requests are being answered")


@pytest.mark.anyio
@pytest.mark.usefixtures("_both_ways")
class TestRefusals:
    @pytest.mark.requirement("HTTP-9")
    @pytest.mark.parametrize(
        ("line", "code", "request_id"),
        [
            (json.dumps(call(7, "echo", text="?")).encode().replace(b"?", b"\xff"), -32700, 7),
            (json.dumps(call(7, "echo", text="?")).encode().replace(b"?", b"\\ud800"), -32700, 7),
            (json.dumps(call(7, "echo")).encode()[:-1] + b",}", -32700, 7),
            (json.dumps([call(7, "echo"), call(8, "echo")]).encode(), -32600, None),
            (b"this is not JSON", -32700, None),
        ],
        ids=["not UTF-8", "lone surrogate", "broken JSON", "batch", "no JSON"],
    )
    async def test_a_line_that_is_no_message_is_answered_and_logged_and_nothing_of_it_runs(
        self, line: bytes, code: int, request_id: int | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with served() as wire:
            with caplog.at_level(logging.WARNING):
                await wire.send(line)
                refusal = await wire.receive()
            assert (refusal["id"], refusal["error"]["code"]) == (request_id, code)
            assert caplog.messages == [f"refused a message: {refusal['error']['message']}"]
            assert text_of(await wire.ask(call(8, "echo", text="on"))) == "on"
            assert wire.server.called == [("echo", {"text": "on"})]

    async def test_a_line_above_the_limit_is_answered_with_its_id(self) -> None:
        async with served() as wire:
            await wire.send(call(7, "echo", text="x" * MAX_MESSAGE_BYTES))
            answer = await wire.receive()
            assert (answer["id"], answer["error"]["code"]) == (7, -32600)
            assert wire.server.called == []

    @pytest.mark.parametrize("result", ["null", "[]", '"accept"', '{"action":"\\ud800"}'])
    async def test_an_answer_that_is_none_ends_its_dialog_with_an_error(self, result: str) -> None:
        async with served() as wire:
            await wire.send(call(1, "ask"))
            dialog = await wire.receive()
            await wire.send(b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (dialog["id"], result.encode()))
            refusal, answer = await wire.receive(), await wire.receive()
            assert (refusal["id"], answer["id"]) == (None, 1)
            assert answer["error"] == refusal["error"]

    async def test_empty_lines_are_no_messages(self) -> None:
        async with served() as wire:
            await wire.send(b"", b" \t\r", call(1, "echo", text="on"))
            assert text_of(await wire.receive()) == "on"

    async def test_an_answer_that_is_no_utf8_is_an_internal_error(self) -> None:
        async with served() as wire:
            answer = await wire.ask(call(1, "broken"))
            assert error_of(answer) == (-32603, "The answer cannot be written as JSON.")
            assert text_of(await wire.ask(call(2, "echo", text="on"))) == "on"


@pytest.mark.anyio
async def test_a_notification_that_is_no_utf8_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The text cannot come from the client, whose line would be refused."""
    async with served() as wire:
        request = call(1, "broken")
        request["params"]["_meta"] = {"progressToken": 1}
        assert "error" in await wire.ask(request)
    assert caplog.messages == ["a message could not be written as JSON"] * 2


@pytest.mark.anyio
@pytest.mark.usefixtures("_both_ways", "_two_calls")
class TestTooManyCalls:
    async def test_a_call_above_the_limit_is_refused_at_once_and_every_other_is_answered(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with served() as wire:
            with caplog.at_level(logging.WARNING):
                await wire.send(call(1, "wait"), call(2, "wait"), call(3, "wait"), call("four", "wait"))
                refusals = [await wire.receive(), await wire.receive()]
            assert [(item["id"], error_of(item)) for item in refusals] == [(3, BUSY_ERROR), ("four", BUSY_ERROR)]
            assert caplog.messages == [f"refused a message: {BUSY_ERROR[1]}"]
            wire.server.release.set()
            assert {(await wire.receive())["id"], (await wire.receive())["id"]} == {1, 2}
            assert text_of(await wire.ask(call(5, "echo", text="on"))) == "on"

    async def test_the_answer_of_a_dialog_is_read_while_no_call_is(self) -> None:
        async with served() as wire:
            await wire.send(call(1, "wait"), call(2, "ask"))
            dialog = await wire.receive()
            assert dialog["method"] == "elicitation/create"
            assert error_of(await wire.ask(call(3, "echo"))) == BUSY_ERROR
            await wire.send({"jsonrpc": "2.0", "id": dialog["id"], "result": {"action": "decline"}})
            answer = await wire.receive()
            assert (answer["id"], text_of(answer)) == (2, "decline")

    async def test_a_cancelled_call_makes_room(self) -> None:
        async with served() as wire:
            await wire.send(call(1, "wait"), call(2, "wait"))
            assert error_of(await wire.ask(call(3, "echo"))) == BUSY_ERROR
            for number in (1, 2):
                await wire.send(
                    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
                )
            while "error" in (answer := await wire.ask(call(4, "echo", text="on"))):
                assert error_of(answer) == BUSY_ERROR
            assert text_of(answer) == "on"

    async def test_answers_that_nobody_reads_take_room_until_they_are_read(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each is more than a pipe holds, so that one is being written and two wait."""
        async with served() as wire:
            for number in range(1, 5):
                await wire.send(call(number, "echo", text="x" * 100_000))
                with anyio.fail_after(SECONDS):
                    while len(wire.server.called) + len(caplog.messages) < number:
                        await anyio.lowlevel.checkpoint()
            answers = [await wire.receive() for _ in range(4)]
            refusals = [item["id"] for item in answers if "error" in item]
            assert refusals in ([4], [3])
            assert text_of(await wire.ask(call(5, "echo", text="on"))) == "on"

    async def test_the_same_id_twice_is_counted_twice(self) -> None:
        async with served() as wire:
            await wire.send(call(1, "wait"), call(1, "wait"))
            assert error_of(await wire.ask(call(1, "echo"))) == BUSY_ERROR

    async def test_a_client_that_goes_on_sending_and_reads_nothing_is_left(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(outbox, "MAX_UNREAD_BYTES", 1000)
        monkeypatch.setattr(stdio, "_LAST_ANSWERS_SECONDS", 0.05)
        async with served() as wire:
            await wire.send(call(1, "wait"), call(2, "wait"))
            with caplog.at_level(logging.WARNING), anyio.fail_after(SECONDS):
                while not wire.ended.is_set():
                    await wire.send(b"?")
            assert caplog.messages[-1] == "ended: the client reads nothing and goes on sending"


@pytest.mark.anyio
@pytest.mark.usefixtures("_both_ways")
class TestTheEnd:
    async def test_the_server_ends_with_its_input_and_answers_what_is_open(self) -> None:
        async with served() as wire:
            await wire.send(call(1, "wait"))
            await wire.begins("wait")
            wire.end_input()
            assert error_of(await wire.receive()) == (-32000, "Connection closed")
            await wire.ends()

    async def test_the_server_ends_with_its_input_though_its_answers_are_not_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stdio, "_LAST_ANSWERS_SECONDS", 0.05)
        async with served() as wire:
            await wire.send(call(1, "echo", text="x" * 100_000))
            await wire.begins("echo")
            wire.end_input()
            await wire.ends()

    async def test_the_server_ends_when_nobody_reads_its_output(self, caplog: pytest.LogCaptureFixture) -> None:
        async with served() as wire:
            wire.stop_reading()
            with caplog.at_level(logging.INFO, logger=stdio.__name__):
                await wire.send(call(1, "echo"))
                await wire.ends()
            assert caplog.messages == ["the client does not read any more"]

    async def test_the_server_ends_when_its_output_cannot_be_written(self, caplog: pytest.LogCaptureFixture) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            async with served(stdout=full) as wire:
                await wire.send(INITIALIZE)
                await wire.ends()
        finally:
            os.close(full)
        assert caplog.messages == ["stdout cannot be written: No space left on device"]

    async def test_a_server_that_is_interrupted_from_outside_ends_in_order(self) -> None:
        """As on Windows by Ctrl-C, which cancels the whole program."""
        wire = Wire(TestServer())
        async with anyio.create_task_group() as group:
            group.start_soon(wire.run)
            await wire.ask(INITIALIZE)
            await wire.send(INITIALIZED, call(1, "wait"))
            await wire.begins("wait")
            group.cancel_scope.cancel()
        assert error_of(await wire.receive()) == (-32000, "Connection closed")
        await wire.close()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
class TestSignals:
    async def test_after_a_signal_calls_under_way_are_answered_and_no_other_is_begun(
        self, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stdio, "SHUTDOWN_SECONDS", 60)
        async with served() as wire:
            await wire.send(call(1, "wait"), call(2, "ask"))
            dialog = await wire.receive()
            signal.raise_signal(number)
            with anyio.fail_after(SECONDS):
                await wire.server.closing.wait()
            assert error_of(await wire.ask(call(3, "echo"))) == (BUSY, "The server is shutting down")
            await wire.send({"jsonrpc": "2.0", "id": dialog["id"], "result": {"action": "decline"}})
            assert text_of(await wire.receive()) == "decline"
            assert not wire.ended.is_set()
            wire.server.release.set()
            assert text_of(await wire.receive()) == "done"
            await wire.ends()

    async def test_calls_that_do_not_finish_in_time_are_answered_with_an_error(
        self, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stdio, "SHUTDOWN_SECONDS", 0.05)
        async with served() as wire:
            await wire.send(call(1, "wait"))
            await wire.begins("wait")
            signal.raise_signal(number)
            assert error_of(await wire.receive()) == (-32000, "Connection closed")
            await wire.ends()

    async def test_a_second_signal_does_not_wait_for_calls(
        self, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stdio, "SHUTDOWN_SECONDS", 60)
        async with served() as wire:
            await wire.send(call(1, "wait"))
            await wire.begins("wait")
            signal.raise_signal(number)
            with anyio.fail_after(SECONDS):
                await wire.server.closing.wait()
            signal.raise_signal(number)
            assert error_of(await wire.receive()) == (-32000, "Connection closed")
            await wire.ends()


@pytest.mark.anyio
async def test_a_signal_ends_the_subscriptions_with_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "SHUTDOWN_SECONDS", 60)
    wire = Wire(TestServer())
    listen = {"notifications": {"resourcesListChanged": True}, "_meta": META}
    async with anyio.create_task_group() as group:
        group.start_soon(wire.run)
        await wire.send({"jsonrpc": "2.0", "id": "news", "method": "subscriptions/listen", "params": listen})
        assert (await wire.receive())["method"] == "notifications/subscriptions/acknowledged"
        signal.raise_signal(signal.SIGINT)
        assert "result" in await wire.receive()
        await wire.ends()
    await wire.close()


def test_stdin_and_stdout_are_taken_from_everybody_else() -> None:
    code = """
import os, subprocess, sys
from amo_mcp.transports.stdio import claim_stdio
stdin, stdout = claim_stdio()
print("printed", flush=True)
subprocess.run([sys.executable, "-c", "import sys; print('child read', repr(sys.stdin.read()))"])
os.write(stdout, os.read(stdin, 100))
"""
    done = subprocess.run([sys.executable, "-c", code], input=b"message", capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr.splitlines()) == (b"message", [b"printed", b"child read ''"])
