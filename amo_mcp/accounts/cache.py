"""What was read of the account a moment ago, shared by everybody who wants the same within a few seconds.

A client that reads twenty resources one after the other costs one request. Resources and completions read here, and
`plan_changes` for the account's mode; all else in the tools is read afresh, and so is what a confirmation stands on.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import anyio

from amo_mcp.accounts import FRESH_SECONDS
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Account, CustomField, Segment, Status
from amo_mcp.changes.events import ChangeEvent

_T = TypeVar("_T")


class _Pending:
    """A response that is being waited for by everybody who wants it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.response: list[Any] = []
        self.error: Exception | None = None


class ReadCache:
    """Responses by key, each shared while it is fresh; who asks at the same time shares one request.

    Args:
        clock: gives monotonic seconds.
        seconds: how long a response is fresh.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = FRESH_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._kept: dict[str, tuple[float, Any]] = {}
        self._pending: dict[str, _Pending] = {}

    def peek(self, key: str) -> Any:
        """The fresh response under `key`, or None; nothing is requested."""
        return self._kept[key][1] if self._is_fresh(key) else None

    async def get(self, key: str, fetch: Callable[[], Awaitable[_T]]) -> _T:
        """The fresh response under `key`, or what `fetch` returns or raises."""
        while True:
            if self._is_fresh(key):
                return cast("_T", self._kept[key][1])
            pending = self._pending.get(key)
            if pending is None:
                return await self._fetch(key, fetch)
            await pending.done.wait()
            if pending.error is not None:
                raise pending.error
            if pending.response:
                return cast("_T", pending.response[0])

    def invalidate(self) -> None:
        """Share nothing that was read before now, nor what is being read: the account has changed."""
        self._pending.clear()
        self._kept.clear()

    def _is_fresh(self, key: str) -> bool:
        return key in self._kept and self._clock() - self._kept[key][0] < self._seconds

    async def _fetch(self, key: str, fetch: Callable[[], Awaitable[_T]]) -> _T:
        pending = self._pending[key] = _Pending()
        try:
            response = await fetch()
        except Exception as error:
            pending.error = error
            raise
        else:
            pending.response.append(response)
            if self._pending.get(key) is pending:
                self._kept[key] = (self._clock(), response)
            return response
        finally:
            if self._pending.get(key) is pending:
                del self._pending[key]
            pending.done.set()


class CachedReads:
    """The account, its segments, statuses and fields, at most `FRESH_SECONDS` old; each read can raise `AmoError`."""

    def __init__(self, client: AmoClient, cache: ReadCache | None = None) -> None:
        self._client = client
        self._cache = cache or ReadCache()

    @property
    def known_mode(self) -> str:
        """The account's customers mode, if it was read a moment ago; else empty."""
        account = self._cache.peek("account")
        return account.customers_mode if isinstance(account, Account) else ""

    async def account(self) -> Account:
        """The account."""
        return await self._cache.get("account", self._client.account)

    async def segments(self) -> Listing[Segment]:
        """All segments."""
        return await self._cache.get("segments", self._client.segments)

    async def statuses(self) -> Listing[Status]:
        """All statuses."""
        return await self._cache.get("statuses", self._client.statuses)

    async def segment_fields(self) -> Listing[CustomField]:
        """The custom fields of segments."""
        return await self._cache.get("fields", self._client.segment_fields)

    async def on_change(self, _: ChangeEvent) -> None:
        """Read everything afresh after a change."""
        self._cache.invalidate()
