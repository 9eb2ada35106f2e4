"""Which account is behind the address: what is recorded belongs to the account, not to its host."""

import time
from collections.abc import Callable

from amo_mcp.accounts.cache import ReadCache
from amo_mcp.amocrm.client import AmoClient

KNOWN_SECONDS = 300.0
"""Seconds for which an id is trusted: a server asks at most once in five minutes, and only when it is used."""


class AccountIdentity:
    """The id of the account that a client speaks to; `clock` gives monotonic seconds."""

    def __init__(self, client: AmoClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._cache = ReadCache(clock, KNOWN_SECONDS)

    async def account_id(self) -> int:
        """The id, at most `KNOWN_SECONDS` old; who asks at the same time shares one request.

        Raises:
            AmoError: the account cannot be read.
        """
        return (await self._cache.get("account", self._client.account)).id
