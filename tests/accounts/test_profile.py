"""The account is asked for once in five minutes, the user once, however many want to know."""

import anyio.lowlevel
import pytest
from typing_extensions import override

from amo_mcp.accounts.profile import KNOWN_SECONDS, AccountProfile
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, Forbidden, NotFound, Unavailable
from amo_mcp.amocrm.models import Account, DatetimeSettings, User
from amo_mcp.changes.reader import Reader
from amo_mcp.language import Language
from tests.clock import Clock

pytestmark = pytest.mark.anyio


class Renamed(AmoClient):
    """A client behind whose address is another account each time; it can be out of reach."""

    def __init__(self) -> None:
        self.asked = 0
        self.reachable = True

    @override
    async def account_with_zone(self) -> Account:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if not self.reachable:
            raise Unavailable("could not be reached")
        return Account(id=self.asked, customers_mode="segments")


async def test_the_id_is_known_for_five_minutes() -> None:
    clock, client = Clock(), Renamed()
    profile = AccountProfile(client, clock=clock)
    assert [await profile.account_id(), await profile.account_id()] == [1, 1]
    clock.now += KNOWN_SECONDS - 0.001
    assert await profile.account_id() == 1
    clock.now += 0.001
    assert await profile.account_id() == 2


async def test_readers_at_the_same_time_share_one_request() -> None:
    client = Renamed()
    profile, ids = AccountProfile(client, clock=Clock()), list[int]()

    async def read() -> None:
        ids.append(await profile.account_id())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(read)
    assert (ids, client.asked) == ([1] * 20, 1)


async def test_an_account_that_cannot_be_read_is_asked_for_again() -> None:
    client = Renamed()
    profile = AccountProfile(client, clock=Clock())
    client.reachable = False
    with pytest.raises(Unavailable):
        await profile.account_id()
    client.reachable = True
    assert await profile.account_id() == 2


class Told(AmoClient):
    """A client of an account that tells what the test says, and counts who asks for what."""

    def __init__(self, user: User | AmoError, country: str = "BR", settings: dict[str, str] | None = None) -> None:
        self.told = user
        self.asked: list[str] = []
        self.reachable = True
        zone = None if settings is None else DatetimeSettings(**settings)
        self._account = Account(id=1, name="Лавка", country=country, current_user_id=7, datetime_settings=zone)

    @override
    async def account_with_zone(self) -> Account:
        self.asked.append("account")
        await anyio.lowlevel.checkpoint()
        if not self.reachable:
            raise Unavailable("could not be reached")
        return self._account

    @override
    async def user(self, user_id: int) -> User:
        self.asked.append(f"user {user_id}")
        await anyio.lowlevel.checkpoint()
        if isinstance(self.told, AmoError):
            raise self.told
        return self.told


@pytest.mark.requirement("LANGUAGE-1", "LANGUAGE-2")
@pytest.mark.parametrize(
    ("chosen", "user", "country", "language", "asked"),
    [
        (None, User(id=7, lang="es"), "BR", "es", ["account", "user 7"]),
        (None, User(id=7, lang="ru"), "US", "ru", ["account", "user 7"]),
        (None, User(id=7, lang="de"), "BR", "en", ["account", "user 7"]),
        (None, User(id=7), "BR", "pt", ["account", "user 7"]),
        (None, Forbidden(403), "KZ", "ru", ["account", "user 7"]),
        (None, NotFound(204), "DE", "en", ["account", "user 7"]),
        ("pt", User(id=7, lang="es"), "RU", "pt", ["account"]),
    ],
)
async def test_the_language_is_the_operators_choice_else_the_users_else_the_countrys(
    chosen: Language | None, user: User | AmoError, country: str, language: Language, asked: list[str]
) -> None:
    client = Told(user, country)
    clock = Clock()
    profile = AccountProfile(client, chosen, clock)
    readers = []

    async def read() -> None:
        readers.append(await profile.reader())

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(read)
    assert readers == [Reader("Лавка", language)] * 5
    clock.now += 10 * KNOWN_SECONDS
    assert profile.language == language
    assert await profile.reader() == readers[0]
    assert client.asked == [*asked, "account"]


async def test_a_user_who_cannot_be_read_now_is_asked_for_again_and_the_country_decides_until_then() -> None:
    client = Told(Unavailable("could not be reached"))
    profile = AccountProfile(client, clock=Clock())
    assert (await profile.reader()).language == "pt"
    client.told = User(id=7, lang="es")
    assert (await profile.reader()).language == "es"


async def test_before_anything_was_asked_the_language_is_english() -> None:
    assert AccountProfile(Told(User(id=7, lang="es")), clock=Clock()).language == "en"
    assert AccountProfile(Told(User(id=7, lang="es")), "ru", Clock()).language == "ru"


async def test_a_zone_that_is_known_is_kept_while_the_account_cannot_be_read() -> None:
    clock, client = Clock(), Told(User(id=7), settings={"timezone": "Europe/Moscow", "timezone_offset": "+03:00"})
    profile = AccountProfile(client, clock=clock)
    client.reachable = False
    with pytest.raises(Unavailable):
        await profile.zone()
    client.reachable = True
    assert (await profile.zone()).name == "Europe/Moscow"
    clock.now += KNOWN_SECONDS
    client.reachable = False
    assert (await profile.zone()).name == "Europe/Moscow"
    assert (await profile.reader()).account == "Лавка"
    with pytest.raises(Unavailable):
        await profile.account_id()


async def test_an_account_without_a_zone_is_in_utc_which_is_known_to_be_a_guess() -> None:
    zone = await AccountProfile(Told(User(id=7)), clock=Clock()).zone()
    assert (zone.name, zone.is_known) == ("UTC", False)
