"""Sandboxes in process, and clients that are signed in to them."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Sandbox
from tests.clock import Clock

BASE_URL = "https://example.amocrm.ru"


def client_of(sandbox: Sandbox, token: str | None = ADMIN_TOKEN) -> httpx2.AsyncClient:
    """A client of a sandbox in the same process, with that bearer token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=sandbox.app), base_url=BASE_URL, headers=headers)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def shop(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def periodic(clock: Clock) -> Sandbox:
    return Sandbox(mode="periodicity", clock=clock)


@pytest.fixture
async def admin(shop: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(shop) as client:
        yield client


@pytest.fixture
async def reader(shop: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(shop, USER_TOKEN) as client:
        yield client


@pytest.fixture
async def nobody(shop: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(shop, token=None) as client:
        yield client


@pytest.fixture
async def periodic_admin(periodic: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(periodic) as client:
        yield client
