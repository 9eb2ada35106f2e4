"""Who has allowed a team's server to work for them, and for how long."""

import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.keys import Keys, new_key
from amo_mcp.storage.postgres.accounts import PeopleOfAccount
from amo_mcp.storage.postgres.authorization import PostgresAuthorizationStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.authorization.store import MAX_SIGN_IN_SECONDS
from tests.storage.test_credentials import FIRST, SECOND

pytestmark = pytest.mark.anyio

KEYS = Keys.parse(SecretStr(new_key("k1")))
ANNA, BORIS = "28805383:1", "28805383:2"
HOST = "example.amocrm.ru"


@pytest.fixture
async def database(database: Database) -> Database:
    store = PostgresAuthorizationStore(database)
    for person_id, name in ((ANNA, "Анна"), (BORIS, "Борис")):
        await store.know(person_id, name, "", "tests")
    return database


@pytest.fixture
def people(database: Database) -> PeopleOfAccount:
    return PeopleOfAccount(database, KEYS, HOST)


async def working(people: PeopleOfAccount) -> list[bool]:
    return [await people.may_work(person_id) for person_id in (ANNA, BORIS)]


@pytest.mark.requirement("TEAM-25")
async def test_whoever_has_signed_in_to_this_very_account_may_work(people: PeopleOfAccount, database: Database) -> None:
    assert await working(people) == [False, False]
    with pytest.raises(Unauthorized):
        await people.account_id()
    await people.keep(ANNA, 28805383, FIRST)
    assert (await working(people), await people.account_id()) == ([True, False], 28805383)
    assert (await people.store(ANNA).load(), await people.store(BORIS).load()) == (FIRST, None)
    assert await working(PeopleOfAccount(database, KEYS, "other.amocrm.ru")) == [False, False]


@pytest.mark.requirement("TEAM-25")
@pytest.mark.parametrize("how", ["ended", "removed", "disconnected"])
async def test_whoever_may_work_no_longer_has_no_tokens_here(
    how: str, people: PeopleOfAccount, database: Database
) -> None:
    for person_id in (ANNA, BORIS):
        await people.keep(person_id, 28805383, FIRST)
    match how:
        case "ended":
            await people.ended(ANNA)
        case "removed":
            await PostgresPeopleStore(database).remove("Анна")
        case _:
            await PostgresAuthorizationStore(database).end_all("28805383:")
    # A replica that has asked amoCRM for new ones meanwhile keeps them no more.
    await people.store(ANNA).save(SECOND)
    assert await working(people) == [False, how != "disconnected"]
    assert await people.store(ANNA).load() is None


@pytest.mark.requirement("TEAM-25")
async def test_what_cannot_be_read_since_its_key_is_missing_is_kept(
    people: PeopleOfAccount, database: Database
) -> None:
    await people.keep(ANNA, 28805383, FIRST)
    other = PeopleOfAccount(database, Keys.parse(SecretStr(new_key("k2"))), HOST)
    assert await other.store(ANNA).load() is None
    await other.ended(ANNA)
    assert await people.store(ANNA).load() == FIRST


@pytest.mark.requirement("TEAM-26")
async def test_work_for_a_person_ends_ninety_days_after_they_have_signed_in(
    people: PeopleOfAccount, database: Database
) -> None:
    await people.keep(ANNA, 28805383, FIRST)
    for passed, may in ((MAX_SIGN_IN_SECONDS - 60, True), (60, False)):
        await database.execute("UPDATE credentials SET made = made - $1", passed)
        await people.store(ANNA).save(SECOND)
        assert await people.may_work(ANNA) == may
    await people.keep(ANNA, 28805383, SECOND)
    assert await people.may_work(ANNA)
