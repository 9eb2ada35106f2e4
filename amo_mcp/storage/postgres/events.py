"""Change events over all replicas, by LISTEN and NOTIFY.

What a replica publishes is notified to the others, and each hears it on a connection of its own. While that connection
is away others may have told something, so when it is back, everything may have changed.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from amo_mcp.changes.events import ANYTHING, ChangeEvent, ChangeEvents, Listener
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.storage.postgres.database import Database

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_CHANNEL = "amo_mcp_changes"
_NOTIFY = f"SELECT pg_notify('{_CHANNEL}', $1)"

_PAYLOAD = TypeAdapter(tuple[str, ChangeEvent])
"""Which replica tells, and what."""

_MAX_IDS = 400
"""Ids in one notification, which has at most 8,000 bytes."""

_MAX_UNHEARD = 1000
"""Notifications that wait for the listeners of this replica; with more, everything may have changed."""

_SILENCE = 10.0
"""Seconds without a word after which it is asked whether the database is still there."""

_TIMEOUT = 5.0
_RETRY, _MAX_RETRY = 0.2, 3.0
"""Seconds after which it is tried again to hear, at first and at most."""


class PostgresChangeEvents(ChangeEvents):
    """The listeners of one replica, and what carries events to and from the others.

    A change that was made is told here also while the database is away; the others hear of it when it is back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._replica = secrets.token_hex(8)
        self._listeners: list[Listener] = []
        self._untold = False

    @override
    async def publish(self, event: ChangeEvent) -> None:
        try:
            await self._database.execute(_NOTIFY, self._payload(event))
        except StorageUnavailable:
            self._untold = True
        await self._tell(event)

    @override
    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def hear(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Tell the listeners of this replica what the others publish, until this is cancelled.

        It has started once it hears.
        """
        wait, started, missed = _RETRY, False, False
        while True:
            with suppress(StorageUnavailable):
                async with self._heard() as (connection, heard):
                    if not started:
                        task_status.started()
                    if missed:
                        await self._tell(ANYTHING)
                    wait, started = _RETRY, True
                    await self._pass_on(connection, heard)
            missed = True
            await anyio.sleep(wait)
            wait = min(2 * wait, _MAX_RETRY)

    @asynccontextmanager
    async def _heard(self) -> AsyncIterator[tuple["Connection[Record]", MemoryObjectReceiveStream[str]]]:
        """A connection of its own, and what is notified on it; that ends when the connection does."""
        send, receive = anyio.create_memory_object_stream[str](_MAX_UNHEARD)

        def hear(_: Any, __: Any, ___: Any, payload: Any) -> None:
            try:
                send.send_nowait(payload)
            except (anyio.WouldBlock, anyio.ClosedResourceError):
                # More than can be kept, or still more after that.
                send.close()

        with send, receive:
            async with self._database.direct() as connection:
                connection.add_termination_listener(lambda _: send.close())
                with self._database.unavailable():
                    await connection.add_listener(_CHANNEL, hear)
                yield connection, receive

    async def _pass_on(self, connection: "Connection[Record]", heard: MemoryObjectReceiveStream[str]) -> None:
        """Tell what is heard until no more can be."""
        while True:
            with self._database.unavailable():
                await connection.execute("SELECT 1", timeout=_TIMEOUT)
                if self._untold:
                    await connection.execute(_NOTIFY, self._payload(ANYTHING), timeout=_TIMEOUT)
                    self._untold = False
            try:
                while True:
                    with anyio.fail_after(_SILENCE):
                        payload = await heard.receive()
                    replica, event = _read(payload)
                    if replica != self._replica:
                        await self._tell(event)
            except TimeoutError:
                continue
            except anyio.EndOfStream:
                return

    async def _tell(self, event: ChangeEvent) -> None:
        for listener in self._listeners:
            await listener(event)

    def _payload(self, event: ChangeEvent) -> str:
        """A notification of an event; of very many entities it names none."""
        told = event if len(event.ids) <= _MAX_IDS else ANYTHING
        return _PAYLOAD.dump_json((self._replica, told)).decode()


def _read(payload: str) -> tuple[str, ChangeEvent]:
    """Who published an event, and the event; what another release tells may be anything."""
    try:
        return _PAYLOAD.validate_json(payload)
    except ValidationError:
        return "", ANYTHING
