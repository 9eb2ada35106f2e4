"""What drives a server in the bench: as little of its own as can be, so that the server's time is what is seen."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_REVISION = "2025-11-25"
_HELLO = {"protocolVersion": _REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"}}
_PLAIN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("AMO_") and name != "PYTHONDONTWRITEBYTECODE"
}
"""Without what would choose an account, or let Python compile on every start what an installed package has compiled."""
EMPTY = str(Path(__file__).with_name("empty.py"))


class Stdio:
    """A server over stdio, one call after the other."""

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
        self.ask("initialize", _HELLO)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.tools = self.ask("tools/list")["tools"]
        self.cold_start = time.perf_counter() - self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @property
    def mebibytes(self) -> float:
        """Memory that the process holds now."""
        return _mebibytes(self._process.pid)

    def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """The result of one request."""
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or {}})
        assert self._process.stdout
        while True:
            told = json.loads(self._process.stdout.readline())
            if told.get("id") == self._number:
                return told["result"]

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


class Http:
    """One connection to a server over HTTP, one call after the other."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._path = address.path
        self._connection = HTTPConnection(address.hostname or "", address.port)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _REVISION,
        }
        answer, headers = self._post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _HELLO})
        assert b"result" in answer
        self._headers["Mcp-Session-Id"] = headers["mcp-session-id"]
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, name: str) -> bytes:
        """What a tool answers, as bytes of the wire."""
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name, "arguments": {}}}
        answer, _ = self._post(body)
        assert b'"isError":true' not in answer
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, body: dict[str, Any]) -> tuple[bytes, Any]:
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        return answer.read(), answer.headers


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
def sandbox(segments: int) -> Iterator[tuple[str, dict[str, str]]]:
    """A sandbox in a process of its own; the values are its URL and the environment of a server on it."""
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
        "    number = account.take_segment_id()\n"
        "    account.segments[number] = {**model, 'id': number, 'name': f'Сегмент {number}'}\n"
        "with running(sandbox) as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(segments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


def mebibytes(process: "subprocess.Popen[str]") -> float:
    """Memory that the process holds now."""
    return _mebibytes(process.pid)


def _mebibytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
