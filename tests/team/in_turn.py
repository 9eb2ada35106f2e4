"""Replicas in the process of the test, of which each request reaches the next one."""

from collections.abc import Iterable
from itertools import cycle

import httpx2

from amo_mcp.team.gate import Gate


class InTurn(httpx2.AsyncBaseTransport):
    """Each request to the next replica."""

    def __init__(self, gates: Iterable[Gate]) -> None:
        self._next = cycle([httpx2.ASGITransport(app=gate) for gate in gates])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._next).handle_async_request(request)
