"""amoCRM's tokens in the database of the replicas, encrypted; one replica at a time refreshes those of a person.

A refresh token is single-use, so a new pair is committed before it is used: while one connection holds the lock of the
person, another commits. The lock is a row of its own, and the death of a replica frees it.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from pydantic import ValidationError
from typing_extensions import override

from amo_mcp.amocrm.credentials import Credentials, CredentialStore
from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.keys import CannotDecrypt, Encrypted, Keys
from amo_mcp.storage.postgres.database import Database

logger = logging.getLogger(__name__)

_LOAD = "SELECT key_id, ciphertext FROM credentials WHERE owner = $1"
_BEGIN = """
INSERT INTO credentials (owner, key_id, ciphertext) VALUES ($1, $2, $3)
ON CONFLICT (owner) DO UPDATE SET key_id = excluded.key_id, ciphertext = excluded.ciphertext, made = unix_now()
"""
_SAVE = "UPDATE credentials SET key_id = $2, ciphertext = $3 WHERE owner = $1"
_DELETE = "DELETE FROM credentials WHERE owner = $1 RETURNING owner"
_MAKE_LOCK = "INSERT INTO credential_locks (owner) VALUES ($1) ON CONFLICT DO NOTHING"
_LOCK = "SELECT owner FROM credential_locks WHERE owner = $1 FOR UPDATE"
_OLD = """
SELECT owner, key_id, ciphertext FROM credentials WHERE key_id != $1 AND owner > $2 ORDER BY owner LIMIT 1 FOR UPDATE
"""
_MAX_LOCKED = "SET LOCAL idle_in_transaction_session_timeout = '120s'"
"""A refresh takes less; a replica whose machine is gone without a word is in nobody's way for longer."""


class PostgresCredentialStore(CredentialStore):
    """The tokens of one person, or of the whole service.

    Every method raises `Unavailable` while the database is away.

    Args:
        owner: whose they are, such as `host/account_id:user_id`.
    """

    place = "the server's database"

    def __init__(self, database: Database, keys: Keys, owner: str) -> None:
        self._database = database
        self._keys = keys
        self._owner = owner

    @override
    async def load(self) -> Credentials | None:
        with nothing_sent():
            row = await self._database.fetchrow(_LOAD, self._owner)
        if row is None:
            return None
        try:
            text = self._keys.decrypt(Encrypted(row["key_id"], row["ciphertext"]), _place(self._owner))
            return Credentials.model_validate_json(text)
        except (CannotDecrypt, ValidationError) as error:
            logger.warning("what is kept of a sign-in cannot be read: %s", type(error).__name__)
            return None

    async def begin(self, credentials: Credentials) -> None:
        """Keep what a sign-in has given, in place of what one before it gave."""
        await self._write(_BEGIN, credentials)

    @override
    async def save(self, credentials: Credentials) -> None:
        """Keep what a refresh has given; nothing, where the sign-in was ended while amoCRM was asked."""
        await self._write(_SAVE, credentials)

    async def _write(self, statement: str, credentials: Credentials) -> None:
        encrypted = self._keys.encrypt(credentials.model_dump_json().encode(), _place(self._owner))
        with nothing_sent():
            await self._database.execute(statement, self._owner, encrypted.key_id, encrypted.ciphertext)

    @override
    async def delete(self) -> bool:
        with nothing_sent():
            return await self._database.fetchval(_DELETE, self._owner) is not None

    @override
    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with nothing_sent():
                connection = await stack.enter_async_context(self._database.direct())
                with self._database.unavailable():
                    await connection.execute(_MAKE_LOCK, self._owner)
                    await connection.execute(f"BEGIN; {_MAX_LOCKED}")
                    await connection.execute(_LOCK, self._owner)
            yield


async def reencrypt(database: Database, keys: Keys) -> tuple[int, int]:
    """Encrypt with the newest key whatever another one of the ring encrypted.

    Returns:
        How many sign-ins were encrypted anew, and how many no key of the ring can read.
    """
    renewed, unreadable, owner = 0, 0, ""
    while True:
        async with database.transaction() as session:
            row = await session.fetchrow(_OLD, keys.newest, owner)
            if row is None:
                return renewed, unreadable
            owner = row["owner"]
            try:
                text = keys.decrypt(Encrypted(row["key_id"], row["ciphertext"]), _place(owner))
            except CannotDecrypt:
                unreadable += 1
                continue
            encrypted = keys.encrypt(text, _place(owner))
            await session.execute(_SAVE, owner, encrypted.key_id, encrypted.ciphertext)
            renewed += 1


def _place(owner: str) -> str:
    """What the ciphertext is bound to, so that it is none in another row."""
    return f"credentials/{owner}"


@contextmanager
def nothing_sent() -> Iterator[None]:
    """A database that is away, as what it means for a request that needs a token: nothing of it was sent."""
    try:
        yield
    except StorageUnavailable as error:
        raise Unavailable("was not asked, because the server's database cannot be used") from error
