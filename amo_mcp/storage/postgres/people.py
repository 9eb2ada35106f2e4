"""The people of a team and their tokens, in the database of the replicas."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from amo_mcp.storage.postgres.audit import record
from amo_mcp.storage.postgres.clock import ClockedStore
from amo_mcp.storage.postgres.database import storable
from amo_mcp.team.audit import OPERATOR, Actor, Entry, Kind, Touched
from amo_mcp.team.people import (
    MAX_LISTED_TOKENS,
    MAX_OWN_TOKENS,
    MAX_REMOVED,
    HasOtherRole,
    Known,
    LastAdmin,
    NameTaken,
    PeopleStore,
    Person,
    Role,
    Token,
    TooManyTokens,
    UnknownPerson,
    includes,
)

if TYPE_CHECKING:
    from asyncpg import Record

    from amo_mcp.storage.postgres.database import Session

_Told = dict[str, Any]

_DAY = 86_400.0

_TOKENS = """
SELECT t.id, t.digest, t.made, t.expires, t.used, coalesce(t.revoked, p.removed) AS revoked,
    t.sign_in, t.scope, t.label, s.resource, p.id AS person, p.name, p.role
FROM tokens t JOIN people p ON p.id = t.person LEFT JOIN sign_ins s ON s.id = t.sign_in
"""
_ALL = _TOKENS + " WHERE t.sign_in IS NULL ORDER BY t.made DESC, t.id"
_OF = _TOKENS + " WHERE t.sign_in IS NULL AND p.id = $1 ORDER BY t.made DESC, t.id LIMIT $2"
_IS_GOOD = """
t.revoked IS NULL AND p.removed IS NULL AND s.ended IS NULL AND coalesce(t.expires > coalesce($2, unix_now()), true)
"""
_GOOD = _TOKENS + f" WHERE t.id = $1 AND {_IS_GOOD}"
_COUNT_GOOD = f"SELECT count(*) FROM ({_TOKENS} WHERE t.sign_in IS NULL AND p.id = $1 AND {_IS_GOOD}) AS good"
# Of several who make the same person known at once one does; the update is there to have the row returned and locked.
_KNOW = """
INSERT INTO people (id, name, role, made) VALUES ($1, $2, $3, coalesce($4, unix_now()))
ON CONFLICT (name) WHERE removed IS NULL DO UPDATE SET name = excluded.name
RETURNING id, name, role
"""
_ADD = """
INSERT INTO tokens (id, digest, person, made, expires, label, scope)
SELECT $1, $2, $3, now, now + $4, $6, $7 FROM (SELECT coalesce($5, unix_now()) AS now) AS clock
RETURNING made, expires
"""
_USE = "UPDATE tokens SET used = coalesce($2, unix_now()) WHERE id = $1"
_REVOKE = """
UPDATE tokens t SET revoked = coalesce($2, unix_now()) FROM people p
WHERE t.id = $1 AND p.id = t.person AND revoked IS NULL AND sign_in IS NULL AND ($3::text IS NULL OR person = $3)
RETURNING p.name, label
"""
_PEOPLE = "SELECT id, name, role FROM people WHERE removed IS NULL ORDER BY name"
_EVERYBODY = """
SELECT id, name, role, made, removed, (SELECT max(used) FROM tokens WHERE person = people.id) AS used FROM people
WHERE removed IS NULL OR id IN (SELECT id FROM people WHERE removed IS NOT NULL ORDER BY removed DESC, id LIMIT $1)
ORDER BY removed DESC NULLS FIRST, name, id
"""
_LOCKED = "SELECT id, name, role FROM people WHERE removed IS NULL AND {} = $1 FOR UPDATE"
# In an order, so that of two who take the role from each other one waits, and then finds the other one gone.
_ADMINS = "SELECT id FROM people WHERE role = 'admin' AND removed IS NULL ORDER BY id FOR UPDATE"
_SET_ROLE = "UPDATE people SET role = $2 WHERE id = $1"
# Once an admin can sign in, a code that was lost is worth nothing to whoever finds it.
_END_BOOTSTRAP = "UPDATE bootstrap SET used = coalesce($2, unix_now()) WHERE used IS NULL AND strpos($1, ':') > 0"
_REMOVE = "UPDATE people SET removed = coalesce($2, unix_now()) WHERE id = $1"
_END_TOKENS = "UPDATE tokens SET revoked = coalesce($2, unix_now()) WHERE person = $1 AND revoked IS NULL"
_END_SIGN_INS = "UPDATE sign_ins SET ended = coalesce($2, unix_now()) WHERE person = $1 AND ended IS NULL"
_WITHDRAW = "UPDATE approvals SET used_at = coalesce($2, unix_now()), outcome = 'withdrawn' WHERE used_at IS NULL"
_END_YES = f"{_WITHDRAW} AND answer = 'yes' AND answered_by = $1"
_END_QUESTIONS = f"{_WITHDRAW} AND asked_by = $1"
_END_BROWSERS = "DELETE FROM browsers WHERE person = $1"
_END_CODES = "DELETE FROM codes WHERE content::json->>'person' = $1"
_FORGET_CREDENTIALS = "DELETE FROM credentials WHERE split_part(owner, '/', 2) = $1"
_STOP_RUNS = "UPDATE changes SET stop_requested = true WHERE person = $1 AND status = 'running'"
_REMOVED = "SELECT id, name, role FROM people WHERE removed IS NOT NULL AND id = $1 FOR UPDATE"
_HAS_NAME = "SELECT 1 FROM people WHERE name = $1 AND removed IS NULL"
_LET_IN = "UPDATE people SET removed = NULL WHERE id = $1"


class PostgresPeopleStore(ClockedStore, PeopleStore):
    """The people of all replicas."""

    @override
    async def add_token(
        self, token_id: str, digest: bytes, name: str, role: Role, days: float | None, by: Actor = OPERATOR
    ) -> Token:
        async with self._database.transaction() as session:
            known = await session.fetchrow(_KNOW, f"u{secrets.token_hex(6)}", name, role, self._now)
            assert known is not None, "the row is returned in either case"
            person = _person(known)
            if person.role != role:
                raise HasOtherRole(person)
            return await self._add(session, Token(token_id, person, 0.0), digest, days, by)

    @override
    async def add_own_token(
        self, token_id: str, digest: bytes, by: Actor, *, label: str, scope: str, days: float
    ) -> Token:
        async with self._database.transaction() as session:
            person = await _locked(session, "id", by.person or "")
            if await session.fetchval(_COUNT_GOOD, person.id, self._now) >= MAX_OWN_TOKENS:
                raise TooManyTokens
            token = Token(token_id, person, 0.0, label=storable(label), scope=scope)
            return await self._add(session, token, digest, days, by)

    async def _add(self, session: "Session", token: Token, digest: bytes, days: float | None, by: Actor) -> Token:
        seconds = None if days is None else days * _DAY
        kept = token.id, digest, token.person.id, seconds, self._now, token.label, token.scope
        row = await session.fetchrow(_ADD, *kept)
        assert row is not None, "the row is returned"
        token = replace(token, made=row["made"], expires=row["expires"])
        made = {"person": token.person.name, "label": token.label, "scope": token.scope, "expires": token.expires}
        await self._tell(session, "token", "made", token.id, by, {}, made)
        return token

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
    async def tokens_of(self, person_id: str) -> Sequence[Token]:
        return [_token(row) for row in await self._database.fetch(_OF, person_id, MAX_LISTED_TOKENS)]

    @override
    async def revoke(self, token_id: str, by: Actor = OPERATOR, *, of: str | None = None) -> bool:
        async with self._database.transaction() as session:
            row = await session.fetchrow(_REVOKE, storable(token_id), self._now, of)
            if row is not None:
                was = {"person": row["name"], "label": row["label"]}
                await self._tell(session, "token", "revoked", token_id, by, was, {})
        return row is not None

    @override
    async def people(self) -> Sequence[Person]:
        return [_person(row) for row in await self._database.fetch(_PEOPLE)]

    @override
    async def everybody(self) -> Sequence[Known]:
        rows = await self._database.fetch(_EVERYBODY, MAX_REMOVED)
        return [Known(_person(row), row["made"], row["used"], row["removed"]) for row in rows]

    @override
    async def give_role(self, person_id: str, role: Role, by: Actor) -> None:
        async with self._database.transaction() as session:
            person = await _not_last_admin(session, person_id, role)
            await self._set_role(session, person, role, by)

    @override
    async def shut_out(self, person_id: str, by: Actor) -> None:
        async with self._database.transaction() as session:
            await self._end(session, await _not_last_admin(session, person_id), by)

    @override
    async def let_in(self, person_id: str, by: Actor) -> None:
        async with self._database.transaction() as session:
            person = _known(await session.fetchrow(_REMOVED, storable(person_id)))
            if await session.fetchval(_HAS_NAME, person.name):
                raise NameTaken
            await session.execute(_LET_IN, person.id)
            await self._tell(session, "person", "let_in", person.id, by, {}, _told(person))

    @override
    async def set_role(self, name: str, role: Role, by: Actor = OPERATOR) -> Person:
        async with self._database.transaction() as session:
            return await self._set_role(session, await _locked(session, "name", name), role, by)

    @override
    async def remove(self, name: str, by: Actor = OPERATOR) -> Person:
        async with self._database.transaction() as session:
            return await self._end(session, await _locked(session, "name", name), by)

    async def _set_role(self, session: "Session", person: Person, role: Role, by: Actor) -> Person:
        changed = replace(person, role=role)
        await session.execute(_SET_ROLE, person.id, role)
        if role == "admin":
            await session.execute(_END_BOOTSTRAP, person.id, self._now)
        if not includes(role, "approver"):
            await session.execute(_END_YES, person.id, self._now)
        if not includes(role, "editor"):
            await session.execute(_STOP_RUNS, person.id)
        await self._tell(session, "person", "role", person.id, by, _told(person), _told(changed))
        return changed

    async def _end(self, session: "Session", person: Person, by: Actor) -> Person:
        for ends in (_REMOVE, _END_TOKENS, _END_SIGN_INS, _END_YES, _END_QUESTIONS):
            await session.execute(ends, person.id, self._now)
        for ends in (_END_BROWSERS, _END_CODES, _FORGET_CREDENTIALS, _STOP_RUNS):
            await session.execute(ends, person.id)
        await self._tell(session, "person", "removed", person.id, by, _told(person), {})
        return person

    async def _tell(
        self, session: "Session", kind: Kind, what: str, subject: str, by: Actor, before: _Told, after: _Told
    ) -> None:
        action = "update" if before and after else "create" if after else "delete"
        touched = Touched(action, kind, subject, before, after)
        await record(session, Entry(kind=kind, what=what, by=by, subject=subject, touched=(touched,)), self._now)


async def _locked(session: "Session", column: str, value: str) -> Person:
    """Somebody who is known, while the transaction lasts."""
    return _known(await session.fetchrow(_LOCKED.format(column), storable(value)))


async def _not_last_admin(session: "Session", person_id: str, role: Role | None = None) -> Person:
    """Somebody who may have that role, or none, since there is another admin, or they are none."""
    admins = [row["id"] for row in await session.fetch(_ADMINS)]
    person = await _locked(session, "id", person_id)
    if role != "admin" and admins == [person.id]:
        raise LastAdmin
    return person


def _told(person: Person) -> _Told:
    """Somebody, as the audit tells of them."""
    return {"name": person.name, "role": person.role}


def _known(row: "Record | None") -> Person:
    if row is None:
        raise UnknownPerson
    return _person(row)


def _person(row: "Record") -> Person:
    return Person(row["id"], row["name"], row["role"])


def _token(row: "Record") -> Token:
    person = Person(row["person"], row["name"], row["role"])
    moments = row["made"], row["expires"], row["used"], row["revoked"]
    return Token(row["id"], person, *moments, row["sign_in"], row["scope"], row["resource"], row["label"])
