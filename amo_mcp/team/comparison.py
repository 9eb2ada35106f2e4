"""Whoever was removed from the account in amoCRM is removed here too: once a day its users are looked through.

amoCRM goes on honouring the tokens of people who were removed, and says so to nobody. Its users are listed to
administrators alone, so it is asked with the rights of whoever of the people here is one.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

import anyio

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.models import Account, User
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.team.people import Person

EVERY_SECONDS = 86_400.0
"""Seconds between two comparisons, of all replicas together."""

AGAIN_SECONDS = 3600.0
"""Seconds after which one that could not be made is tried again."""

LOOK_SECONDS = 600.0
"""Seconds between two looks of a replica whether one is due."""

MAX_TRIED = 25
"""People who are tried at most: whether they are administrators, only asking tells."""

logger = logging.getLogger(__name__)


class ComparisonStore(Protocol):
    """When a comparison is due, and with what. Every method can raise `StorageUnavailable`."""

    async def begin(self) -> bool:
        """Whether one is due; of all replicas one is told so. The first is due a day after the first start."""
        ...

    async def done(self) -> None:
        """Note that one was made: the next is due in a day, and not in an hour."""
        ...

    async def people(self) -> Sequence[Person]:
        """Everybody who is known and has signed in with amoCRM, admins first."""
        ...

    async def remove(self, person: Person) -> None:
        """Let somebody be known no longer."""
        ...


class Comparison:
    """Compares the people of one server with the users of its account.

    Args:
        client_of: gives the API as a person asks it, by their id.
    """

    def __init__(self, store: ComparisonStore, client_of: Callable[[str], AmoClient]) -> None:
        self._store = store
        self._client_of = client_of

    async def serve(self) -> None:
        """Compare whenever that is due, until this is cancelled."""
        while True:
            with suppress(StorageUnavailable):
                if await self._store.begin():
                    await self.compare()
            await anyio.sleep(LOOK_SECONDS)

    async def compare(self) -> None:
        """Remove whoever is not in the account any more; nobody, where its users cannot be listed."""
        people = await self._store.people()
        listed = await self._listed(people)
        if listed is None:
            logger.warning("the users of amoCRM were not looked through: no administrator of it has signed in here")
            return
        account, users = listed
        prefix = f"{account.id}:"
        present = {f"{prefix}{user.id}" for user in users if user.rights.is_active is not False}
        gone = [person for person in people if person.id.startswith(prefix) and person.id not in present]
        for person in gone:
            await self._store.remove(person)
        logger.info("of %d people, %d are in the account no longer", len(people), len(gone))
        await self._store.done()

    async def _listed(self, people: Sequence[Person]) -> tuple[Account, Collection[User]] | None:
        """The account and all its users, as somebody sees them who may; None where nobody may."""
        for client in dict.fromkeys(self._client_of(person.id) for person in people[:MAX_TRIED]):
            with suppress(AmoError):
                users, account = await client.users(), await client.account()
                # A list that leaves out what could not be read, or an administrator who asks for it, says of nobody
                # that they are gone.
                admins = {user.id for user in users if user.rights.is_admin}
                if not users.unreadable and account.current_user_id in admins:
                    return account, users
        return None
