"""A sign-in that lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from typing_extensions import override

from amo_mcp.amocrm.credentials import Credentials, CredentialStore


class MemoryCredentialStore(CredentialStore):
    """Keeps one account's sign-in for users within one process; `credentials` is what is kept at first."""

    place = "memory"

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._lock = anyio.Lock()

    @override
    async def load(self) -> Credentials | None:
        return self._credentials

    @override
    async def save(self, credentials: Credentials) -> None:
        self._credentials = credentials

    @override
    async def delete(self) -> bool:
        existed, self._credentials = self._credentials is not None, None
        return existed

    @override
    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._lock:
            yield
