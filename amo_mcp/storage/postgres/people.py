"""The people of a team and their tokens, in the database of the replicas."""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from amo_mcp.storage.postgres.database import Database, storable
from amo_mcp.team.people import HasOtherRole, PeopleStore, Person, Role, Token, UnknownPerson

if TYPE_CHECKING:
    from asyncpg import Record

_DAY = 86_400.0

_TOKENS = """
SELECT t.id, t.digest, t.made, t.expires, t.used, coalesce(t.revoked, p.removed) AS revoked,
    t.sign_in, t.scope, s.resource, p.id AS person, p.name, p.role
FROM tokens t JOIN people p ON p.id = t.person LEFT JOIN sign_ins s ON s.id = t.sign_in
"""
_ALL = _TOKENS + " WHERE t.sign_in IS NULL ORDER BY t.made DESC, t.id"
_IS_GOOD = """
t.revoked IS NULL AND p.removed IS NULL AND s.ended IS NULL AND coalesce(t.expires > coalesce($2, unix_now()), true)
"""
_GOOD = _TOKENS + f" WHERE t.id = $1 AND {_IS_GOOD}"
# Of several who make the same person known at once one does; the update is there to have the row returned and locked.
_KNOW = """
INSERT INTO people (id, name, role, made) VALUES ($1, $2, $3, coalesce($4, unix_now()))
ON CONFLICT (name) WHERE removed IS NULL DO UPDATE SET name = excluded.name
RETURNING id, name, role
"""
_ADD = """
INSERT INTO tokens (id, digest, person, made, expires)
SELECT $1, $2, $3, now, now + $4 FROM (SELECT coalesce($5, unix_now()) AS now) AS clock RETURNING made, expires
"""
_USE = "UPDATE tokens SET used = coalesce($2, unix_now()) WHERE id = $1"
_REVOKE = """
UPDATE tokens SET revoked = coalesce($2, unix_now()) WHERE id = $1 AND revoked IS NULL AND sign_in IS NULL RETURNING id
"""
_PEOPLE = "SELECT id, name, role FROM people WHERE removed IS NULL ORDER BY name"
_SET_ROLE = "UPDATE people SET role = $2 WHERE name = $1 AND removed IS NULL RETURNING id, name, role"
_REMOVE = """
WITH gone AS (
    UPDATE people SET removed = coalesce($2, unix_now()) WHERE name = $1 AND removed IS NULL RETURNING id, name, role
), forgotten AS (
    DELETE FROM credentials USING gone WHERE split_part(owner, '/', 2) = gone.id
)
SELECT id, name, role FROM gone
"""


class PostgresPeopleStore(PeopleStore):
    """The people of all replicas.

    Args:
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock

    @override
    async def add_token(self, token_id: str, digest: bytes, name: str, role: Role, days: float | None) -> Token:
        seconds = None if days is None else days * _DAY
        async with self._database.transaction() as session:
            known = await session.fetchrow(_KNOW, f"u{secrets.token_hex(6)}", name, role, self._now)
            assert known is not None, "the row is returned in either case"
            person = _person(known)
            if person.role != role:
                raise HasOtherRole(person)
            row = await session.fetchrow(_ADD, token_id, digest, person.id, seconds, self._now)
            assert row is not None, "the row is returned"
        return Token(token_id, person, row["made"], row["expires"])

    @override
    async def good_token(self, token_id: str) -> tuple[bytes, Token] | None:
        row = await self._database.fetchrow(_GOOD, storable(token_id), self._now)
        return None if row is None else (row["digest"], _token(row))

    @override
    async def note_use(self, token_id: str) -> None:
        await self._database.execute(_USE, token_id, self._now)

    @override
    async def tokens(self) -> Sequence[Token]:
        return [_token(row) for row in await self._database.fetch(_ALL)]

    @override
    async def revoke(self, token_id: str) -> bool:
        return await self._database.fetchval(_REVOKE, storable(token_id), self._now) is not None

    @override
    async def people(self) -> Sequence[Person]:
        return [_person(row) for row in await self._database.fetch(_PEOPLE)]

    @override
    async def set_role(self, name: str, role: Role) -> Person:
        return _known(await self._database.fetchrow(_SET_ROLE, storable(name), role))

    @override
    async def remove(self, name: str) -> Person:
        return _known(await self._database.fetchrow(_REMOVE, storable(name), self._now))

    @property
    def _now(self) -> float | None:
        return self._clock and self._clock()


def _known(row: "Record | None") -> Person:
    if row is None:
        raise UnknownPerson
    return _person(row)


def _person(row: "Record") -> Person:
    return Person(row["id"], row["name"], row["role"])


def _token(row: "Record") -> Token:
    person = Person(row["person"], row["name"], row["role"])
    moments = row["made"], row["expires"], row["used"], row["revoked"]
    return Token(row["id"], person, *moments, row["sign_in"], row["scope"], row["resource"])
