"""Pending questions in the database of the replicas: asked at one, answered at any, and used once.

Single use is a row: of all who use it up at once, one finds it unused. How old a question is, the database's clock
says.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import override

from amo_mcp.changes.pending import PendingChange, pending_from_record, pending_to_record
from amo_mcp.changes.reader import ANYBODY, Reader, reader_from_record, reader_to_record
from amo_mcp.confirmation.approvals import (
    ALREADY_ANSWERED,
    LIFETIME,
    MAX_PENDING,
    MAX_REMEMBERED,
    NOT_PENDING,
    TOO_LATE,
    Approval,
    ApprovalStore,
    new_id,
    new_nonce,
)
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.ways import Channel
from amo_mcp.storage.postgres.clock import NOW, DatabaseClock
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.records import dump, load
from amo_mcp.team.people import digest_of

if TYPE_CHECKING:
    from asyncpg import Record

_LOCK = 0x617070726F76616C
"""The key of the advisory lock under which old questions are forgotten: "approval"."""

_FORGET = """
DELETE FROM approvals WHERE expires <= $1 OR number IN (
    (SELECT number FROM approvals WHERE used_at IS NULL ORDER BY number DESC OFFSET $2)
    UNION ALL (SELECT number FROM approvals WHERE used_at IS NOT NULL ORDER BY number DESC OFFSET $2)
    UNION ALL (SELECT number FROM approvals WHERE used_at IS NULL AND caller = $3 ORDER BY number DESC OFFSET $4)
)
"""
_OPEN = """
INSERT INTO approvals
    (digest, nonce, channel, caller, tool, request_digest, change, reader, expires, page, asked_by, client)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (nonce) WHERE used_at IS NULL DO NOTHING RETURNING number
"""
_FIND = "SELECT *, coalesce($2, unix_now()) AS now FROM approvals WHERE digest = $1"
_USE = """
UPDATE approvals SET used_at = coalesce($2, unix_now()) WHERE digest = $1 AND used_at IS NULL RETURNING number
"""


class OnPage(NamedTuple):
    """What is kept of a question that is answered on a page of the server.

    Attributes:
        page: its public name.
        asked_by: the id of the person who asked.
        client: the program that they asked with.
    """

    page: str | None = None
    asked_by: str | None = None
    client: str | None = None


_ON_NONE = OnPage()


class PostgresApprovalStore(ApprovalStore):
    """The pending questions of all replicas.

    Args:
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] | None = None,
        lifetime: float = LIFETIME,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self.lifetime = lifetime
        self.clock = self._clock = DatabaseClock(clock)
        self._database = database
        self._max_remembered = max_remembered

    @override
    async def open(
        self,
        channel: Channel,
        caller: Caller,
        tool: str,
        request_digest: str,
        change: PendingChange,
        reader: Reader = ANYBODY,
        on_page: OnPage = _ON_NONE,
    ) -> Approval:
        approval_id, who = new_id(), caller.digest
        kept = dump(pending_to_record(change)), dump(reader_to_record(reader))
        async with self._database.transaction() as session:
            await session.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            now = self._clock.heard(await session.fetchval(f"SELECT {NOW}", self._clock.given))
            await session.execute(_FORGET, now - self.lifetime, self._max_remembered - 1, who, MAX_PENDING - 1)
            asked, number = (channel, who, tool, request_digest, *kept, now + self.lifetime), None
            while number is None:
                nonce = new_nonce(())
                number = await session.fetchval(_OPEN, digest_of(approval_id), nonce, *asked, *on_page)
        expires = now + self.lifetime
        return Approval(approval_id, nonce, channel, caller, tool, request_digest, change, expires, reader)

    @override
    async def pending(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        row = await self._database.fetchrow(_FIND, digest_of(approval_id), self._clock.given)
        if row is None:
            raise ConfirmationExpired(NOT_PENDING)
        if row["used_at"] is not None:
            raise ConfirmationExpired(ALREADY_ANSWERED)
        if (row["channel"], row["caller"]) != (channel, caller.digest):
            raise ConfirmationExpired(NOT_PENDING)
        if self._clock.heard(row["now"]) >= row["expires"]:
            raise ConfirmationExpired(TOO_LATE)
        return approval_of(row, approval_id, caller)

    @override
    async def consume(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        approval = await self.pending(approval_id, channel, caller)
        if not await self._use(approval):
            raise ConfirmationExpired(ALREADY_ANSWERED)
        return approval

    @override
    async def close(self, approval: Approval) -> None:
        await self._use(approval)

    async def _use(self, approval: Approval) -> bool:
        """Use a question up; whether it was unused."""
        used = await self._database.fetchval(_USE, digest_of(approval.id), self._clock.given)
        return used is not None


def approval_of(row: "Record", approval_id: str, caller: Caller) -> Approval:
    """The approval of a row."""
    change, reader = load(row["change"], pending_from_record), load(row["reader"], reader_from_record)
    asked = row["tool"], row["request_digest"], change, row["expires"], reader
    return Approval(approval_id, row["nonce"], row["channel"], caller, *asked)
