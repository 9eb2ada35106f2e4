"""`amo-mcp serve` as a process: how it starts, how it ends, and what it says meanwhile."""

import fcntl
import json
import os
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx2
import pytest
from mcp import Client

from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running as sandbox_running
from tests.cli.command_line import ENVIRONMENT, amo
from tests.conftest import Person, answer, error
from tests.journeys.test_stdio import ERAS

OLD, NEW = ERAS
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
SECONDS = 30
"""That a process has for what takes a fraction of it."""


@contextmanager
def process(
    *arguments: str,
    start: Sequence[str] = ("-m", "amo_mcp"),
    stdin: Any = subprocess.PIPE,
    account: Sequence[str] = ("--sandbox",),
    **environment: str,
) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, *start, "serve", *account, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=stdin, stdout=pipe, stderr=pipe, env={**ENVIRONMENT, **environment}
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def over_http(*arguments: str, **how: Any) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    with process("--http", "--port", "0", *arguments, **how) as running:
        assert running.stdout
        said = running.stdout.readline().decode()
        match = re.fullmatch(r"amo-mcp serves at (http://[0-9.:]+/mcp) \(Ctrl-C ends it\)\.\n", said)
        assert match, said
        yield running, match[1]


def say(running: "subprocess.Popen[bytes]", *messages: Any) -> None:
    assert running.stdin
    running.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    running.stdin.flush()


_heard: WeakKeyDictionary["subprocess.Popen[bytes]", bytearray] = WeakKeyDictionary()


def hear(running: "subprocess.Popen[bytes]") -> Any:
    """The next message."""
    assert running.stdout
    heard = _heard.setdefault(running, bytearray())
    while b"\n" not in heard:
        assert select.select([running.stdout], [], [], SECONDS)[0], "it does not answer"
        chunk = os.read(running.stdout.fileno(), 65536)
        assert chunk, "it has ended"
        heard += chunk
    line, _, heard[:] = heard.partition(b"\n")
    return json.loads(line)


def call(number: int, name: str, arguments: Any) -> Any:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


class TestHttp:
    @pytest.mark.requirement("HTTP-6")
    @pytest.mark.anyio
    async def test_a_client_without_dialogs_cannot_be_asked_over_http(self, era: str) -> None:
        with over_http() as (_, url):
            async with Client(url, mode=ERAS[era], cache=None) as client:
                failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
                assert failure["code"] == "cannot_ask"
            async with Client(url, mode=ERAS[era], elicitation_callback=Person(), cache=None) as client:
                assert answer(await client.call_tool("delete_segment", {"segment_id": 51}))["deleted"]["id"] == 51

    @pytest.mark.requirement("HTTP-6")
    @pytest.mark.anyio
    async def test_with_confirm_chat_a_client_is_asked_in_two_steps_over_http(self, era: str) -> None:
        with over_http("--confirm", "chat") as (_, url):
            async with Client(url, mode=ERAS[era], cache=None) as client:
                failure = error(await client.call_tool("delete_segment", {"segment_id": 51}))
                assert failure["code"] == "confirmation_required"
                confirmed = await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]})
                assert answer(confirmed)["deleted"]["id"] == 51

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_http_server_in_order_and_in_silence(self, how: signal.Signals) -> None:
        with over_http() as (running, url):
            headers = {"accept": "application/json, text/event-stream"}
            session = httpx2.post(url, json=HELLO, headers=headers).headers["mcp-session-id"]
            with httpx2.stream("GET", url, headers={**headers, "mcp-session-id": session}) as stream:
                assert stream.status_code == 200
                running.send_signal(how)
                assert stream.read() == b""
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert running.stderr.read() == b""

    @pytest.mark.requirement("HTTP-2")
    @pytest.mark.parametrize("host", ["0.0.0.0", "example.org"])
    def test_a_host_that_is_not_loopback_is_refused(self, host: str) -> None:
        done = amo("serve", "--sandbox", "--http", "--host", host)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "amo-mcp cannot start:",
            "  --host must be a loopback address, such as 127.0.0.1, ::1 or localhost: there is no sign-in",
        ]

    def test_a_port_that_is_taken_is_said(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = amo("serve", "--sandbox", "--http", "--port", str(port))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "amo-mcp cannot start:",
            f"  --port {port} cannot be used on 127.0.0.1: Address already in use",
        ]

    @pytest.mark.requirement("HTTP-2")
    @pytest.mark.parametrize("option", [("--host", "127.0.0.1"), ("--port", "8000")])
    def test_host_and_port_are_refused_without_http(self, option: tuple[str, str]) -> None:
        done = amo("serve", "--sandbox", *option)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == ["amo-mcp cannot start:", "  --host and --port are for --http and --team"]


