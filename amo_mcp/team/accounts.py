"""The account as each person works on it: with tokens of amoCRM of their own, and with what they have read by them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar

from pydantic import SecretStr
from typing_extensions import override

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.cache import CachedReads, ReadCache
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.amocrm.tokens import TokenSource
from amo_mcp.amocrm.zones import UNKNOWN
from amo_mcp.changes.events import ChangeEvent
from amo_mcp.changes.executor import Executor
from amo_mcp.changes.leases import Lease
from amo_mcp.language import Language
from amo_mcp.team.signed_in import signed_in

_T = TypeVar("_T")


class Nobody(TokenSource):
    """Where no person is behind what is asked for."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    @property
    @override
    def hint(self) -> str:
        return self._hint

    @override
    async def token(self) -> SecretStr:
        raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=self.hint)


class PersonTokens(TokenSource):
    """The tokens of one person, for as long as they may work here: that is looked up with each request to amoCRM.

    Args:
        tokens: what amoCRM gave them.
        may_work: whether they are known here, and have allowed this server to work for them.
        ended: is told when amoCRM does not honour what it gave them any more.
    """

    def __init__(
        self,
        tokens: OAuthTokenSource,
        may_work: Callable[[], Awaitable[bool]],
        ended: Callable[[], Awaitable[None]],
    ) -> None:
        self._tokens = tokens
        self._may_work = may_work
        self._ended = ended

    @property
    @override
    def hint(self) -> str:
        return self._tokens.hint

    @property
    @override
    def base_url(self) -> str | None:
        return self._tokens.base_url

    @override
    async def token(self) -> SecretStr:
        if not await self._may_work():
            raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=self.hint)
        return await self._or_ended(self._tokens.token())

    @override
    async def refresh(self, refused: SecretStr) -> SecretStr | None:
        return await self._or_ended(self._tokens.refresh(refused))

    @override
    async def relocated_to(self, base_url: str) -> str | None:
        return await self._tokens.relocated_to(base_url)

    async def _or_ended(self, given: Awaitable[_T]) -> _T:
        try:
            return await given
        except Unauthorized:
            await self._ended()
            raise


class Accounts:
    """The account as everybody works on it, with the same rights.

    Attributes:
        shared: what calls are given; of it `of_caller` is what they work on.
    """

    def __init__(self, shared: AmoAccount) -> None:
        self.shared = shared

    def of(self, person_id: str) -> AmoAccount:
        """The account as a person works on it."""
        return self.shared

    async def executor(self, lease: Lease) -> Executor:
        """What carries on a change that another process began; raises AmoError where the account cannot be read."""
        return await self.shared.executor()


class PersonalAccounts(Accounts):
    """The account as each person works on it, of those who have in this process.

    Args:
        shared: what all of them have in common; its client is nobody's.
        client_of: gives the API with the tokens of a person, by their id.
        language: what the operator chose, if anything.
    """

    def __init__(self, shared: AmoAccount, client_of: Callable[[str], AmoClient], language: Language | None) -> None:
        super().__init__(replace(shared, whose=self._of_caller))
        self._client_of = client_of
        self._language = language
        self._own: dict[str, AmoAccount] = {}
        shared.events.subscribe(self._on_change)

    @override
    def of(self, person_id: str) -> AmoAccount:
        if person_id not in self._own:
            client, clock = self._client_of(person_id), self.shared.clock
            reads, profile = CachedReads(client, ReadCache(clock)), AccountProfile(client, self._language, clock)
            self._own[person_id] = replace(self.shared, client=client, cached=reads, profile=profile, whose=None)
        return self._own[person_id]

    def _of_caller(self) -> AmoAccount:
        person = signed_in()
        assert person is not None, "whoever is nobody was refused before"
        return self.of(person.id)

    @override
    async def executor(self, lease: Lease) -> Executor:
        """With the rights of who asked for the change; where they have none any more, that is what it ends with."""
        account = self.shared if lease.person is None else self.of(lease.person)
        try:
            return await account.executor()
        except Unauthorized:
            return Executor(
                account.client,
                account.journal,
                account.events,
                account.report,
                account.clock,
                account.stop,
                UNKNOWN,
                account.turns,
            )

    async def _on_change(self, event: ChangeEvent) -> None:
        for account in self._own.values():
            await account.cached.on_change(event)
