from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest

from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Sandbox

BASE_URL = "https://example.amocrm.ru"
NOW = 1_700_000_000


class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


def _client(sandbox: Sandbox, token: str | None = ADMIN_TOKEN) -> httpx2.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=sandbox.app), base_url=BASE_URL, headers=headers)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def periodic(clock: Clock) -> Sandbox:
    return Sandbox(mode="periodicity", clock=clock)


@pytest.fixture
def connect() -> Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]:
    @asynccontextmanager
    async def connected(sandbox: Sandbox, token: str | None = ADMIN_TOKEN) -> AsyncIterator[httpx2.AsyncClient]:
        async with _client(sandbox, token) as client:
            yield client

    return connected


@pytest.fixture
async def admin(shop: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with _client(shop) as client:
        yield client


@pytest.fixture
async def reader(shop: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with _client(shop, USER_TOKEN) as client:
        yield client


@pytest.fixture
async def periodic_admin(periodic: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with _client(periodic) as client:
        yield client


@pytest.fixture
def invalid() -> Callable[..., dict[str, object]]:
    """The whole 400 for one refused object; each error is `(code, path, detail)`."""

    def body(*errors: tuple[str, str, str], request_id: str = "0") -> dict[str, object]:
        named = [dict(zip(("code", "path", "detail"), error, strict=True)) for error in errors]
        return {
            "validation-errors": [{"request_id": request_id, "errors": named}],
            "title": "Bad Request",
            "type": "https://httpstatus.es/400",
            "status": 400,
            "detail": "Request validation failed",
        }

    return body


@pytest.fixture
def bad_request() -> Callable[[str], dict[str, object]]:
    """The whole 400 without validation errors."""

    def body(detail: str) -> dict[str, object]:
        return {"title": "Bad Request", "type": "https://httpstatus.es/400", "status": 400, "detail": detail}

    return body


@pytest.fixture
def refusal() -> Callable[[int, str], dict[str, object]]:
    """The whole answer when a sign-in is refused."""

    def body(status: int, hint: str) -> dict[str, object]:
        return {
            "hint": hint,
            "title": "Некорректный запрос",
            "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
            "status": status,
            "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
        }

    return body


@pytest.fixture
def asking() -> Callable[..., dict[str, object]]:
    """The body of a request for tokens, from the integration itself."""

    def body(grant: str, **further: object) -> dict[str, object]:
        return {
            "client_id": "sandbox-integration",
            "client_secret": "sandbox-secret",
            "grant_type": grant,
            "redirect_uri": "http://127.0.0.1:8919/callback",
            **further,
        }

    return body