WAYS = {
    "when stdin and stdout are ready": ("-m", "amo_mcp"),
    "with threads, as on Windows": (
        "-c",
        "from amo_mcp import cli; from amo_mcp.transports import descriptors; descriptors.POSIX = False; cli.main()",
    ),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Sequence[str]:
    """How the process is started, so that it reads and writes in one way or the other."""
    return WAYS[request.param]


class TestStdio:
    @pytest.mark.parametrize(
        ("closed", "name"), [("<&-", "stdin"), (">&-", "stdout"), ("<&- >&- 2>&-", "")], ids=["stdin", "stdout", "all"]
    )
    def test_a_stdio_server_without_a_client_says_so_in_a_sentence(self, closed: str, name: str) -> None:
        command = shlex.join([sys.executable, "-m", "amo_mcp", "serve", "--sandbox"])
        done = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], capture_output=True, env=ENVIRONMENT, timeout=SECONDS, check=False
        )
        why = f"  {name} is closed, and a client speaks with the server through stdin and stdout"
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode().splitlines() == (["amo-mcp cannot start:", why] if name else [])

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_stdio_server_once_the_call_under_way_is_answered(
        self, how: signal.Signals, tmp_path: Path
    ) -> None:
        sandbox = Sandbox()
        sandbox.faults.add(Fault(method="GET", delay=1))
        with sandbox_running(sandbox) as url:
            environment = {"AMO_BASE_URL": url, "AMO_ACCESS_TOKEN": ADMIN_TOKEN, "AMO_STATE_DIR": str(tmp_path)}
            with process(account=(), **environment) as running:
                say(running, HELLO, call(1, "get_segment", {"segment_id": 51}))
                hear(running)
                until = time.monotonic() + SECONDS
                while not sandbox.requests:
                    assert time.monotonic() < until, "it does not ask"
                    time.sleep(0.01)
                running.send_signal(how)
                assert hear(running)["result"]["structuredContent"]["name"] == "VIP"
                assert running.wait(SECONDS) == 0
                assert running.stderr
                assert running.stderr.read() == b""

    def test_a_client_that_sends_much_and_reads_nothing_costs_little_and_does_not_keep_the_server_from_ending(
        self, way: Sequence[str]
    ) -> None:
        """Its answers would be 80 MB."""
        with process(start=way) as running:
            say(running, HELLO)
            hear(running)
            before = peak_megabytes(running.pid)
            say(running, *({"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(1, 4001)))
            assert running.stdin
            running.stdin.close()
            assert running.stderr
            refused = b"warning: amo_mcp.transports.stdio: refused a message: Busy: 100 requests are being answered\n"
            assert running.stderr.readline() == refused
            after = peak_megabytes(running.pid)
            assert running.wait(SECONDS) == 0
            assert after - before < 25
            # Once more where it was busy again in between.
            assert {*running.stderr.readlines()} <= {refused}

    def test_ctrl_c_ends_the_server_though_the_client_still_has_its_stdin_open(self, way: Sequence[str]) -> None:
        with process(start=way) as running:
            say(running, HELLO)
            hear(running)
            running.send_signal(signal.SIGINT)
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert running.stderr.read() == b""

    def test_a_client_that_reads_no_more_ends_the_server(self, way: Sequence[str]) -> None:
        with process(start=way) as running:
            say(running, HELLO)
            hear(running)
            assert running.stdout
            running.stdout.close()
            say(running, {"jsonrpc": "2.0", "id": 1, "method": "ping"})
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert running.stderr.read() == b""

    def test_who_reads_late_gets_every_answer_whole(self, way: Sequence[str]) -> None:
        """Thirty answers of 18 kB are many times what a pipe holds."""
        listings = [{"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(1, 31)]
        with process(start=way) as running:
            say(running, HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *listings)
            answers = [hear(running) for _ in range(31)]
            assert {heard["id"]: "tools" in heard["result"] for heard in answers[1:]} == dict.fromkeys(
                range(1, 31), True
            )
            say(running, {"jsonrpc": "2.0", "id": 31, "method": "ping"})
            assert hear(running) == {"jsonrpc": "2.0", "id": 31, "result": {}}

    def test_while_nobody_reads_its_answers_the_server_works_on_and_ctrl_c_ends_it(self) -> None:
        listings = [{"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(1, 31)]
        impatient = (
            "-c",
            "from amo_mcp import cli; from amo_mcp.transports import stdio;"
            "stdio.SHUTDOWN_SECONDS = stdio._LAST_ANSWERS_SECONDS = 0.2; cli.main()",
        )
        with process(start=impatient, AMO_LOG_LEVEL="INFO") as running:
            say(running, HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *listings)
            assert running.stdout
            assert running.stderr
            until = time.monotonic() + SECONDS
            while unread(running.stdout.fileno()) < 50_000:
                assert time.monotonic() < until, "it does not write"
            say(running, call(31, "get_segment", {"segment_id": 51}))
            said = b""
            while b"get_segment: ok" not in said:
                assert select.select([running.stderr], [], [], SECONDS)[0], "it does not work on"
                said += os.read(running.stderr.fileno(), 65536)
            running.send_signal(signal.SIGINT)
            assert running.wait(SECONDS) == 0
            assert b"Traceback" not in running.stderr.read()

    def test_a_connection_that_is_reset_ends_the_server(self, way: Sequence[str]) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as theirs,
            process(start=way, stdin=theirs) as running,
        ):
            ours, _ = listener.accept()
            ours.sendall(json.dumps(HELLO).encode() + b"\n")
            hear(running)
            # Without lingering, closing resets.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ours.close()
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert running.stderr.read() == b""

    def test_files_do_as_well_as_pipes(self, way: Sequence[str], tmp_path: Path) -> None:
        said, heard = tmp_path / "said", tmp_path / "heard"
        said.write_text(f"{json.dumps(HELLO)}\n", "utf-8")
        command = [sys.executable, *way, "serve", "--sandbox"]
        with said.open() as stdin, heard.open("w") as stdout:
            done = subprocess.run(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                timeout=SECONDS,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(heard.read_text("utf-8"))["id"] == HELLO["id"]

    def test_a_server_without_a_stderr_serves_all_the_same(self, way: Sequence[str]) -> None:
        command = shlex.join([sys.executable, *way, "serve", "--sandbox"])
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&-"],
            input=f"{json.dumps(HELLO)}\n".encode(),
            capture_output=True,
            env=ENVIRONMENT,
            timeout=SECONDS,
            check=False,
        )
        assert [done.returncode, json.loads(done.stdout)["id"], done.stderr] == [0, HELLO["id"], b""]

    def test_who_does_not_read_stderr_is_answered_all_the_same(self) -> None:
        """At DEBUG it would say about 120 kB, and a pipe holds 64 KiB."""
        noise = {"jsonrpc": "2.0", "method": "x" * 500}
        with process(AMO_LOG_LEVEL="DEBUG") as running:
            say(running, HELLO)
            hear(running)
            for number in range(200):
                say(running, noise, call(number, "get_segment", {"segment_id": "?"}))
                assert hear(running)["result"]["structuredContent"]["error"]["code"] == "invalid_arguments"
            assert running.stderr
            unread = os.read(running.stderr.fileno(), 1 << 20)
            assert len(unread) > 40_000
            say(running, call(200, "get_segment", {"segment_id": 51}))
            hear(running)
            assert running.stdin
            running.stdin.close()
            assert running.wait(SECONDS) == 0
            said = (unread + running.stderr.read()).decode().splitlines()
        assert all(re.match(r"(debug|info|warning): [\w.]+: ", line) for line in said)
        dropped = re.compile(r"warning: amo_mcp\.logs: (1 line was|\d+ lines were) dropped, unread")
        assert any(dropped.fullmatch(line) for line in said)

    def test_200_failing_calls_say_nothing_by_default(self) -> None:
        with process() as running:
            say(running, HELLO)
            hear(running)
            for number in range(200):
                say(running, call(number, "get_segment", {"segment_id": 999}))
                assert hear(running)["result"]["structuredContent"]["error"]["code"] == "not_found"
            assert running.stdin
            running.stdin.close()
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert running.stderr.read() == b""

    def test_a_line_without_an_end_is_not_held(self, way: Sequence[str]) -> None:
        with process(start=way) as running:
            say(running, HELLO)
            hear(running)
            before = peak_megabytes(running.pid)
            assert running.stdin
            for _ in range(100):
                running.stdin.write(b"x" * 1_000_000)
            running.stdin.write(b"\n")
            say(running, {"jsonrpc": "2.0", "id": 1, "method": "ping"})
            assert hear(running)["error"]["code"] == -32600
            assert hear(running) == {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert peak_megabytes(running.pid) - before < 20
            running.stdin.close()
            assert running.wait(SECONDS) == 0
            assert running.stderr
            assert (
                running.stderr.read() == b"warning: amo_mcp.transports.stdio: refused a message: "
                b"Invalid request: the line has more than 1048576 bytes\n"
            )


def peak_megabytes(pid: int) -> float:
    """The most memory that the process has held; Linux tells, elsewhere 0."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        return 0.0


def unread(fd: int) -> int:
    """How many bytes a pipe, which holds 65,536, has for its reader."""
    [held] = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"1234"))
    return int(held)
