"""Who subscribed to resources, and how they hear of a change that this server made.

In 2026-07-28 a client opens a `subscriptions/listen` stream, which the SDK serves from its bus. In 2025-11-25 a client
subscribes to single resources, and hears of a changed list without asking.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from mcp.server.context import CallNext, HandlerResult
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ResourceUpdated
from mcp_types import (
    EmptyResult,
    InitializeRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from amo_mcp.protocol import STATELESS_SINCE, Ctx
from amo_mcp.server.uris import uris_of

if TYPE_CHECKING:
    from amo_mcp.changes.events import ChangeEvent

MAX_CLIENTS = 200
"""Clients of the older era that are notified. A client that has gone looks like a silent one, so each is kept until
newer ones displace it: first those that subscribed to nothing, the longest silent first.
"""

MAX_SUBSCRIPTIONS = 1000
"""Resources that one client can subscribe to; it has at most 130 to choose from."""

_NOTIFY_SECONDS = 0.1
"""Seconds that a client has to take its notifications; one that does not read gets no more until it sends a request."""


@dataclass
class _Client:
    """One client of the older era.

    Attributes:
        init_params: what it said when it initialized. The SDK has no public name for a connection and none for its
            end; this object is the same in all calls of one connection and different in every other, so it stands for
            the connection. A client that initializes anew is another one.
        session: the way to it.
        uris: the resources that it subscribed to.
    """

    init_params: InitializeRequestParams
    session: ServerSession
    uris: set[str] = field(default_factory=set)


class Subscriptions:
    """The clients that are notified of changes."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._streams = ListenHandler(self._bus)
        self._listened: Counter[str] = Counter()
        self._clients: OrderedDict[int, _Client] = OrderedDict()

    async def remember_client(self, ctx: Ctx, call_next: CallNext) -> HandlerResult:
        """As middleware: remember every client of the older era, for it hears of a changed list unasked."""
        self._client(ctx)
        return await call_next(ctx)

    async def subscribe(self, ctx: Ctx, params: SubscribeRequestParams) -> EmptyResult:
        """`resources/subscribe` of the older era."""
        client = self._client(ctx)
        if client is not None and len(client.uris) < MAX_SUBSCRIPTIONS:
            client.uris.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(self, ctx: Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
        """`resources/unsubscribe` of the older era."""
        client = self._client(ctx)
        if client is not None:
            client.uris.discard(str(params.uri))
        return EmptyResult()

    async def listen(self, ctx: Ctx, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """`subscriptions/listen`: the stream of one client."""
        uris = params.notifications.resource_subscriptions or []
        self._listened.update(uris)
        try:
            return await self._streams(ctx, params)
        finally:
            self._listened -= Counter(uris)

    def close(self) -> None:
        """End every stream with its result."""
        self._streams.close()

    async def on_change(self, event: "ChangeEvent") -> None:
        """Tell everybody which resources a change affects, and whether the list of resources changed."""
        uris = uris_of(event)
        if uris is None:
            uris = self._followed()
        for uri in uris:
            await self._bus.publish(ResourceUpdated(uri=uri))
        if event.adds_or_removes:
            await self._bus.publish(ResourcesListChanged())
        async with anyio.create_task_group() as group:
            for client in self._current():
                subscribed = [uri for uri in uris if uri in client.uris]
                group.start_soon(self._notify, client, subscribed, event.adds_or_removes)

    def _followed(self) -> list[str]:
        """Every resource that somebody follows."""
        return sorted({*self._listened, *(uri for client in self._current() for uri in client.uris)})

    def _client(self, ctx: Ctx) -> _Client | None:
        init_params = ctx.session.client_params
        if init_params is None or ctx.protocol_version >= STATELESS_SINCE:
            return None
        client = self._clients.setdefault(id(init_params), _Client(init_params, ctx.session))
        self._clients.move_to_end(id(init_params))
        if len(self._clients) > MAX_CLIENTS:
            *others, _ = self._clients.values()
            self._forget(next((other for other in others if not other.uris), others[0]))
        return client

    def _current(self) -> list[_Client]:
        """All clients but those that have initialized anew."""
        for client in [one for one in self._clients.values() if one.session.client_params is not one.init_params]:
            self._forget(client)
        return list(self._clients.values())

    def _forget(self, client: _Client) -> None:
        self._clients.pop(id(client.init_params), None)

    async def _notify(self, client: _Client, uris: list[str], list_changed: bool) -> None:
        """Notify one client; a slow one does not delay the others."""
        with anyio.move_on_after(_NOTIFY_SECONDS) as scope:
            for uri in uris:
                await client.session.send_resource_updated(uri)
            if list_changed:
                await client.session.send_resource_list_changed()
        if scope.cancelled_caught:
            self._forget(client)
