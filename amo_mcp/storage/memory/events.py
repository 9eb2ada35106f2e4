"""Change events within one process."""

from typing_extensions import override

from amo_mcp.changes.events import ChangeEvent, ChangeEvents, Listener


class MemoryChangeEvents(ChangeEvents):
    """The listeners of one process, called one after the other."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    @override
    async def publish(self, event: ChangeEvent) -> None:
        for listener in self._listeners:
            await listener(event)

    @override
    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)
