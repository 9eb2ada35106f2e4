"""Which account is at an address, and who has allowed this server to work for them there."""

from http import HTTPStatus

from amo_mcp.accounts.cache import ReadCache
from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.errors import Unauthorized
from amo_mcp.keys import Keys
from amo_mcp.storage.postgres.audit import signed
from amo_mcp.storage.postgres.credentials import PostgresCredentialStore, nothing_sent
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import AMOCRM
from amo_mcp.team.authorization.store import MAX_SIGN_IN_SECONDS

_ACCOUNT = "SELECT id FROM accounts WHERE host = $1"
_NOTE = "INSERT INTO accounts (host, id) VALUES ($1, $2) ON CONFLICT (host) DO UPDATE SET id = excluded.id"
_MAY_WORK = """
SELECT 1 FROM credentials, people
WHERE credentials.owner = $1 AND credentials.made > unix_now() - $3::float8
    AND people.id = $2 AND people.removed IS NULL
"""
_FORGET = "DELETE FROM credentials WHERE owner = $1 AND key_id = ANY($2)"
_END = "UPDATE sign_ins SET ended = unix_now() WHERE person = $1 AND ended IS NULL RETURNING id"
_KNOWN_SECONDS = 60.0


class PeopleOfAccount:
    """The tokens of the people of one account.

    What is asked for a request to amoCRM raises `Unavailable` while the database is away.

    Args:
        host: of the account, such as example.amocrm.ru.
    """

    def __init__(self, database: Database, keys: Keys, host: str) -> None:
        self._database = database
        self._keys = keys
        self._host = host
        self._known = ReadCache(seconds=_KNOWN_SECONDS)

    def store(self, person_id: str) -> PostgresCredentialStore:
        """Where the tokens of a person are kept."""
        return PostgresCredentialStore(self._database, self._keys, self._owner(person_id))

    async def keep(self, person_id: str, account_id: int, credentials: Credentials) -> None:
        """Keep what amoCRM has given for a person, in place of what it gave before."""
        store = self.store(person_id)
        async with store.exclusive():
            await store.begin(credentials)
        await self._database.execute(_NOTE, self._host, account_id)

    async def may_work(self, person_id: str) -> bool:
        """Whether somebody is known here, and has signed in in the last 90 days."""
        with nothing_sent():
            asked = self._owner(person_id), person_id, MAX_SIGN_IN_SECONDS
            return await self._database.fetchval(_MAY_WORK, *asked) is not None

    async def ended(self, person_id: str) -> None:
        """Forget the tokens of a person, and end their sign-ins, so that their clients let them sign in again.

        What cannot be read is left as it is: the key may only be missing.
        """
        with nothing_sent():
            async with self._database.transaction() as session:
                await session.execute(_FORGET, self._owner(person_id), self._keys.ids)
                if await session.fetch(_END, person_id):
                    await signed(session, "ended", person_id, AMOCRM.client)

    async def account_id(self) -> int:
        """The id of the account.

        Raises:
            Unauthorized: nobody has signed in yet.
        """
        return await self._known.get("account", self._account_id)

    async def _account_id(self) -> int:
        found = await self._database.fetchval(_ACCOUNT, self._host)
        if found is None:
            raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint="Somebody has to sign in to this server with amoCRM.")
        return int(found)

    def _owner(self, person_id: str) -> str:
        """Tokens are for one account: with another address, what is kept is another's."""
        return f"{self._host}/{person_id}"
