"""When the people of a team are compared with the users of amoCRM: in the database, so that one replica does it."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from typing_extensions import override

from amo_mcp.storage.postgres.clock import NOW, ClockedStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import AMOCRM
from amo_mcp.team.comparison import AGAIN_SECONDS, EVERY_SECONDS, ComparisonStore
from amo_mcp.team.people import PeopleStore, Person, UnknownPerson

_BEGIN = f"INSERT INTO comparisons (due) VALUES ({NOW} + $2) ON CONFLICT DO NOTHING"
_TAKE = f"UPDATE comparisons SET due = {NOW} + $2 WHERE due <= {NOW} RETURNING single"
_DONE = f"UPDATE comparisons SET due = {NOW} + $2"
_PEOPLE = """
SELECT id, name, role FROM people WHERE removed IS NULL AND strpos(id, ':') > 0 ORDER BY role != 'admin', made DESC, id
"""


class PostgresComparisonStore(ClockedStore, ComparisonStore):
    """The comparisons of all replicas.

    Args:
        people: where people are known.
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(self, database: Database, people: PeopleStore, *, clock: Callable[[], float] | None = None) -> None:
        super().__init__(database, clock=clock)
        self._people = people

    @override
    async def begin(self) -> bool:
        async with self._database.transaction() as session:
            await session.execute(_BEGIN, self._now, EVERY_SECONDS)
            return await session.fetchval(_TAKE, self._now, AGAIN_SECONDS) is not None

    @override
    async def done(self) -> None:
        await self._database.execute(_DONE, self._now, EVERY_SECONDS)

    @override
    async def people(self) -> Sequence[Person]:
        return [Person(row["id"], row["name"], row["role"]) for row in await self._database.fetch(_PEOPLE)]

    @override
    async def remove(self, person: Person) -> None:
        with suppress(UnknownPerson):
            await self._people.remove(person.name, AMOCRM)
