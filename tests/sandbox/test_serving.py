import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Literal

import anyio
import httpx2
import pytest
from httpx2 import Client

from amo_mcp.listen import NotLoopback
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running, serve

SEGMENTS = "/api/v4/customers/segments"
HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
Drop = Literal["before", "after", "body"]
NEW = {"name": "Новый"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Sandbox, Client]]:
    sandbox = Sandbox()
    with running(sandbox) as url, httpx2.Client(base_url=url, headers=HEADERS) as client:
        yield sandbox, client


@pytest.fixture
def sandbox(served: tuple[Sandbox, Client]) -> Sandbox:
    served[0].requests.clear()
    return served[0]


@pytest.fixture
def client(served: tuple[Sandbox, Client]) -> Client:
    return served[1]


def test_links_have_the_host_of_the_request(client: Client) -> None:
    answer = client.get("/api/v4/account")
    assert answer.json()["_links"]["self"]["href"] == str(client.base_url.join("/api/v4/account"))
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("drop", "created", "message"),
    [
        ("before", 0, "Server disconnected without sending a response"),
        ("after", 1, "Server disconnected without sending a response"),
        ("body", 1, "peer closed connection without sending complete message body"),
    ],
)
def test_a_drop_cuts_the_connection(sandbox: Sandbox, client: Client, drop: Drop, created: int, message: str) -> None:
    before = len(sandbox.account.segments)
    sandbox.faults.add(Fault(drop=drop))
    with pytest.raises(httpx2.RemoteProtocolError, match=message):
        client.post(SEGMENTS, json=NEW)
    assert client.get(SEGMENTS).status_code == 200
    assert len(sandbox.account.segments) - before == created
    assert [(request.method, request.status) for request in sandbox.requests] == [("POST", None), ("GET", 200)]


@pytest.mark.parametrize("drop", ["before", "after", "body"])
def test_a_dropped_connection_logs_nothing(
    sandbox: Sandbox, client: Client, capfd: pytest.CaptureFixture[str], drop: Drop
) -> None:
    sandbox.faults.add(Fault(drop=drop))
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get(SEGMENTS)
    assert client.get(SEGMENTS).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_half_of_the_body_arrives_before_the_cut(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add(Fault(drop="body", status=200, body="0123456789"))
    got = b""
    with client.stream("GET", SEGMENTS) as answer:
        pieces = answer.iter_bytes()
        got += next(pieces)
        with pytest.raises(httpx2.RemoteProtocolError):
            got += next(pieces)
    assert (answer.status_code, answer.headers["content-length"], got) == (200, "10", b"01234")


def test_a_response_without_body_is_not_sent_at_all_when_its_body_is_dropped(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add(Fault(drop="body"))
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        client.delete(f"{SEGMENTS}/21")
    assert 21 not in sandbox.account.segments


def test_a_client_that_times_out_logs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    sandbox = Sandbox()
    sandbox.faults.add(Fault(delay=0.1))
    with running(sandbox) as url, pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{url}{SEGMENTS}", json=NEW, headers=HEADERS, timeout=0.05)
    assert [request.status for request in sandbox.requests] == [200]
    assert len(sandbox.account.segments) == 16
    assert capfd.readouterr() == ("", "")


def test_a_body_that_is_too_large_is_refused_over_http(client: Client) -> None:
    assert client.post(SEGMENTS, content=b" " * 3_000_000).status_code == 413
    assert client.get(SEGMENTS).status_code == 200


def test_leaving_the_context_closes_the_port_and_ends_the_thread() -> None:
    threads = threading.active_count()
    with running(Sandbox()) as url:
        assert httpx2.get(f"{url}/api/v4/account", headers=HEADERS).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url)
    assert threading.active_count() == threads


def test_a_slow_response_does_not_delay_stopping(capfd: pytest.CaptureFixture[str]) -> None:
    sandbox = Sandbox()
    sandbox.faults.add(Fault(delay=600))
    with running(sandbox) as url, pytest.raises(httpx2.ReadTimeout):
        httpx2.get(f"{url}/api/v4/account", headers=HEADERS, timeout=0.05)
    assert capfd.readouterr() == ("", "")


def test_the_requested_port_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(Sandbox(), port) as url:
        assert url == f"http://127.0.0.1:{port}"


def test_a_port_in_use_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="Address already in use"),
        running(Sandbox(), taken.getsockname()[1]),
    ):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_cancelling_the_server_closes_its_port_and_logs_nothing(
    host: str, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    urls = []
    async with anyio.create_task_group() as tasks:
        ready = anyio.Event()

        def started(url: str) -> None:
            urls.append(url)
            ready.set()

        async def run() -> None:
            await serve(Sandbox(), host=host, port=0, started=started)

        tasks.start_soon(run)
        await ready.wait()
        async with httpx2.AsyncClient() as client:
            answer = await client.get(f"{urls[0]}/api/v4/account", headers=HEADERS)
        tasks.cancel_scope.cancel()
    async with httpx2.AsyncClient() as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(urls[0])
    assert (answer.status_code, capfd.readouterr()) == (200, ("", ""))


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["0.0.0.0", "sandbox.example"])
async def test_the_server_refuses_an_address_that_is_not_loopback(host: str) -> None:
    with pytest.raises(NotLoopback):
        await serve(Sandbox(), host=host, port=0)


@pytest.mark.anyio
async def test_the_server_can_be_cancelled_before_it_has_started(capfd: pytest.CaptureFixture[str]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await serve(Sandbox(), port=0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_without_output(number: signal.Signals) -> None:
    script = (
        "import anyio\n"
        "from amo_mcp.sandbox import Sandbox\n"
        "from amo_mcp.sandbox.serving import serve\n"
        "async def main():\n"
        "    await serve(Sandbox(), port=0, started=lambda url: print(url, flush=True))\n"
        "anyio.run(main)\n"
        "print('stopped')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        status = httpx2.get(f"{url}/api/v4/account", headers=HEADERS).status_code
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (status, out, err, process.returncode) == (200, "stopped\n", "", 0)
