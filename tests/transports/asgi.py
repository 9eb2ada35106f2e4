"""Requests to an ASGI application, without a socket, whose responses are read while they come."""

import json
from collections.abc import Callable
from typing import Any

import anyio

SECONDS = 10
"""How long anything may take before the test gives up."""


class Exchange:
    """One request to an application, whose response is read as it comes."""

    def __init__(
        self, method: str, path: str, headers: dict[str, str], body: Any = None, *, whole: bool = True
    ) -> None:
        raw = json.dumps(body).encode() if body is not None else b""
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._request = [{"type": "http.request", "body": raw, "more_body": not whole}]
        self._more = anyio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False

    async def run(self, app: Callable[..., Any]) -> "Exchange":
        await app(self._scope, self._receive, self._send)
        self._more.set()
        return self

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(SECONDS):
            while not condition():
                self._more = anyio.Event()
                await self._more.wait()

    async def message(self) -> Any:
        """The first message of its stream of events."""
        await self.until(lambda: b"data: {" in self.body)
        return json.loads(self.body.partition(b"data: ")[2].partition(b"\r\n")[0])

    async def _receive(self) -> Any:
        if self._request:
            return self._request.pop()
        await anyio.sleep_forever()

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            assert not self.status
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert not self.complete
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
        self._more.set()
