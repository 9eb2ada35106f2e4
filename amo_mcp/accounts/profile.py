"""What changes seldom: which account is behind the address, where its days begin, and who the person behind it is."""

import math
import time
from collections.abc import Callable

from amo_mcp.accounts.cache import ReadCache
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, Forbidden, NotFound
from amo_mcp.amocrm.models import Account
from amo_mcp.amocrm.zones import Zone
from amo_mcp.changes.reader import Reader
from amo_mcp.language import SOURCE, Language, known_language, language_of_country

KNOWN_SECONDS = 300.0
"""Seconds for which the account is trusted: a server asks at most once in five minutes, and only when it is used."""


class AccountProfile:
    """The account that a client speaks to, and its person.

    What is recorded belongs to the account's id, not to its host. The language is the one that the operator chose, else
    the one of the user who is signed in, which only an administrator's token can read, else the country's.

    Args:
        client: the API.
        language: what the operator chose, if anything.
        clock: gives monotonic seconds.
    """

    def __init__(
        self, client: AmoClient, language: Language | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._language = language
        self._accounts = ReadCache(clock, KNOWN_SECONDS)
        self._users = ReadCache(clock, math.inf)
        self._last: Account | None = None

    async def account_id(self) -> int:
        """The account's id, at most `KNOWN_SECONDS` old; who asks at the same time shares one request.

        Raises:
            AmoError: the account cannot be read.
        """
        return (await self._account()).id

    def forget(self) -> None:
        """Ask for the account again when it is needed next."""
        self._accounts.invalidate()

    async def zone(self) -> Zone:
        """Where the account's days begin; while the account cannot be read, as it was known last.

        Raises:
            AmoError: the account cannot be read, and never was.
        """
        return (await self._last_known()).zone

    async def reader(self) -> Reader:
        """Who is asked about changes; raises AmoError as `zone` does."""
        account = await self._last_known()
        self._language = self._language or await self._language_of(account)
        return Reader(account.name, self._language or language_of_country(account.country), account.zone)

    @property
    def language(self) -> Language:
        """The person's language, as far as it is known without asking for it."""
        return self._language or (language_of_country(self._last.country) if self._last else SOURCE)

    async def _language_of(self, account: Account) -> Language | None:
        """The language of the user who is signed in; None where that cannot be found out now."""
        try:
            lang = await self._users.get("lang", lambda: self._lang(account))
        except AmoError:
            return None
        return (known_language(lang) or SOURCE) if lang else language_of_country(account.country)

    async def _lang(self, account: Account) -> str:
        """What the API says of the user's language; empty when it does not."""
        if account.current_user_id is None:
            return ""
        try:
            return (await self._client.user(account.current_user_id)).lang
        except (Forbidden, NotFound):
            return ""

    async def _last_known(self) -> Account:
        try:
            return await self._account()
        except AmoError:
            if self._last is None:
                raise
            return self._last

    async def _account(self) -> Account:
        self._last = await self._accounts.get("account", self._client.account_with_zone)
        return self._last
