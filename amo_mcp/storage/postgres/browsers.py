"""Who is signed in in which browser, in the database of the replicas."""

from typing_extensions import override

from amo_mcp.storage.postgres.audit import signed
from amo_mcp.storage.postgres.clock import NOW, ClockedStore
from amo_mcp.team.browser import SESSION_SECONDS, VISITOR, BrowserStore, SignedIn
from amo_mcp.team.people import Person

_FORGET = f"DELETE FROM browsers WHERE expires <= {NOW} OR digest = $2"
_BEGIN = f"INSERT INTO browsers (digest, person, expires) VALUES ($2, $3, {NOW} + $4)"
_SIGNED_IN = f"""
SELECT p.id, p.name, p.role, b.expires FROM browsers b JOIN people p ON p.id = b.person
WHERE b.digest = $2 AND b.expires > {NOW} AND p.removed IS NULL
"""
_END = "DELETE FROM browsers WHERE digest = $1 RETURNING person"


class PostgresBrowserStore(ClockedStore, BrowserStore):
    """The browsers of all replicas."""

    @override
    async def begin(self, cookie: bytes, person_id: str, before: bytes = b"") -> None:
        async with self._database.transaction() as session:
            await session.execute(_FORGET, self._now, before)
            await session.execute(_BEGIN, self._now, cookie, person_id, SESSION_SECONDS)

    @override
    async def signed_in(self, cookie: bytes) -> SignedIn | None:
        row = await self._database.fetchrow(_SIGNED_IN, self._now, cookie)
        return None if row is None else SignedIn(Person(row["id"], row["name"], row["role"]), row["expires"])

    @override
    async def end(self, cookie: bytes) -> None:
        async with self._database.transaction() as session:
            if person := await session.fetchval(_END, cookie):
                await signed(session, "signed_out", person, VISITOR, now=self._now)
