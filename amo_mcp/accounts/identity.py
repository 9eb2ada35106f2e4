"""Which account is behind the address: what is recorded belongs to the account, not to its host."""

import time
from collections.abc import Callable

import anyio

from amo_mcp.amocrm.client import AmoClient

KNOWN_SECONDS = 300.0
"""How long an answer holds: one request in five minutes, and none in a server that is only looked at."""


class AccountIdentity:
    """The id of the account that a client speaks to.

    Args:
        client: the API.
        clock: gives monotonic seconds.
    """

    def __init__(self, client: AmoClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._asking = anyio.Lock()
        self._known: tuple[float, int] | None = None

    async def account_id(self) -> int:
        """The id, at most `KNOWN_SECONDS` old; who asks at the same time shares one request.

        Raises:
            AmoError: the account cannot be read.
        """
        async with self._asking:
            if self._known is None or self._clock() - self._known[0] >= KNOWN_SECONDS:
                account = await self._client.account()
                self._known = (self._clock(), account.id)
            return self._known[1]
