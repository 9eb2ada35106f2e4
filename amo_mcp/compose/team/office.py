"""What the operator of a team's server does from a shell: people, tokens, keys, and what was changed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry.metrics import get_meter

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.compose.team.account import build_account
from amo_mcp.keys import Keys
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.counts import key_use
from amo_mcp.storage.postgres.credentials import reencrypt
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.state import State, look
from amo_mcp.team.audit import Audit, Kind, Only, everything
from amo_mcp.team.metrics import Metrics
from amo_mcp.team.people import HasOtherRole, PeopleStore, Person, Role, UnknownPerson, new_token
from amo_mcp.team.settings import TeamSettings

KeyState = Literal["newest", "older", "missing"]
"""What a key does: it makes everything new; it reads what it made; or what it made cannot be read without it."""


class Problem(Exception):
    """Nothing was done; the text says why, for the operator."""


@dataclass(frozen=True)
class Office:
    """The operator's place, with the database open. Every method can raise `JournalUnusable`.

    Attributes:
        keys: the ring of AMO_SECRET_KEY.
        is_per_person: whether everybody works with their own rights in amoCRM.
    """

    database: Database
    keys: Keys
    people: PeopleStore
    audit: Audit
    account: AmoAccount
    is_per_person: bool = False

    async def make_token(self, name: str, role: Role, days: float | None) -> str:
        """A new token, whole; of what is kept it cannot be made again.

        Raises:
            Problem: whoever has the name has another role; or nobody of amoCRM would be behind the token.
        """
        if self.is_per_person:
            raise Problem(
                "a token by command has nobody of amoCRM behind it, and here each works with their own rights there: "
                "people sign in with amoCRM; or set AMO_ACCESS_TOKEN, with which the server does everybody's work"
            )
        token_id, token, digest = new_token()
        try:
            await self.people.add_token(token_id, digest, name, role, days)
        except HasOtherRole as error:
            has = f"{name} has the role {error.person.role}"
            raise Problem(f"{has}; to change it: amo-mcp team people --name {name!r} --role {role}") from None
        return token

    async def set_role(self, name: str, role: Role) -> Person:
        """Give somebody another role; raises `Problem` when nobody has that name."""
        try:
            return await self.people.set_role(name, role)
        except UnknownPerson:
            raise _nobody(name) from None

    async def remove(self, name: str) -> Person:
        """Let somebody be known no longer; raises `Problem` when nobody has that name."""
        try:
            return await self.people.remove(name)
        except UnknownPerson:
            raise _nobody(name) from None

    async def key_use(self) -> list[tuple[str, int, KeyState]]:
        """Every key that is in the ring or has encrypted something: its id, how much that is, and what it does."""
        used = await key_use(self.database)
        states: dict[str, KeyState] = dict.fromkeys(used, "missing")
        states |= dict.fromkeys(self.keys.ids, "older")
        states[self.keys.newest] = "newest"
        return [(key_id, used.get(key_id, 0), states[key_id]) for key_id in dict.fromkeys([*self.keys.ids, *used])]

    async def rotate(self) -> tuple[int, int]:
        """Encrypt everything with the newest key: how much was encrypted anew, and how much cannot be read."""
        return await reencrypt(self.database, self.keys)

    async def audited(
        self, who: str = "", kind: Kind | None = None, since: float | None = None, until: float | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """What somebody did, of a kind, between two moments, as JSON; the newest first."""
        async for recorded in everything(self.audit, Only(who, kind, since, until)):
            yield recorded.as_json()


def _nobody(name: str) -> Problem:
    return Problem(f"nobody has the name {name!r}: amo-mcp team people lists everybody")


@asynccontextmanager
async def open_office(settings: TeamSettings) -> AsyncIterator[Office]:
    """The operator's place, as long as the context; the database is brought up to date first.

    Raises:
        JournalUnusable: the database is away, or will not do.
    """
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        await database.open()
        built = build_account(settings, database, Metrics(get_meter(__name__), {}), stack)
        yield Office(
            database,
            settings.keys,
            PostgresPeopleStore(database),
            PostgresAudit(database),
            built.accounts.shared,
            settings.is_per_person,
        )


async def look_at(settings: TeamSettings) -> State:
    """What is found in the database, without changing anything; raises as `look` does."""
    return await look(Database(settings.database_url))
