"""The HTTP server on a real port: slow requests, signals, and the end of what is under way."""

import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import httpx2
import pytest

from amo_mcp.listen import listen
from amo_mcp.transports import http, uvicorn
from amo_mcp.transports.uvicorn import HttpServer
from tests.transports.peers import INITIALIZE, NEW, TestServer, call, modern

pytestmark = pytest.mark.anyio

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
SECONDS = 10
"""How long anything may take before the test gives up."""


class At:
    """A server that listens."""

    def __init__(self, mcp: TestServer, server: HttpServer) -> None:
        self.mcp, self.server = mcp, server
        self.ready, self.ended = anyio.Event(), anyio.Event()

    @property
    def health(self) -> str:
        return self.server.url.removesuffix("/mcp") + "/healthz"

    async def run(self) -> None:
        await self.server.serve_until_stopped(self.ready.set)
        self.ended.set()

    async def ends(self) -> None:
        with anyio.fail_after(SECONDS):
            await self.ended.wait()

    async def connect(self) -> anyio.abc.SocketStream:
        address = httpx2.URL(self.server.url)
        return await anyio.connect_tcp(address.host, address.port or 0)

    async def begin(self, name: str, group: Any) -> list[httpx2.Response]:
        """Begin a call of 2026-07-28; its response will be in the list."""
        answers: list[httpx2.Response] = []
        headers = {**ACCEPT, "mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": name}

        async def post() -> None:
            async with httpx2.AsyncClient() as client:
                answers.append(await client.post(self.server.url, json=modern(call(1, name)), headers=headers))

        group.start_soon(post)
        with anyio.fail_after(SECONDS):
            while not self.mcp.called:
                await anyio.lowlevel.checkpoint()
        return answers


@asynccontextmanager
async def served() -> AsyncIterator[At]:
    mcp = TestServer()
    with listen("127.0.0.1", 0) as listener:
        at = At(mcp, HttpServer.on_loopback(mcp, listener))
        async with anyio.create_task_group() as group:
            group.start_soon(at.run)
            await at.ready.wait()
            try:
                yield at
            finally:
                at.server.stop()
                at.server.stop()


async def all_of(stream: anyio.abc.SocketStream) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    with anyio.fail_after(SECONDS):
        async for chunk in stream:
            received += chunk
    return received


