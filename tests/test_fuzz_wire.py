"""Whatever comes over the wire, the server answers it or lets it be, and serves on; no peer ever sees a traceback."""

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.cli.test_serve import HELLO, NEW, OLD, over_http, peak_megabytes, process, say

SECONDS = 30
"""How long an answer can take before it counts as none."""

MAX_MEGABYTES = 60
"""How much more memory than at the start a fuzzed process may ever have held."""

FUZZ = settings(
    max_examples=80,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

JSON: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
METHODS = st.sampled_from(
    [
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "tasks/get",
        "",
    ]
)
META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
PARAMS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["get_segment", "delete_segment", "confirm_change", "explain_segment", "?"]) | JSON,
        "arguments": st.dictionaries(st.sampled_from(["segment_id", "name", "approval_id", "?"]), JSON) | JSON,
        "uri": st.sampled_from(["amo://segments/51", "amo://", "amo://segments/\ud800", "file:///etc/passwd"]) | JSON,
        "_meta": st.just(META) | JSON,
        "requestState": st.text(max_size=30) | JSON,
        "inputResponses": JSON,
        "requestId": JSON,
        "cursor": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": st.integers(10**6, 10**9) | JSON,
        "method": METHODS | JSON,
        "params": PARAMS,
        "result": JSON,
        "error": JSON,
    },
)
DEEP = st.builds(
    lambda depth, pair: (
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + pair[0] * depth + pair[1] * depth + b"}}"
    ),
    st.sampled_from([10, 150, 1000, 100_000]),
    st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")]),
)
BYTES: SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=200),
    MESSAGES.map(lambda message: json.dumps(message).encode()),
    st.lists(MESSAGES, max_size=3).map(lambda batch: json.dumps(batch).encode()),
    DEEP,
    st.sampled_from([b"9" * 5000, b'"' + b"\\ud800" * 100 + b'"', b"\xff\xfe{\x00}\x00", b" " * 100_000, b"NaN"]),
)


class Wire:
    """A server over stdio, as raw bytes."""

    def __init__(self, running: "subprocess.Popen[bytes]") -> None:
        self.running = running
        self._told = b""

    def line(self) -> Any:
        """The next line that it says; every one is a message of the protocol."""
        assert self.running.stdout
        until = time.monotonic() + SECONDS
        while b"\n" not in self._told:
            ready, _, _ = select.select([self.running.stdout], [], [], until - time.monotonic())
            assert ready, "it does not answer"
            chunk = os.read(self.running.stdout.fileno(), 65536)
            assert chunk, "it has ended"
            self._told += chunk
        line, _, self._told = self._told.partition(b"\n")
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        assert b"Traceback" not in line
        return message

    def still_answers(self, request: Any) -> None:
        """It does, after whatever it has still to say about what came before."""
        say(self.running, request)
        while self.line().get("id") != request["id"]:
            pass


@pytest.fixture(scope="module", params=[OLD, NEW])
def to_payload(request: pytest.FixtureRequest) -> Iterator[tuple[Wire, Any]]:
    """A server over stdio that was opened in one era, and a request that it answers."""
    ping = {"jsonrpc": "2.0", "id": "still there?", "method": "tools/list", "params": {"_meta": META}}
    if request.param == OLD:
        ping = {"jsonrpc": "2.0", "id": "still there?", "method": "ping"}
    with process() as running:
        to_payload = Wire(running)
        to_payload.still_answers(HELLO if request.param == OLD else ping)
        before = peak_megabytes(running.pid)
        yield to_payload, ping
        assert peak_megabytes(running.pid) - before < MAX_MEGABYTES
        assert running.stdin
        running.stdin.close()
        assert running.wait(SECONDS) == 0
        assert running.stderr
        assert_one_line_an_event(running.stderr.read())


def assert_one_line_an_event(said: bytes) -> None:
    for line in said.decode().splitlines():
        assert line.startswith(("warning: ", "error: ")), line
        assert "Traceback" not in line


@pytest.mark.requirement("HTTP-9")
@FUZZ
@given(lines=st.lists(BYTES, min_size=1, max_size=6))
def test_stdio_serves_on_after_any_lines(to_payload: tuple[Wire, Any], lines: list[bytes]) -> None:
    server, ping = to_payload
    assert server.running.stdin
    server.running.stdin.write(b"".join(line + b"\n" for line in lines))
    server.still_answers(ping)


@settings(FUZZ, max_examples=3)
@given(opening=st.lists(BYTES, max_size=4))
def test_stdio_ends_in_order_whatever_a_client_opens_with(opening: list[bytes]) -> None:
    with process() as running:
        said, complained = running.communicate(b"\n".join(opening), timeout=SECONDS)
        assert running.returncode == 0
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in said.splitlines())
        assert_one_line_an_event(complained)


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[str, str, httpx2.Client]]:
    """A server over HTTP: its address, and a session of the older era."""
    with over_http() as (running, url), httpx2.Client(timeout=SECONDS) as http:
        accept = {"accept": "application/json, text/event-stream"}
        session = http.post(url, json=HELLO, headers=accept).headers["mcp-session-id"]
        before = peak_megabytes(running.pid)
        yield url, session, http
        assert peak_megabytes(running.pid) - before < MAX_MEGABYTES
        running.terminate()
        assert running.wait(SECONDS) == 0
        assert running.stderr
        assert_one_line_an_event(running.stderr.read())


@FUZZ
@given(
    body=BYTES,
    version=st.sampled_from([None, OLD, NEW, "2024-11-05", "2099-01-01", "\u00e9"]),
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "OPTIONS"]),
    headers=st.dictionaries(
        st.sampled_from(["mcp-method", "mcp-name", "accept", "content-type", "last-event-id", "mcp-param-name"]),
        st.sampled_from(["", "tools/call", "get_segment", "application/json", "*/*", "text/event-stream", "x" * 2000]),
    ),
    in_session=st.booleans(),
)
@pytest.mark.requirement("HTTP-9")
def test_http_answers_any_body(
    door: tuple[str, str, httpx2.Client], body: bytes, version: Any, method: str, headers: Any, in_session: bool
) -> None:
    url, session, http = door
    sent = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    if version is not None:
        sent["mcp-protocol-version"] = version.encode()
    if in_session:
        sent["mcp-session-id"] = session
    answered = http.request(method, url, content=body, headers=sent)
    assert answered.status_code in {200, 202, 400, 404, 405, 406, 413, 415}, answered.text
    assert "Traceback" not in answered.text
    assert http.get(url.removesuffix("/mcp") + "/healthz").json()["status"] == "ok"
    again = http.post(url, json=HELLO, headers={"accept": "application/json, text/event-stream"})
    assert again.status_code == 200
    http.delete(url, headers={"mcp-session-id": again.headers["mcp-session-id"]})
