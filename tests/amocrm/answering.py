"""Sessions on applications in process that give prepared answers, without network and without waiting."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.errors import AmoError, Unauthorized
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.ratelimit import OnWait, RateLimiter, Slot
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from tests.clock import Clock

TOKEN = "eyJ0eXAi.very-secret-token"
SEGMENTS = "/api/v4/customers/segments"
WRITES = ("POST", "PATCH", "DELETE")
HTML = "<html><body>Вход</body></html>"


class Answering:
    """An ASGI application that gives one answer to everything, and remembers what it was asked."""

    def __init__(self, status: int = 200, body: bytes | str = b"", **headers: str) -> None:
        self.status = status
        self._body = body if isinstance(body, bytes) else body.encode()
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = f"{scope['path']}?{scope['query_string'].decode()}".removesuffix("?")
        self.asked.append(
            {"method": scope["method"], "path": path, "headers": headers, "body": (await receive())["body"]}
        )
        await send({"type": "http.response.start", "status": self.status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class InTurn:
    """An ASGI application that gives prepared answers one after the other, the last one for ever."""

    def __init__(self, *answers: Answering) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await answer(scope, receive, send)
        self.asked.append(answer.asked[-1])


class Limiter(RateLimiter):
    """Lets everything go, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.acquired = 0
        self.released = 0
        self.paused: list[float] = []

    async def _acquire(self) -> None:
        self.acquired += 1

    async def _release(self) -> None:
        self.released += 1

    @asynccontextmanager
    async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
        yield Slot(self._acquire, self._release)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


class Sleeper(Clock):
    """A clock that remembers for how long somebody slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@asynccontextmanager
async def opened(
    base_url: str = "http://example.localhost",
    *,
    tokens: TokenSource | None = None,
    seconds: float = 5.0,
    app: Any = None,
    clock: Clock | None = None,
    limiter: RateLimiter | None = None,
) -> AsyncIterator[Session]:
    clock = clock or Clock()
    http = HttpTransport(timeout=seconds, app=app)
    tokens = tokens or LongLivedToken(SecretStr(TOKEN))
    try:
        yield Session(base_url, tokens, http, limiter or Limiter(), sleep=clock.sleep, clock=clock)
    finally:
        await http.aclose()


async def got(app: Answering, method: str = "GET", path: str = SEGMENTS, **more: Any) -> Any:
    async with opened(app=app) as session:
        return await session.request(method, path, **more)


async def raised(app: Answering, method: str = "GET") -> AmoError:
    with pytest.raises(AmoError) as caught:
        await got(app, method)
    return caught.value


_ATTRIBUTES = ("reason", "status", "hint", "detail", "problems", "retry_after", "settled")


def attributes(error: AmoError) -> dict[str, Any]:
    """What an error says, but for the hint of a sign-in and what is only for the session."""
    unsaid = "hint" if isinstance(error, Unauthorized) else ""
    return {name: value for name, value in vars(error).items() if name in _ATTRIBUTES and name != unsaid}


def problem(*entries: tuple[str, str, str], detail: Any = "Request validation failed") -> str:
    errors = [{"code": code, "path": path, "detail": said} for path, said, code in entries]
    return json.dumps({"validation-errors": [{"request_id": "0", "errors": errors}], "detail": detail})


NO_ID = problem(("id", "Нет.", "NotSupportedChoice"), ("id", "", ""))
"""How the API may say that there is no such entity."""
