import os
import signal
import socket
import subprocess
import sys
import threading

import anyio
import httpx2
import pytest

from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running, serve

SEGMENTS = "/api/v4/customers/segments"
HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
NEW = {"name": "Новый"}


@pytest.fixture(scope="module")
def served():
    sandbox = Sandbox()
    with running(sandbox) as url, httpx2.Client(base_url=url, headers=HEADERS) as client:
        yield sandbox, client


@pytest.fixture
def sandbox(served):
    served[0].requests.clear()
    return served[0]


@pytest.fixture
def client(served):
    return served[1]


def test_links_follow_the_host_that_was_asked(client):
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
def test_a_drop_cuts_the_connection(sandbox, client, drop, created, message):
    before = len(sandbox.account.segments)
    sandbox.faults.add(Fault(drop=drop))
    with pytest.raises(httpx2.RemoteProtocolError, match=message):
        client.post(SEGMENTS, json=NEW)
    assert client.get(SEGMENTS).status_code == 200
    assert len(sandbox.account.segments) - before == created
    assert [(request.method, request.status) for request in sandbox.requests] == [("POST", None), ("GET", 200)]


@pytest.mark.parametrize("drop", ["before", "after", "body"])
def test_a_drop_says_nothing(sandbox, client, capfd, drop):
    sandbox.faults.add(Fault(drop=drop))
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get(SEGMENTS)
    assert client.get(SEGMENTS).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_half_of_the_body_arrives_before_the_cut(sandbox, client):
    sandbox.faults.add(Fault(drop="body", status=200, body="0123456789"))
    got = b""
    with client.stream("GET", SEGMENTS) as answer:
        pieces = answer.iter_bytes()
        got += next(pieces)
        with pytest.raises(httpx2.RemoteProtocolError):
            got += next(pieces)
    assert (answer.status_code, answer.headers["content-length"], got) == (200, "10", b"01234")


def test_an_answer_without_a_body_is_not_sent_at_all_when_cut(sandbox, client):
    sandbox.faults.add(Fault(drop="body"))
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        client.delete(f"{SEGMENTS}/21")
    assert 21 not in sandbox.account.segments


def test_a_client_that_gives_up_is_no_accident(capfd):
    sandbox = Sandbox()
    sandbox.faults.add(Fault(delay=0.1))
    with running(sandbox) as url, pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{url}{SEGMENTS}", json=NEW, headers=HEADERS, timeout=0.05)
    assert [request.status for request in sandbox.requests] == [200]
    assert len(sandbox.account.segments) == 16
    assert capfd.readouterr() == ("", "")


def test_a_body_that_is_too_large_is_refused_over_the_wire_too(client):
    assert client.post(SEGMENTS, content=b" " * 3_000_000).status_code == 413
    assert client.get(SEGMENTS).status_code == 200


def test_the_end_of_the_context_closes_the_port_and_the_thread():
    threads = threading.active_count()
    with running(Sandbox()) as url:
        assert httpx2.get(f"{url}/api/v4/account", headers=HEADERS).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url)
    assert threading.active_count() == threads


def test_a_slow_answer_does_not_hold_up_the_end(capfd):
    sandbox = Sandbox()
    sandbox.faults.add(Fault(delay=600))
    with running(sandbox) as url, pytest.raises(httpx2.ReadTimeout):
        httpx2.get(f"{url}/api/v4/account", headers=HEADERS, timeout=0.05)
    assert capfd.readouterr() == ("", "")


def test_the_port_asked_for_is_the_port_served():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(Sandbox(), port) as url:
        assert url == f"http://127.0.0.1:{port}"


def test_a_port_that_is_taken_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="Address already in use"):
        running(Sandbox(), taken.getsockname()[1]).__enter__()


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_serving_is_cancelled_cleanly(host, capfd):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    urls = []
    async with anyio.create_task_group() as tasks:
        ready = anyio.Event()

        def started(url):
            urls.append(url)
            ready.set()

        async def run():
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
async def test_serving_can_be_cancelled_before_it_has_begun(capfd):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await serve(Sandbox(), port=0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_and_says_nothing(number):
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
        url = process.stdout.readline().strip()
        status = httpx2.get(f"{url}/api/v4/account", headers=HEADERS).status_code
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (status, out, err, process.returncode) == (200, "stopped\n", "", 0)
