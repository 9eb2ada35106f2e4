"""Who follows the account, and how they are told of a change that this server made.

In 2026-07-28 a client opens a `subscriptions/listen` stream, which the SDK serves from its bus. In 2025-11-25 a client
subscribes to single resources, and hears of a changed list without asking.
"""

from typing import Any
from weakref import WeakKeyDictionary

import anyio
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from amo_mcp.accounts.account import Changed
from amo_mcp.server.resources import uris_of

_PATIENCE = 0.1
"""Seconds that a client has to take a notification; who does not read is told no more until it asks something."""

_LISTENING = "2026-07-28"
MOST_SUBSCRIPTIONS = 1000
"""Resources that one client can subscribe to; it has at most 130 to choose from."""


class Subscriptions:
    """Everybody who wants to hear of changes."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._subscribed: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """As middleware: remember every client of the older era, for it hears of a changed list unasked."""
        if ctx.protocol_version < _LISTENING:
            self._subscribed.setdefault(_connection(ctx), set())
        return await call_next(ctx)

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """`resources/subscribe` of the older era."""
        uris = self._subscribed.setdefault(_connection(ctx), set())
        if len(uris) < MOST_SUBSCRIPTIONS:
            uris.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        """`resources/unsubscribe` of the older era."""
        self._subscribed.setdefault(_connection(ctx), set()).discard(str(params.uri))
        return EmptyResult()

    async def tell(self, changed: Changed) -> None:
        """Tell everybody of a change: the resources that are another now, and whether the list is."""
        touched = uris_of(changed)
        for uri in touched:
            await self.bus.publish(ResourceUpdated(uri=uri))
        if changed.comes_or_goes:
            await self.bus.publish(ResourcesListChanged())
        async with anyio.create_task_group() as group:
            for connection, uris in list(self._subscribed.items()):
                told = [uri for uri in touched if uri in uris]
                group.start_soon(self._tell, connection, told, changed.comes_or_goes)

    async def _tell(self, connection: Connection, uris: list[str], comes_or_goes: bool) -> None:  # noqa: FBT001
        """Tell one client of the older era; that another does not read is none of its business."""
        with anyio.move_on_after(_PATIENCE) as patience:
            for uri in uris:
                await connection.send_resource_updated(uri)
            if comes_or_goes:
                await connection.send_resource_list_changed()
        if patience.cancelled_caught:
            self._subscribed.pop(connection, None)


def _connection(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """The client's connection; the SDK makes a session object for every request and keeps this one."""
    return ctx.session._connection  # noqa: SLF001 - there is no public way to it
