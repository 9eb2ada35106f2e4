"""Once a day the people of a team are compared with the users of amoCRM."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.comparison import PostgresComparisonStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team import comparison
from amo_mcp.team.audit import AMOCRM
from amo_mcp.team.comparison import AGAIN_SECONDS, EVERY_SECONDS, Comparison
from amo_mcp.team.people import new_token
from tests.clock import Clock
from tests.team.authorization.world import ADMIN, USER

pytestmark = pytest.mark.anyio

OTHER = "1:504141"
"""Of another account."""


@dataclass
class Office:
    """People whose tokens amoCRM honours, whatever became of them."""

    sandbox: Sandbox
    database: Database
    clock: Clock
    store: PostgresComparisonStore
    comparison: Comparison

    async def people(self) -> list[str]:
        return [person.id for person in await self.store.people()]


@pytest.fixture
async def office(database_url: SecretStr) -> AsyncIterator[Office]:
    database, clock, sandbox = Database(database_url), Clock(1_700_000_000.0), Sandbox()
    await database.open()
    http = HttpTransport(timeout=20.0, app=sandbox.app)
    people = PostgresPeopleStore(database, clock=clock)
    for number, person_id in enumerate((USER, OTHER, ADMIN)):
        row = person_id, f"Person {number}", clock.now + number
        await database.execute("INSERT INTO people (id, name, role, made) VALUES ($1, $2, 'editor', $3)", *row)
    tokens = {
        f"{sandbox.account.id}:{user}": sandbox.oauth.issue_tokens(user_id=user)[0] for user in sandbox.account.users
    }

    def client_of(person_id: str) -> AmoClient:
        token = LongLivedToken(SecretStr(tokens.get(person_id, "none")))
        return AmoClient(Session("https://example.amocrm.ru", token, http, Unlimited()))

    store = PostgresComparisonStore(database, people, clock=clock)
    yield Office(sandbox, database, clock, store, Comparison(store, client_of))
    await http.aclose()
    await database.close()


@pytest.mark.requirement("TEAM-26")
async def test_whoever_was_removed_in_amocrm_is_removed_with_everything(office: Office) -> None:
    token_id, _, digest = new_token()
    kept = token_id, digest, USER
    await office.database.execute("INSERT INTO tokens (id, digest, person, made) VALUES ($1, $2, $3, 0)", *kept)
    await office.comparison.compare()
    assert await office.people() == [ADMIN, OTHER, USER]
    office.sandbox.account.removed_users.append(1002045)
    await office.comparison.compare()
    assert await office.people() == [ADMIN, OTHER]
    assert await PostgresPeopleStore(office.database).good_token(token_id) is None
    [told, *_] = await PostgresAudit(office.database).page(10)
    assert (told.entry.what, told.entry.subject, told.entry.by) == ("removed", USER, AMOCRM)


@pytest.mark.requirement("TEAM-26")
async def test_whoever_was_switched_off_in_amocrm_is_removed(office: Office) -> None:
    office.sandbox.account.users[1002045]["rights"]["is_active"] = False
    await office.comparison.compare()
    assert await office.people() == [ADMIN, OTHER]


@pytest.mark.requirement("TEAM-26")
@pytest.mark.parametrize("why", ["no administrator", "removed administrator", "away", "unreadable", "cut", "own alone"])
async def test_nobody_is_removed_where_the_users_cannot_be_listed_whole(
    why: str, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    match why:
        case "no administrator":
            await office.database.execute("DELETE FROM people WHERE id = $1", ADMIN)
            office.sandbox.account.removed_users.append(504141)
        case "removed administrator":
            office.sandbox.account.removed_users += [504141, 1002045]
        case "away":
            office.sandbox.faults.add(Fault(status=403, path="/api/v4/users", times=0))
        case "cut":
            own = office.sandbox.account.users[504141]
            others = {number: {**own, "id": number} for number in range(1, 250)}
            office.sandbox.account.users = {504141: own, **others, 1002045: office.sandbox.account.users[1002045]}
            office.sandbox.faults.add(Fault(status=204, body="", path="/api/v4/users", skip=1))
        case "own alone":
            office.sandbox.account.users[504141]["rights"]["is_admin"] = False
            office.sandbox.account.removed_users.append(1002045)
            only = json.dumps({"_embedded": {"users": [office.sandbox.account.users[504141]]}})
            office.sandbox.faults.add(Fault(status=200, body=only, path="/api/v4/users", times=0))
        case _:
            office.sandbox.account.users[1002045]["id"] = "x"
    before = await office.people()
    await office.comparison.compare()
    assert await office.people() == before
    assert "no administrator of it has signed in here" in caplog.text


@pytest.mark.requirement("TEAM-26")
@pytest.mark.parametrize(("tried", "looked_through"), [(1, False), (2, True)])
async def test_so_many_people_are_tried_for_an_administrator(
    office: Office, monkeypatch: pytest.MonkeyPatch, tried: int, *, looked_through: bool
) -> None:
    monkeypatch.setattr(comparison, "MAX_TRIED", tried)
    await office.database.execute("UPDATE people SET role = 'admin' WHERE id = $1", OTHER)
    office.sandbox.account.removed_users.append(1002045)
    await office.comparison.compare()
    assert (USER not in await office.people()) is looked_through


@pytest.mark.requirement("TEAM-26")
async def test_of_all_replicas_one_compares_once_a_day(office: Office) -> None:
    other = PostgresComparisonStore(office.database, PostgresPeopleStore(office.database), clock=office.clock)
    due = []
    for passed in (0, EVERY_SECONDS - 1, 1):
        office.clock.now += passed
        due.append([await store.begin() for store in (office.store, other)])
    assert due == [[False, False], [False, False], [True, False]]
    office.clock.now += AGAIN_SECONDS
    assert await other.begin()
    await other.done()
    office.clock.now += EVERY_SECONDS - 1
    assert not await office.store.begin()