class TestSlowRequests:
    @pytest.mark.parametrize("sent", [b"", b"G", HEAD], ids=["nothing", "a letter", "half"])
    async def test_a_head_that_does_not_come_in_time_ends_the_connection(
        self, sent: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "HEAD_SECONDS", 0.05)
        async with served() as at, await at.connect() as stream:
            if sent:
                await stream.send(sent)
            assert await all_of(stream) == b""

    async def test_the_head_of_a_later_request_that_does_not_come_in_time_ends_the_connection(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "HEAD_SECONDS", 0.05)
        async with served() as at, await at.connect() as stream:
            for _ in range(2):
                await stream.send(HEAD + b"\r\n")
                assert b"200 OK" in await stream.receive()
            await stream.send(HEAD)
            await all_of(stream)

    async def test_a_head_that_comes_in_drops_is_not_waited_for_any_longer(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "HEAD_SECONDS", 0.05)
        async with served() as at, await at.connect() as stream:
            await stream.send(HEAD)
            with anyio.fail_after(SECONDS), pytest.raises(anyio.BrokenResourceError):
                while True:
                    await stream.send(b"X-Drop: 1\r\n")
                    await anyio.sleep(0.005)

    async def test_a_body_that_does_not_come_in_time_is_answered_and_ends_the_connection(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
        async with served() as at, await at.connect() as stream:
            head = "".join(f"{name}: {value}\r\n" for name, value in {**ACCEPT, "content-length": "99"}.items())
            await stream.send(f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{{".encode())
            assert (await all_of(stream)).startswith(b"HTTP/1.1 408 ")

    @pytest.mark.requirement("HTTP-9")
    async def test_of_too_many_connections_the_one_that_has_waited_longest_for_a_request_is_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "MAX_CONNECTIONS", 5)
        async with served() as at, httpx2.AsyncClient() as client:
            halves = [await at.connect() for _ in range(4)]
            for half in halves:
                await half.send(HEAD)
            assert (await client.get(at.health)).status_code == 200
            assert await all_of(halves[0]) == b""
            await halves[1].send(b"\r\n")
            assert b"200 OK" in await halves[1].receive()
            for half in halves:
                await half.aclose()

    @pytest.mark.requirement("HTTP-9")
    async def test_many_half_requests_at_once_keep_nobody_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uvicorn, "MAX_CONNECTIONS", 5)
        async with served() as at, httpx2.AsyncClient() as client:
            address = httpx2.URL(at.server.url)
            # They are made while the event loop stands still, and so accepted in one go.
            halves = [socket.create_connection((address.host, address.port or 0)) for _ in range(50)]
            for half in halves:
                half.sendall(HEAD)
            assert (await client.get(at.health)).status_code == 200
            for half in halves:
                half.close()

    @pytest.mark.requirement("HTTP-9")
    async def test_where_every_connection_has_a_request_under_way_another_one_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "MAX_CONNECTIONS", 2)
        async with served() as at, anyio.create_task_group() as group, httpx2.AsyncClient() as client:
            answers = await at.begin("wait", group)
            assert (await client.get(at.health)).status_code == 503
            at.mcp.release.set()
        assert [answer.status_code for answer in answers] == [200]

    async def test_a_request_may_take_longer_than_its_head(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uvicorn, "HEAD_SECONDS", 0.05)
        monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
        async with served() as at, anyio.create_task_group() as group:
            answers = await at.begin("wait", group)
            await anyio.sleep(0.1)
            at.mcp.release.set()
        assert [answer.status_code for answer in answers] == [200]


class TestTheEnd:
    @pytest.mark.requirement("HTTP-8")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_after_a_signal_calls_under_way_are_answered_and_no_other_is_begun(
        self, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "SHUTDOWN_SECONDS", 60)
        before = signal.getsignal(number)
        async with served() as at, anyio.create_task_group() as group, httpx2.AsyncClient() as client:
            answers = await at.begin("wait", group)
            signal.raise_signal(number)
            with anyio.fail_after(SECONDS):
                await at.mcp.closing.wait()
            assert (await client.post(at.server.url, json=INITIALIZE, headers=ACCEPT)).status_code == 503
            assert not answers
            at.mcp.release.set()
            await at.ends()
        assert [answer.status_code for answer in answers] == [200]
        assert signal.getsignal(number) == before

    @pytest.mark.requirement("HTTP-8")
    async def test_a_call_that_does_not_finish_in_time_is_answered_with_an_error(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(uvicorn, "SHUTDOWN_SECONDS", 0.05)
        async with served() as at, anyio.create_task_group() as group:
            answers = await at.begin("wait", group)
            at.server.stop()
            await at.ends()
        [answer] = answers
        assert (answer.status_code, json.loads(answer.text)["error"]["message"]) == (503, "The server is shutting down")
        assert caplog.messages == []

    async def test_a_server_that_is_stopped_twice_does_not_wait_for_calls(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uvicorn, "SHUTDOWN_SECONDS", 60)
        async with served() as at, anyio.create_task_group() as group:
            answers = await at.begin("wait", group)
            at.server.stop()
            at.server.stop()
            await at.ends()
        assert [answer.status_code for answer in answers] == [503]

    async def test_a_cancelled_server_leaves_nothing_behind(self) -> None:
        mcp = TestServer()
        with listen("127.0.0.1", 0) as listener:
            at = At(mcp, HttpServer.on_loopback(mcp, listener))
            async with anyio.create_task_group() as group:
                group.start_soon(at.run)
                await at.ready.wait()
                stream = await at.connect()
                group.cancel_scope.cancel()
            assert await all_of(stream) == b""
            await stream.aclose()
            address = listener.getsockname() if listener.fileno() >= 0 else None
        assert address is None

    async def test_a_server_that_is_cancelled_before_it_has_started_ends(self) -> None:
        mcp = TestServer()
        with listen("127.0.0.1", 0) as listener:
            server = HttpServer.on_loopback(mcp, listener)
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve_until_stopped, lambda: None)
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        assert not mcp.closing.is_set()

    async def test_a_server_in_another_thread_than_the_main_one_is_stopped_by_its_method(self) -> None:
        """Signals come to the main thread alone."""

        def run() -> None:
            async def main() -> None:
                async with served() as at, httpx2.AsyncClient() as client:
                    assert (await client.get(at.health)).status_code == 200
                    at.server.stop()
                    await at.ends()

            anyio.run(main)

        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        await anyio.to_thread.run_sync(run)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
