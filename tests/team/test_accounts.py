"""The account as each person of a team works on it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import TokenSource
from amo_mcp.amocrm.zones import UNKNOWN
from amo_mcp.changes.leases import Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Create
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.credentials import FileCredentialStore
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.sqlite.database import MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore
from amo_mcp.team.accounts import Accounts, Nobody, PersonalAccounts, PersonTokens

pytestmark = pytest.mark.anyio

URL = "https://example.amocrm.ru"
HINT = "Open the page, and sign in there."
ANNA, BORIS, NOBODY = "28805383:504141", "28805383:1002045", "28805383:1"
CHANGE = PendingChange((Create(draft=SegmentDraft(name="Новые")),))


@dataclass
class Office:
    """Two people who have allowed the server to work for them.

    Attributes:
        known: those who may work.
        ended: those whose tokens amoCRM did not honour.
    """

    sandbox: Sandbox
    folder: Path
    http: HttpTransport
    known: set[str] = field(default_factory=lambda: {ANNA, BORIS})
    ended: list[str] = field(default_factory=list)

    def store(self, person_id: str) -> FileCredentialStore:
        return FileCredentialStore(self.folder / person_id.replace(":", "-"))

    def client(self, tokens: TokenSource) -> AmoClient:
        return AmoClient(Session(URL, tokens, self.http, Unlimited()))

    def client_of(self, person_id: str) -> AmoClient:
        async def may_work() -> bool:
            return person_id in self.known

        async def ended() -> None:
            self.ended.append(person_id)

        tokens = OAuthTokenSource(self.store(person_id), self.http, allowed=str, hint=HINT)
        return self.client(PersonTokens(tokens, may_work, ended))

    def reads(self) -> int:
        return sum(item.of_api for item in self.sandbox.requests)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    sandbox = Sandbox(mode="segments")
    office = Office(sandbox, tmp_path, HttpTransport(timeout=20.0, app=sandbox.app))
    for person_id in (ANNA, BORIS):
        access, refresh = sandbox.oauth.issue_tokens(user_id=int(person_id.partition(":")[2]))
        kept = Credentials(
            base_url=URL,
            client_id=sandbox.oauth.client_id,
            client_secret=SecretStr(sandbox.oauth.client_secret),
            redirect_uri=sandbox.oauth.redirect_uri,
            access_token=SecretStr(access),
            refresh_token=SecretStr(refresh),
            expires=4e9,
        )
        await office.store(person_id).save(kept)
    yield office
    await office.http.aclose()


@pytest.fixture
async def accounts(office: Office) -> AsyncIterator[PersonalAccounts]:
    async def account_id() -> int:
        return 28805383

    journal = SqliteJournal(MemoryDatabase())
    client, plans = office.client(Nobody(HINT)), SqlitePlanStore(MemoryDatabase())
    shared = AmoAccount.of(client, journal, plans, MemoryChangeEvents())
    yield PersonalAccounts(shared, office.client_of, None)
    await journal.close()


def lease_of(person_id: str | None) -> Lease:
    return Lease(ChangeRecord("c1", 0.0, "apply_plan", CHANGE.steps, "running"), CHANGE, 2, person=person_id)


@pytest.mark.requirement("TEAM-25")
async def test_each_works_with_their_own_tokens_and_keeps_what_they_read(
    accounts: PersonalAccounts, office: Office
) -> None:
    reads = []
    for person_id in (ANNA, ANNA, BORIS):
        assert (await accounts.of(person_id).cached.account()).current_user_id == int(person_id.partition(":")[2])
        reads.append(office.reads())
    assert reads == [1, 1, 2]
    executor = await accounts.executor(lease_of(ANNA))
    await executor.execute("create_segment", CHANGE)
    before = office.reads()
    for person_id in (ANNA, BORIS):
        await accounts.of(person_id).cached.account()
    assert office.reads() == before + 2


@pytest.mark.requirement("TEAM-25")
async def test_whoever_may_not_work_any_more_sends_nothing(accounts: PersonalAccounts, office: Office) -> None:
    await accounts.of(ANNA).client.account()
    office.known.remove(ANNA)
    before = len(office.sandbox.requests)
    with pytest.raises(Unauthorized) as told:
        await accounts.of(ANNA).client.account()
    assert (told.value.hint, len(office.sandbox.requests), office.ended) == (HINT, before, [])


@pytest.mark.requirement("TEAM-25")
async def test_that_amocrm_does_not_honour_a_sign_in_any_more_is_told_of_that_person_alone(
    accounts: PersonalAccounts, office: Office
) -> None:
    await accounts.of(BORIS).client.account()
    kept = await office.store(ANNA).load()
    assert kept is not None
    for token in (kept.access_token, kept.refresh_token):
        office.sandbox.oauth.revoke(token.get_secret_value())
    with pytest.raises(Unauthorized) as told:
        await accounts.of(ANNA).client.account()
    assert (told.value.hint, office.ended) == (HINT, [ANNA])
    await accounts.of(BORIS).client.account()


@pytest.mark.requirement("TEAM-25")
async def test_an_account_that_has_moved_is_found_again(accounts: PersonalAccounts, office: Office) -> None:
    office.sandbox.oauth.moved_to = "renamed.amocrm.ru"
    client = accounts.of(ANNA).client
    await client.account()
    assert client.base_url == "https://renamed.amocrm.ru"


@pytest.mark.requirement("TEAM-25")
@pytest.mark.parametrize("person_id", [None, NOBODY])
async def test_a_run_of_nobody_who_may_work_ends(
    person_id: str | None, accounts: PersonalAccounts, office: Office
) -> None:
    executor = await accounts.executor(lease_of(person_id))
    assert executor.zone is UNKNOWN
    with pytest.raises(Unauthorized) as told:
        await executor.client.segments()
    assert (told.value.hint, office.reads()) == (HINT, 0)


async def test_with_one_token_for_all_everybody_works_on_the_same(office: Office) -> None:
    journal = SqliteJournal(MemoryDatabase())
    plans = SqlitePlanStore(MemoryDatabase())
    shared = AmoAccount.of(office.client_of(ANNA), journal, plans, MemoryChangeEvents())
    accounts = Accounts(shared)
    assert accounts.of(BORIS) is accounts.of(ANNA) is shared is shared.of_caller
    assert (await accounts.executor(lease_of(BORIS))).zone.name == "Europe/Moscow"
    await journal.close()
