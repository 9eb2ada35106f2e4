"""People and their tokens in the database of the replicas."""

import anyio
import pytest

from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.people import HasOtherRole, Person, Role, Token, UnknownPerson, look_up, new_token
from tests.clock import Clock

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> PostgresPeopleStore:
    return PostgresPeopleStore(database, clock=clock)


async def made(store: PostgresPeopleStore, name: str, role: Role, days: float | None = None) -> tuple[str, Token]:
    """A new token: the whole of it, and what is known of it."""
    token_id, token, digest = new_token()
    return token, await store.add_token(token_id, digest, name, role, days)


async def test_a_token_is_found_by_its_secret_alone(store: PostgresPeopleStore, clock: Clock) -> None:
    token, known = await made(store, "Анна", "editor")
    assert known == Token(known.id, Person(known.person.id, "Анна", "editor"), clock.now)
    assert token.startswith(f"amo_{known.id}_")
    assert await look_up(store, token) == known
    assert await look_up(store, token[:-1]) is None
    assert await look_up(store, f"amo_{known.id}_") is None
    assert await look_up(store, f"amo_{'0' * 12}_{token.split('_', 2)[2]}") is None


@pytest.mark.parametrize("presented", ["", "amo", "amo_", "amo__", "ey.jwt", "amo_é_x", "amo_\0_x", "amo_\ud800_x"])
async def test_what_is_no_token_is_nobody_s(presented: str, store: PostgresPeopleStore) -> None:
    assert await look_up(store, presented) is None


@pytest.mark.requirement("TEAM-4")
async def test_nothing_that_is_kept_is_the_token(store: PostgresPeopleStore, database: Database) -> None:
    token, _ = await made(store, "Анна", "editor")
    for table in ("people", "tokens"):
        for row in await database.fetch(f"SELECT {table}::text AS kept FROM {table}"):
            assert token.split("_", 2)[2] not in row["kept"]


@pytest.mark.requirement("TEAM-4")
async def test_a_token_ends_on_its_day(store: PostgresPeopleStore, clock: Clock) -> None:
    token, known = await made(store, "Анна", "editor", days=2)
    assert known.expires == clock.now + 2 * DAY
    clock.now += 2 * DAY - 1
    assert await look_up(store, token) == known
    clock.now += 1
    assert await look_up(store, token) is None


@pytest.mark.requirement("TEAM-4")
async def test_a_revoked_token_is_no_good_and_stays_listed(store: PostgresPeopleStore, clock: Clock) -> None:
    token, known = await made(store, "Анна", "editor")
    other, _ = await made(store, "Анна", "editor")
    clock.now += 60
    assert await store.revoke(known.id)
    assert not await store.revoke(known.id)
    assert not await store.revoke("unknown\0")
    assert await look_up(store, token) is None
    assert await look_up(store, other) is not None
    assert {one.id: one.revoked for one in await store.tokens()}[known.id] == clock.now


async def test_the_newest_tokens_are_listed_first_with_their_last_use(store: PostgresPeopleStore, clock: Clock) -> None:
    _, first = await made(store, "Анна", "editor")
    clock.now += 10
    _, second = await made(store, "Борис", "viewer", days=1)
    clock.now += 10
    await store.note_use(first.id)
    used = Token(first.id, first.person, first.made, used=clock.now)
    assert await store.tokens() == [second, used]


async def test_a_name_has_one_person_with_one_role(store: PostgresPeopleStore) -> None:
    _, first = await made(store, "Анна", "editor")
    _, second = await made(store, "Анна", "editor")
    assert first.person == second.person
    with pytest.raises(HasOtherRole) as caught:
        await made(store, "Анна", "admin")
    assert caught.value.person == first.person
    assert len(await store.tokens()) == 2
    assert await store.people() == [first.person]


async def test_tokens_for_a_new_name_at_once_are_one_person_s(store: PostgresPeopleStore) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(made, store, "Анна", "viewer")
    [anna] = await store.people()
    assert {token.person for token in await store.tokens()} == {anna}


@pytest.mark.requirement("TEAM-3")
async def test_another_role_is_that_of_every_token_at_once(store: PostgresPeopleStore) -> None:
    token, known = await made(store, "Анна", "viewer")
    assert await store.set_role("Анна", "approver") == Person(known.person.id, "Анна", "approver")
    found = await look_up(store, token)
    assert found is not None
    assert found.person.role == "approver"
    with pytest.raises(UnknownPerson):
        await store.set_role("Борис", "viewer")


async def test_who_is_removed_has_no_good_token_and_frees_the_name(store: PostgresPeopleStore, clock: Clock) -> None:
    token, known = await made(store, "Анна", "admin")
    clock.now += 5
    assert await store.remove("Анна") == known.person
    assert await look_up(store, token) is None
    assert await store.people() == []
    assert [one.revoked for one in await store.tokens()] == [clock.now]
    with pytest.raises(UnknownPerson):
        await store.remove("Анна")
    _, new = await made(store, "Анна", "viewer")
    assert new.person.id != known.person.id


async def test_the_clock_of_the_database_counts_unless_another_is_given(database: Database) -> None:
    store = PostgresPeopleStore(database)
    now = await database.fetchval("SELECT unix_now()")
    token, known = await made(store, "Анна", "viewer", days=1)
    assert 0 <= known.made - now < 60
    assert known.expires == known.made + DAY
    assert await look_up(store, token) == known
