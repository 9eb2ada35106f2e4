"""Requests a second, shared by all replicas: the slots of an account are a row, and their time is the database's.

Whoever uses the row locks it for as long as it takes to read and write it, so a replica waits for others no longer than
that, and asks again when a slot will be free. While the database is away, nothing is sent.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.storage.postgres.clock import DatabaseClock
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.slot_limiter import SlotRateLimiter, T
from amo_mcp.storage.slots import SlotTable

if TYPE_CHECKING:
    from amo_mcp.storage.postgres.database import Session

# The clock is read after the row is locked.
_LOCKED = """
WITH locked AS MATERIALIZED (SELECT content FROM slots WHERE account = $1 FOR UPDATE)
SELECT content, coalesce($2, unix_now()) AS now FROM locked
"""
_MAKE = "INSERT INTO slots (account, content) VALUES ($1, '') ON CONFLICT DO NOTHING"
_WRITE = "UPDATE slots SET content = $2 WHERE account = $1"


class PostgresRateLimiter(SlotRateLimiter):
    """At most `per_second` requests in any one second, of all replicas; those of one in their order.

    Taking a slot raises `Unavailable` while the database is away; what is given back then is noted when it is back.

    Args:
        account: whose slots they are, such as the account's address.
        timeout: seconds after which a request has failed; the slot of a replica that died is free a second later.
        sleep: waits for seconds.
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(
        self,
        database: Database,
        account: str,
        per_second: int,
        *,
        timeout: float = 20.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(per_second, timeout=timeout, sleep=sleep)
        self._database = database
        self._account = account
        self._clock = DatabaseClock(clock)
        # One use at a time, so that what this replica itself has taken is never older than the row.
        self._using = anyio.Lock()
        self._own = SlotTable(noted_at=self._clock())

    @override
    async def _use(self, operation: Callable[[SlotTable, int], T]) -> T:
        async with self._using:
            try:
                async with self._database.transaction() as session:
                    table = await self._read(session)
                    self._own.note(table.noted_at)
                    table.merge(self._own)
                    result = operation(table, self._per_second)
                    await session.execute(_WRITE, self._account, table.model_dump_json())
            except StorageUnavailable as error:
                raise Unavailable("was not asked, because the server's database cannot be used") from error
            self._own = table.of(self._process)
        return result

    @override
    async def _note(self, operation: Callable[[SlotTable, int], None]) -> None:
        try:
            await self._use(operation)
        except Unavailable:
            self._own.note(self._clock())
            operation(self._own, self._per_second)

    async def _read(self, session: "Session") -> SlotTable:
        """The table in the row, which is locked; a new one where there is none."""
        while (row := await session.fetchrow(_LOCKED, self._account, self._clock.given)) is None:
            await session.execute(_MAKE, self._account)
        now = self._clock.heard(row["now"])
        try:
            table = SlotTable.model_validate_json(row["content"])
        except ValueError:
            return SlotTable(noted_at=now)
        table.note(now)
        return table
