"""Signing in with amoCRM, in the database of the replicas: any of them goes on with what another one began.

What is good once is a row that is deleted by whoever uses it: of all who try at once, one finds it.
"""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from typing_extensions import override

from amo_mcp.storage.postgres.audit import signed
from amo_mcp.storage.postgres.clock import NOW, ClockedStore
from amo_mcp.storage.postgres.database import storable
from amo_mcp.team.audit import AMOCRM, Kind
from amo_mcp.team.authorization import store
from amo_mcp.team.authorization.store import (
    AuthorizationStore,
    Client,
    Grant,
    NewToken,
    Request,
    Rotated,
    SignedIn,
    TooManyClients,
    WasRemoved,
)
from amo_mcp.team.people import Person

if TYPE_CHECKING:
    from asyncpg import Record

    from amo_mcp.storage.postgres.database import Session

_LOCK = 0x636C69656E7473
"""The key of the advisory lock under which clients are counted: "clients"."""

_CLIENT = f"SELECT document, {NOW} - made AS age FROM clients WHERE id = $2"
_KEEP_CLIENT = f"""
INSERT INTO clients (id, document, made) VALUES ($2, $3, {NOW})
ON CONFLICT (id) DO UPDATE SET document = excluded.document, made = excluded.made
"""
_IS_FETCHED = "starts_with(id, 'https:')"
_FORGET_FETCHED = f"""
DELETE FROM clients WHERE id IN (
    SELECT id FROM clients WHERE {_IS_FETCHED} ORDER BY used DESC NULLS LAST, made DESC OFFSET $1
)
"""
_FORGET_CLIENTS = f"""
DELETE FROM clients WHERE CASE WHEN used IS NULL THEN made < {NOW} - 86400 ELSE used < {NOW} - $2::float8 END
"""
_COUNT_CLIENTS = f"""
SELECT count(*) AS kept, count(*) FILTER (WHERE made > {NOW} - 60) AS recent FROM clients WHERE NOT {_IS_FETCHED}
"""
_USE_CLIENT = f"UPDATE clients SET used = {NOW} WHERE id = $2"
_FORGET_REQUESTS = f"""
DELETE FROM sign_in_requests
WHERE expires <= {NOW} OR number IN (SELECT number FROM sign_in_requests ORDER BY number DESC OFFSET $2)
"""
_ASK = f"INSERT INTO sign_in_requests (id, content, expires) VALUES ($2, $3, {NOW} + $4)"
_WAITS = f"id = $2 AND (state IS NULL OR browser = $3) AND expires > {NOW}"
_REQUEST = f"SELECT content FROM sign_in_requests WHERE {_WAITS}"
_APPROVE = f"UPDATE sign_in_requests SET state = $4, browser = $3, admin = $5 WHERE {_WAITS} RETURNING number"
_REFUSE = f"DELETE FROM sign_in_requests WHERE {_WAITS} RETURNING content"
_TAKE = f"""
DELETE FROM sign_in_requests WHERE state = $2 AND browser = $3 AND expires > {NOW} RETURNING content, admin
"""
_KNOW = f"""
INSERT INTO people (id, name, role, made) VALUES ($2, $3, $4, {NOW})
ON CONFLICT (id) DO UPDATE SET role = CASE WHEN $4 = 'admin' THEN 'admin' ELSE people.role END
RETURNING id, name, role, removed
"""
_HAS_NAME = "SELECT 1 FROM people WHERE name = $1 AND removed IS NULL AND id != $2"
_USE_BOOTSTRAP = f"UPDATE bootstrap SET used = {NOW} WHERE digest = $2 AND used IS NULL RETURNING digest"
_FORGET_CODES = f"DELETE FROM codes WHERE expires <= {NOW}"
_ADD_CODE = f"INSERT INTO codes (digest, content, expires) VALUES ($2, $3, {NOW} + $4)"
_CODE = f"SELECT content FROM codes WHERE digest = $2 AND expires > {NOW}"
_USE_CODE = f"DELETE FROM codes WHERE digest = $2 AND expires > {NOW} RETURNING content"
_FORGET_SIGN_INS = f"DELETE FROM sign_ins WHERE made < {NOW} - $2::float8 - 86400"
_END_CODES = "DELETE FROM codes WHERE starts_with(content::json->>'person', $1)"
_BEGIN = f"""
INSERT INTO sign_ins (id, person, client_id, client_name, scope, resource, made, used)
VALUES ($2, $3, $4, $5, $6, $7, {NOW}, {NOW})
"""
_ADD_REFRESH = "INSERT INTO refresh_tokens (digest, sign_in) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_ADD_ACCESS = f"""
INSERT INTO tokens (id, digest, person, made, expires, sign_in, scope)
VALUES ($2, $3, $4, {NOW}, {NOW} + $5, $6, $7)
"""
_FORGET_ACCESS = f"DELETE FROM tokens WHERE sign_in = $2 AND expires <= {NOW}"
_LIVES = f"s.ended IS NULL AND p.removed IS NULL AND s.made > {NOW} - $3::float8 AND s.used > {NOW} - $4::float8"
_OF_REFRESH = f"""
SELECT s.id, s.client_id, s.client_name, s.scope, s.person, r.rotated, r.key_id, {NOW} AS now, {_LIVES} AS lives
FROM refresh_tokens r JOIN sign_ins s ON s.id = r.sign_in JOIN people p ON p.id = s.person WHERE r.digest = $2
"""
_ROTATE = f"UPDATE refresh_tokens SET rotated = {NOW}, key_id = $3 WHERE digest = $2"
_USE = f"UPDATE sign_ins SET used = {NOW} WHERE id = $2"
_TELL_TO_ASK = f"UPDATE sign_ins SET told_to_ask = {NOW} WHERE id = (SELECT sign_in FROM tokens WHERE id = $2)"
_IS_TO_ASK = f"""
UPDATE sign_ins SET told_to_ask = NULL WHERE id = (SELECT sign_in FROM refresh_tokens WHERE digest = $2)
AND told_to_ask > {NOW} - $3::float8 RETURNING id
"""
_END = f"UPDATE sign_ins SET ended = {NOW} WHERE id = $2 AND ended IS NULL"
_END_OF = f"""
UPDATE sign_ins s SET ended = {NOW} WHERE client_id = $3 AND ended IS NULL AND (
    EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.sign_in = s.id AND r.digest = $2)
    OR EXISTS (SELECT 1 FROM tokens t WHERE t.sign_in = s.id AND t.digest = $2)
) RETURNING person, client_name
"""
_END_ALL = f"UPDATE sign_ins SET ended = {NOW} WHERE starts_with(person, $2) AND ended IS NULL RETURNING person"
_FORGET_CREDENTIALS = "DELETE FROM credentials WHERE starts_with(split_part(owner, '/', 2), $1)"
_END_BROWSERS = "DELETE FROM browsers WHERE starts_with(person, $1)"
_BEGIN_BOOTSTRAP = "INSERT INTO bootstrap (digest) VALUES ($1) ON CONFLICT DO NOTHING RETURNING digest"
_BOOTSTRAP = "SELECT 1 FROM bootstrap WHERE used IS NULL"


class PostgresAuthorizationStore(ClockedStore, AuthorizationStore):
    """The sign-ins of all replicas."""

    @override
    async def client(self, client_id: str) -> Client | None:
        row = await self._database.fetchrow(_CLIENT, self._now, storable(client_id))
        return None if row is None else Client(row["document"], row["age"])

    @override
    async def keep_client(self, client_id: str, document: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(_KEEP_CLIENT, self._now, client_id, document)
            await session.execute(_FORGET_FETCHED, store.MAX_CLIENTS)

    @override
    async def register_client(self, client_id: str, document: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await session.execute(_FORGET_CLIENTS, self._now, store.CLIENT_SECONDS)
            count = await session.fetchrow(_COUNT_CLIENTS, self._now)
            assert count is not None, "a count is a row"
            if count["kept"] >= store.MAX_CLIENTS or count["recent"] >= store.MAX_REGISTRATIONS:
                raise TooManyClients
            await session.execute(_KEEP_CLIENT, self._now, client_id, document)

    @override
    async def ask(self, request_id: bytes, request: Request) -> None:
        async with self._database.transaction() as session:
            await session.execute(_FORGET_REQUESTS, self._now, store.MAX_REQUESTS - 1)
            content = request.model_dump_json()
            await session.execute(_ASK, self._now, request_id, content, store.REQUEST_SECONDS)

    @override
    async def request(self, request_id: bytes, browser: bytes) -> Request | None:
        return _request(await self._database.fetchval(_REQUEST, self._now, request_id, browser))

    @override
    async def approve(self, request_id: bytes, state: bytes, browser: bytes, admin: str) -> bool:
        done = await self._database.fetchval(_APPROVE, self._now, request_id, browser, state, admin)
        return done is not None

    @override
    async def refuse(self, request_id: bytes, browser: bytes) -> Request | None:
        return _request(await self._database.fetchval(_REFUSE, self._now, request_id, browser))

    @override
    async def take(self, state: bytes, browser: bytes) -> Request | None:
        row = await self._database.fetchrow(_TAKE, self._now, state, browser)
        if row is None:
            return None
        return Request.model_validate_json(row["content"]).model_copy(update={"admin": row["admin"]})

    @override
    async def know(self, person_id: str, name: str, admin: str, client: str) -> Person:
        async with self._database.transaction() as session:
            is_admin = admin and await session.fetchval(_USE_BOOTSTRAP, self._now, admin)
            if await session.fetchval(_HAS_NAME, name, person_id):
                name = f"{name} ({person_id})"
            row = await session.fetchrow(_KNOW, self._now, person_id, name, "admin" if is_admin else "viewer")
            assert row is not None, "the row is returned in either case"
            was_removed = row["removed"] is not None
            kind: Kind = "refusal" if was_removed else "sign_in"
            outcome = "removed" if was_removed else "done"
            await signed(session, "signed_in", person_id, client, kind=kind, outcome=outcome, now=self._now)
        if was_removed:
            raise WasRemoved
        return Person(row["id"], row["name"], row["role"])

    @override
    async def add_code(self, code: bytes, grant: Grant) -> None:
        async with self._database.transaction() as session:
            await session.execute(_FORGET_CODES, self._now)
            await session.execute(_ADD_CODE, self._now, code, grant.model_dump_json(), store.CODE_SECONDS)

    @override
    async def code(self, code: bytes) -> Grant | None:
        content = await self._database.fetchval(_CODE, self._now, code)
        return None if content is None else Grant.model_validate_json(content)

    @override
    async def begin(self, code: bytes, access: NewToken, refresh: bytes) -> SignedIn | None:
        async with self._database.transaction() as session:
            content = await session.fetchval(_USE_CODE, self._now, code)
            if content is None:
                return None
            grant = Grant.model_validate_json(content)
            asked = grant.request
            await session.execute(_FORGET_SIGN_INS, self._now, store.MAX_SIGN_IN_SECONDS)
            begun = SignedIn(secrets.token_hex(8), asked.client_id, asked.scope, grant.person)
            names = asked.client_id, asked.client_name, asked.scope, asked.resource
            await session.execute(_BEGIN, self._now, begun.id, grant.person, *names)
            await session.execute(_USE_CLIENT, self._now, asked.client_id)
            await session.execute(_ADD_REFRESH, refresh, begun.id)
            await self._add_access(session, access, begun.id, grant.person)
        return begun

    @override
    async def signed_in(self, refresh: bytes) -> SignedIn | None:
        row = await self._database.fetchrow(_OF_REFRESH, self._now, refresh, *_LIMITS)
        return None if row is None or not row["lives"] else _signed_in(row)

    @override
    async def rotate(self, refresh: bytes, access: NewToken, successors: Mapping[str, bytes]) -> Rotated:
        async with self._database.transaction() as session:
            row = await session.fetchrow(f"{_OF_REFRESH} FOR UPDATE OF s, r", self._now, refresh, *_LIMITS)
            if row is None or not row["lives"]:
                return Rotated("ended")
            key_id, used, person = row["key_id"], row["rotated"], row["person"]
            since = 0.0 if used is None else row["now"] - used
            if since > store.LATE_SECONDS:
                await session.execute(_END, self._now, row["id"])
                await signed(session, "reuse", person, row["client_name"], outcome="ended", now=self._now)
                return Rotated("reused", person=person)
            if used is None:
                key_id = next(iter(successors))
                await session.execute(_ROTATE, self._now, refresh, key_id)
                await session.execute(_ADD_REFRESH, successors[key_id], row["id"])
            elif since > store.SAME_SECONDS or key_id not in successors:
                key_id = None
            await session.execute(_USE, self._now, row["id"])
            await session.execute(_USE_CLIENT, self._now, row["client_id"])
            await session.execute(_FORGET_ACCESS, self._now, row["id"])
            await self._add_access(session, access, row["id"], person)
        return Rotated("ok", key_id, person)

    @override
    async def tell_to_ask(self, token_id: str) -> None:
        await self._database.execute(_TELL_TO_ASK, self._now, token_id)

    @override
    async def is_to_ask(self, refresh: bytes) -> bool:
        return await self._database.fetchval(_IS_TO_ASK, self._now, refresh, store.ASKING_SECONDS) is not None

    @override
    async def end(self, token: bytes, client_id: str) -> None:
        async with self._database.transaction() as session:
            for row in await session.fetch(_END_OF, self._now, token, client_id):
                await signed(session, "signed_out", row["person"], row["client_name"], now=self._now)

    @override
    async def end_all(self, prefix: str) -> int:
        async with self._database.transaction() as session:
            for ends in (_FORGET_CREDENTIALS, _END_BROWSERS, _END_CODES):
                await session.execute(ends, prefix)
            ended = await session.fetch(_END_ALL, self._now, prefix)
            for person in dict.fromkeys(row["person"] for row in ended):
                await signed(session, "ended", person, AMOCRM.client, now=self._now)
            return len(ended)

    @override
    async def begin_bootstrap(self, code: bytes) -> bool:
        return await self._database.fetchval(_BEGIN_BOOTSTRAP, code.hex()) is not None

    @override
    async def bootstrap_is_open(self) -> bool:
        return await self._database.fetchval(_BOOTSTRAP) is not None

    async def _add_access(self, session: "Session", access: NewToken, sign_in_id: str, person: str) -> None:
        kept = access.id, access.digest, person, float(store.ACCESS_SECONDS), sign_in_id, access.scope
        await session.execute(_ADD_ACCESS, self._now, *kept)


_LIMITS = store.MAX_SIGN_IN_SECONDS, store.MAX_IDLE_SECONDS


def _request(content: str | None) -> Request | None:
    return None if content is None else Request.model_validate_json(content)


def _signed_in(row: "Record") -> SignedIn:
    return SignedIn(row["id"], row["client_id"], row["scope"], row["person"])
