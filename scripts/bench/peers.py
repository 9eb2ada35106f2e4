"""Clients that drive a server in the bench. They do little work themselves, so that the server's time is measured."""

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_REVISION = "2025-11-25"
_INITIALIZE = {"protocolVersion": _REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"}}
_PLAIN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("AMO_") and name != "PYTHONDONTWRITEBYTECODE"
}
"""The environment without variables that choose an account, and with cached bytecode, as installed packages have it."""
_MAX_READ = 1 << 20
OURS = ("-m", "amo_mcp")
EMPTY = str(Path(__file__).with_name("empty.py"))


class Stdio:
    """A server over stdio, one call after the other.

    Attributes:
        tools: what `tools/list` answers.
        cold_start: seconds from the start of the process to that answer.
    """

    def __init__(self, *command: str, **environment: str) -> None:
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *command],
            env=_PLAIN | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self.ask("initialize", _INITIALIZE)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.tools = self.ask("tools/list")["tools"]
        self.cold_start = time.perf_counter() - self._began

    def __enter__(self) -> Self:
        """The server, which is started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its input, which ends it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @property
    def mebibytes(self) -> float:
        """Memory that the process uses now, in MiB."""
        return mebibytes(self._process)

    def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """The result of one request."""
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or {}})
        assert self._process.stdout
        while True:
            message = json.loads(self._process.stdout.readline())
            if message.get("id") == self._number:
                return message["result"]

    def call(self, name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a tool answers."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments or {}})
        assert not result.get("isError"), result
        structured: dict[str, Any] = result["structuredContent"]
        return structured

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


class Connection:
    """One connection to a server over HTTP, on which the same call is sent again and again."""

    def __init__(self, url: str, tool: str, headers: Mapping[str, str]) -> None:
        address = urlsplit(url)
        sent = {
            "Host": address.netloc,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _REVISION,
            **headers,
        }
        self._head = f"POST {address.path} HTTP/1.1\r\n" + "".join(f"{name}: {sent[name]}\r\n" for name in sent)
        self.socket = socket.create_connection((address.hostname, address.port))
        self._message = self._post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _INITIALIZE})
        self._began = 0.0
        self._left = 0
        self._answer = b""
        self.times: list[float] = []
        self.begin(1)
        while not self.is_done():
            pass
        if session := re.search(rb"mcp-session-id: (\S+)", self._answer, re.IGNORECASE):
            self._head += f"Mcp-Session-Id: {session[1].decode()}\r\n"
        self.socket.sendall(self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        assert b" 202 " in self.socket.recv(_MAX_READ)
        params = {"name": tool, "arguments": {}}
        self._message = self._post({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})

    def begin(self, calls: int) -> None:
        """Send the first of several calls, without waiting for the answer."""
        self.times = []
        self._left = calls
        self._send()

    def is_done(self) -> bool:
        """Take what has come; after a whole answer send the next call. True after the last."""
        self._answer += self.socket.recv(_MAX_READ)
        if not self._answer.endswith(b"0\r\n\r\n"):
            return False
        self.times.append(time.perf_counter() - self._began)
        assert b'"isError":true' not in self._answer, self._answer
        self._left -= 1
        if self._left:
            self._send()
        return not self._left

    def _send(self) -> None:
        self._answer = b""
        self._began = time.perf_counter()
        self.socket.sendall(self._message)

    def _post(self, body: dict[str, Any]) -> bytes:
        text = json.dumps(body)
        return f"{self._head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


def at_once(
    urls: Sequence[str], tool: str, clients: int, each: int, headers: Mapping[str, str] | None = None
) -> tuple[list[float], float]:
    """The seconds of every call when several clients call at once, each of one of the servers, and of all together.

    One thread drives all of them: threads would wait for one another, and that would be taken for the server's time.
    """
    peers = [Connection(urls[number % len(urls)], tool, headers or {}) for number in range(clients)]
    began = time.perf_counter()
    with selectors.DefaultSelector() as waiting:
        for peer in peers:
            waiting.register(peer.socket, selectors.EVENT_READ, peer)
            peer.begin(each)
        while waiting.get_map():
            for ready, _ in waiting.select():
                if ready.data.is_done():
                    waiting.unregister(ready.fileobj)
    whole = time.perf_counter() - began
    for peer in peers:
        peer.socket.close()
    return [seconds for peer in peers for seconds in peer.times], whole


@contextmanager
def over_http(*command: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A server over HTTP; the values are its URL and its process."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=_PLAIN | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        yield url, process
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextmanager
def sandbox(segments: int, customers: int = 0) -> Iterator[tuple[str, dict[str, str]]]:
    """A sandbox in a process of its own; the values are its URL and the environment of a server on it.

    Without a number of customers it has those of the example shop.
    """
    code = (
        "import sys, threading\n"
        "from amo_mcp.sandbox import Sandbox\n"
        "from amo_mcp.sandbox.serving import running\n"
        "sandbox = Sandbox()\n"
        "account = sandbox.account\n"
        "model = account.segments[54]\n"
        "wanted = int(sys.argv[1])\n"
        "while len(account.segments) > wanted:\n"
        "    del account.segments[max(account.segments)]\n"
        "while len(account.segments) < wanted:\n"
        "    number, account.next_segment_id = account.next_segment_id, account.next_segment_id + 3\n"
        "    account.segments[number] = {**model, 'id': number, 'name': f'Сегмент {number}'}\n"
        "    for customer in [*account.customers.values()][:model['customers_count']]:\n"
        "        customer['segments'].append(number)\n"
        "somebody = next(iter(account.customers.values()))\n"
        "for number in range(1, int(sys.argv[2]) + 1):\n"
        "    if number == 1:\n"
        "        account.customers.clear()\n"
        "    account.customers[number] = {**somebody, 'id': number, 'segments': [] if number % 100 else [51]}\n"
        "with running(sandbox) as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(segments), str(customers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    with tempfile.TemporaryDirectory() as folder:
        try:
            url = process.stdout.readline().strip()
            yield url, account_at(url, folder)
        finally:
            process.stdin.close()
            process.wait(10)
            process.stdout.close()


def account_at(url: str, folder: str) -> dict[str, str]:
    """The environment of a server whose account is the sandbox at `url`; as fast as can be set."""
    from amo_mcp.sandbox import ADMIN_TOKEN

    return {"AMO_BASE_URL": url, "AMO_ACCESS_TOKEN": ADMIN_TOKEN, "AMO_STATE_DIR": folder, "AMO_RATE_LIMIT": "50"}


def mebibytes(process: "subprocess.Popen[Any]") -> float:
    """Memory that the process uses now, in MiB."""
    lines = Path(f"/proc/{process.pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
